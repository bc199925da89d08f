"""``unpack``: what a slice brought back, put where the trainings at home go on from it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from examples.gpu_slice.archive import digest, read_slice
from examples.gpu_slice.moved import (
    Translate,
    Words,
    move_checkpoint,
    move_result,
    same_file,
    steps_done,
    translator,
)
from ugpnet_core.training.checkpoint import checkpoint_path, result_path

Say = Callable[[str], None]


def unpack(folder: Path, runs: Path | None, say: Say) -> dict[str, Any]:
    """Take results, checkpoints, logs and samples out of a slice.

    What is at home is replaced only by what is further: a finished stage stays, and of two
    checkpoints the one with more iterations.

    Args:
        folder: what ``train --out`` wrote.
        runs: outputs are the folders in here named as the trainings; None: those that were packed.

    Returns:
        The report of the slice.

    Raises:
        SliceError: a part of the slice is missing or damaged.
        TrainingError: a state is damaged, or the disk refuses.
    """
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        report = read_slice(folder, place)
        manifest = report["manifest"]
        digests = {away: home for home, away in manifest["digests"].items()}
        for training in manifest["trainings"]:
            home = Path(training["home"]) if runs is None else runs / training["name"]
            _unpack_training(training, place / training["output"], home, digests, say)
    for name in report["left out"]:
        say(f"The slice had no room for {name}.")
    return report


def _unpack_training(
    training: Mapping[str, Any], away: Path, home: Path, digests: dict[str, str], say: Say
) -> None:
    if not away.is_dir():
        return
    done: set[Path] = set()
    for stage in training["stages"]:
        words: Words = {k: (b, a) for k, (a, b) in training["words"][stage].items()}
        translate = translator(words, digests, training["away"][stage])
        result, checkpoint = result_path(away, stage), checkpoint_path(away, stage)
        done |= {result, checkpoint}
        if result.exists():
            _take_result(result, result_path(home, stage), translate, digests, say)
            checkpoint_path(home, stage).unlink(missing_ok=True)
        elif checkpoint.exists() and not result_path(home, stage).exists():
            _take_checkpoint(checkpoint, checkpoint_path(home, stage), translate, say)
    for path in sorted(away.rglob("*")):
        target = home / path.relative_to(away)
        if path.is_file() and path not in done and not same_file(path, target):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)


def _take_result(
    source: Path, target: Path, translate: Translate, digests: dict[str, str], say: Say
) -> None:
    if target.exists():
        say(f"{target} is there already and stays.")
        digests[digest(source)] = digest(target)
        return
    there, here = move_result(source, target, translate)
    digests[there] = here
    say(f"{target}: finished.")


def _take_checkpoint(source: Path, target: Path, translate: Translate, say: Say) -> None:
    steps = steps_done(source)
    if target.exists() and steps_done(target) > steps:
        say(f"{target} stays: it has more iterations than the {steps} of the slice.")
        return
    move_checkpoint(source, target, translate)
    say(f"{target}: after {steps} iterations.")
