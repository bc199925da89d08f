"""Build every distribution into a folder, and check what was built.

    python -m release.dist              # into dist/
    python -m release.dist -o folder
    python -m release.dist --test       # and run the tests that each sdist carries

Built is what git tracks, from copies, each wheel from its sdist, without a network connection.
The same commit gives the same bytes: times are those of the commit (SOURCE_DATE_EPOCH, where that
is set), and modes and owners are not those of this machine.
"""

from __future__ import annotations

import argparse
import gzip
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

from release.carried import carried
from release.projects import CORE, ROOT, folders

# Of the repository, what the core's distribution is made of; those of the others are whole folders.
CORE_PARTS = ("pyproject.toml", "LICENSE", "release/core", "ugpnet_core")
# The meta distribution has no modules, as it should.
NO_CODE = "W007,W008"


def build(out: Path, only: Iterable[str] = ()) -> list[Path]:
    """Build sdists and wheels.

    Args:
        out: is made anew.
        only: names of distributions; empty means all.

    Returns:
        The files, sorted.

    Raises:
        RuntimeError: neither git nor SOURCE_DATE_EPOCH says when this was made.
        subprocess.CalledProcessError: one cannot be built.
    """
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch())}
    shutil.rmtree(out, ignore_errors=True)
    for name, folder in folders().items():
        if only and name not in only:
            continue
        print(f"== {name}", flush=True)
        with tempfile.TemporaryDirectory() as place:
            source = Path(place) / name
            _export(name, folder, source)
            command = [sys.executable, "-m", "build", "--no-isolation", "-o", str(out.resolve())]
            subprocess.run(
                [*command, str(source)],
                check=True,
                env=environment,
                umask=0o022,
                stdout=subprocess.DEVNULL,
            )
    for sdist in out.glob("*.tar.gz"):
        _normalise(sdist, epoch())
    return sorted(path for path in out.iterdir() if path.name != ".gitignore")


def check(files: Iterable[Path]) -> None:
    """Run twine and check-wheel-contents on distributions.

    Raises:
        subprocess.CalledProcessError: one of them complains.
    """
    paths = [str(path) for path in files]
    wheels = [path for path in paths if path.endswith(".whl")]
    meta = [path for path in wheels if Path(path).name.startswith("ugpnet-")]
    others = [path for path in wheels if path not in meta]
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *paths], check=True)
    contents = [sys.executable, "-m", "check_wheel_contents"]
    for options, some in (([], others), (["--ignore", NO_CODE], meta)):
        if some:
            subprocess.run([*contents, *options, *some], check=True)


def test(sdists: Iterable[Path]) -> bool:
    """Run the tests that sdists carry, each unpacked for itself, in this environment.

    Returns:
        Whether all passed.
    """
    passed = [_test(sdist) for sdist in sdists]  # all of them, whatever the first one says
    return all(passed)


def _test(sdist: Path) -> bool:
    print(f"== Tests of {sdist.name}", flush=True)
    with tempfile.TemporaryDirectory() as place:
        with tarfile.open(sdist) as archive:
            archive.extractall(place, filter="data")
        (root,) = Path(place).iterdir()
        if not (root / "tests").is_dir():
            print("It carries none: it has no code.")
            return True
        tests = [sys.executable, "-m", "pytest", "-q", "-n", "auto", "--dist", "loadfile", "tests"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.run(tests, cwd=root, env=environment).returncode == 0


def epoch() -> int:
    """When this was made, in seconds: SOURCE_DATE_EPOCH, or the time of the commit.

    Raises:
        RuntimeError: there is neither.
    """
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given is not None:
        return int(given)
    done = _git("log", "-1", "--format=%ct")
    return int(done)


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise RuntimeError(
            "This is no git checkout; make distributions in a clone of the repository."
        ) from error
    return done.stdout


def _export(distribution: str, folder: Path, target: Path) -> None:
    """Copy what git tracks of a distribution, with plain modes, and the tests that it carries."""
    parts = CORE_PARTS if folder == CORE else (".",)
    for name in _tracked(*(str(folder / part) for part in parts)):
        _copy(ROOT / name, target / (ROOT / name).relative_to(folder))
    tests = list(carried(distribution, _tracked(str(ROOT / "tests"))))
    for name in tests:
        _copy(ROOT / name, target / name)
    if tests:
        (target / "MANIFEST.in").write_text("graft tests\n", encoding="utf-8")


def _tracked(*places: str) -> list[str]:
    listed = _git("ls-files", "-z", "--", *places)
    return [name for name in listed.split("\0") if name]


def _copy(file: Path, copy: Path) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, copy)
    copy.chmod(0o644)


def _normalise(sdist: Path, when: int) -> None:
    """Write an archive again: names in order, one time, no owners."""
    with tarfile.open(sdist) as archive:
        members = [(one, archive.extractfile(one)) for one in archive.getmembers()]
        contents = [(one, file.read() if file else b"") for one, file in members]
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member, content in sorted(contents, key=lambda pair: pair[0].name):
            kept = tarfile.TarInfo(member.name)
            kept.type, kept.size, kept.mtime = member.type, member.size, when
            kept.mode = 0o755 if member.isdir() else 0o644
            archive.addfile(kept, io.BytesIO(content))
    with open(sdist, "wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=when) as packed:
        packed.write(plain.getvalue())


def main() -> int:
    """Build and check."""
    parser = argparse.ArgumentParser(description="Build and check every distribution.")
    parser.add_argument("-o", "--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--test", action="store_true", help="run the tests of each sdist, too")
    arguments = parser.parse_args()
    try:
        if _git("status", "--porcelain", "--untracked-files=no"):
            print("note: there are changes that are not committed; they are in what is built.")
        files = build(arguments.out)
        check(files)
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        return error.returncode
    print(f"{len(files)} distributions are in {arguments.out}")
    sdists = [path for path in files if path.name.endswith(".tar.gz")]
    return 0 if not arguments.test or test(sdists) else 1


if __name__ == "__main__":
    sys.exit(main())
