"""Finished stages of other trainings, reused where they are what this one would make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ugpnet_core.atomic import copy_whole
from ugpnet_core.errors import TrainingError
from ugpnet_core.training.checkpoint import read_result, result_path
from ugpnet_core.training.fingerprint import Fingerprint, differences
from ugpnet_core.training.stage import Stage


def reuse_result(
    stage: type[Stage],
    output: Path,
    made_by: Fingerprint,
    folders: Sequence[Path],
    say: Callable[[str], None],
) -> bool:
    """Put the finished stage of another training in the place of this one's, if the settings and
    the content of its inputs are the same. Nearly the same is not enough.

    Args:
        output: of this training.
        made_by: what the stage would be made by here.
        folders: outputs of other trainings, the preferred one first.

    Returns:
        Whether one was found.

    Raises:
        TrainingError: the disk refuses.
    """
    path = result_path(output, stage.name)
    for folder in folders:
        found = result_path(folder, stage.name)
        if folder.absolute() == output.absolute() or not found.exists():
            continue
        try:
            _, before, record = read_result(found)
        except TrainingError as error:
            say(f"Not reused: {error}")
            continue
        if differences(stage, before, made_by):
            continue
        if "history" in record:
            say(f"Not reused: {found} was trained on (--extend), and not from its beginning.")
            continue
        try:
            copy_whole(found, path)
        except OSError as error:
            raise TrainingError(
                f"{path} cannot be written ({error.strerror or error}); make room for it, "
                "then start again."
            ) from error
        say(f"Stage {stage.name} is the same as that of {folder}, so it is reused from there.")
        return True
    return False
