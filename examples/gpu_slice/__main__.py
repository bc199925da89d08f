"""Training in slices, on a GPU that is there for some minutes: a batch queue's, or a borrowed one.

    python -m examples.gpu_slice pack CONFIG... -o pack        here: everything in one file
    python -m examples.gpu_slice train pack/pack.tar --minutes 9 --out slice          there
    python -m examples.gpu_slice unpack slice                  here: results and checkpoints

docs/gpu.md says more.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from examples.gpu_slice.archive import MIB, Limits, SliceError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    given = _parser().parse_args(arguments)
    run = {"pack": _pack, "train": _train, "unpack": _unpack}[given.verb]
    try:
        return run(given)
    except SliceError as error:
        _say(f"error: {error}")
        return 1


def _parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.gpu_slice",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb = parser.add_subparsers(dest="verb", required=True)
    pack = verb.add_parser("pack", help="put all that trainings need into one file")
    pack.add_argument("configs", type=Path, nargs="+", help="as ugpnet train takes them")
    pack.add_argument("-o", "--out", type=Path, default=Path("pack"), help="default: pack")
    pack.add_argument("-O", "--override", action="append", default=[], metavar="KEY=VALUE")
    pack.add_argument("--runs", type=Path, help="outputs are the folders RUNS/NAME")
    pack.add_argument("--limit", type=float, default=64, help="MiB of the pack (default: 64)")
    pack.add_argument(
        "--present",
        type=Path,
        help="what 'pip list' says there: wheels of all else that is needed are fetched",
    )
    pack.add_argument("--more", action="append", default=[], help="a further package to take along")
    pack.add_argument("--python", default="3.12", help="version there (default: 3.12)")
    pack.add_argument(
        "--no-own", action="store_true", help="this toolkit is installed there already"
    )
    pack.add_argument("--quality", type=int, default=92, help="WebP's (default: 92)")
    pack.add_argument(
        "--longest", type=int, default=1536, help="side of whole photographs (default: 1536)"
    )
    pack.add_argument("--threads", type=int, default=2, help="that read photographs")
    train = verb.add_parser("train", help="train for some minutes")
    train.add_argument("pack", type=Path)
    train.add_argument("overrides", nargs="*", help="settings to change: data.workers=4")
    train.add_argument("--minutes", type=float, required=True, help="of the whole slice")
    train.add_argument("--out", type=Path, required=True, help="for what is to be taken home")
    train.add_argument("--work", type=Path, help="to unpack into (default: a temporary folder)")
    train.add_argument("--reserve", type=float, help="seconds kept for writing")
    train.add_argument("--benchmark", type=float, default=60, help="seconds at most; 0: none")
    train.add_argument("--save-every", type=float, default=120, help="seconds between writings")
    train.add_argument("--workers", type=int, help="loader processes")
    train.add_argument(
        "--together", type=int, default=1, help="trainings side by side (default: 1)"
    )
    train.add_argument("--files", type=int, default=8, help="that may come back (default: 8)")
    train.add_argument("--each", type=float, default=16, help="MiB of each (default: 16)")
    train.add_argument("--total", type=float, default=64, help="MiB of all (default: 64)")
    unpack = verb.add_parser("unpack", help="put results and checkpoints where they belong")
    unpack.add_argument("slice", type=Path, help="what train --out wrote")
    unpack.add_argument("runs", type=Path, nargs="?", help="into RUNS/NAME (default: as packed)")
    return parser


def _pack(given: argparse.Namespace) -> int:
    from examples.gpu_slice.packing import Options, pack
    from examples.gpu_slice.photographs import Settings
    from ugpnet_core.errors import UGPNetError

    options = Options(
        overrides=given.override,
        runs=given.runs,
        limit=int(given.limit * MIB),
        present=given.present,
        python=given.python,
        more=given.more,
        source=not given.no_own,
        photographs=Settings(given.quality, given.longest),
        workers=given.threads,
    )
    try:
        path = pack(given.configs, given.out, options)
    except UGPNetError as error:
        raise SliceError(str(error)) from error
    _say(f"{path}: {path.stat().st_size / MIB:.1f} MiB")
    return 0


def _train(given: argparse.Namespace) -> int:
    from examples.gpu_slice.driving import Options, train

    options = Options(
        seconds=given.minutes * 60,
        reserve=given.reserve,
        benchmark=given.benchmark,
        save_every=given.save_every,
        workers=given.workers,
        overrides=given.overrides,
        together=given.together,
        limits=Limits(given.files, int(given.each * MIB), int(given.total * MIB)),
    )
    with tempfile.TemporaryDirectory() as scratch:
        work = given.work if given.work is not None else Path(scratch)
        return train(given.pack, given.out, work.absolute(), options, _say)


def _unpack(given: argparse.Namespace) -> int:
    from examples.gpu_slice.unpacking import unpack
    from ugpnet_core.errors import UGPNetError

    try:
        report = unpack(given.slice, given.runs, _say)
    except UGPNetError as error:
        raise SliceError(str(error)) from error
    done, all_ = report["finished"], len(report["manifest"]["trainings"])
    _say(f"{done} of {all_} trainings are finished.")
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
