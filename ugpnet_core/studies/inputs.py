"""The degraded images of a comparison as files, for programs that the toolkit cannot run."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from ugpnet_core.errors import ConfigError, ImageError
from ugpnet_core.evaluation.photographs import TestSet
from ugpnet_core.image import write_image
from ugpnet_core.reports.html.folder import check_apart
from ugpnet_core.studies.compare import plan
from ugpnet_core.studies.compare_files import input_folders
from ugpnet_core.studies.result_names import folder_name
from ugpnet_core.studies.settings import CompareConfig


def write_inputs(config: CompareConfig, folder: Path) -> list[Path]:
    """Write FOLDER/TASK/degraded/NAME.png, and beside them what they were, FOLDER/TASK/clean, where
    that is known: the very images that the methods of the comparison get.

    Returns:
        the folders of the tasks.

    Raises:
        ConfigError: the folder is one of photographs, two tasks have the name of one folder, or
            two photographs differ in their extension only.
        ImageError: photographs are missing, or the disk refuses.
    """
    check_apart(folder, input_folders(config))
    made: list[Path] = []
    for table in config.tables():
        target = folder / folder_name(table.title)
        if target in made:
            raise ConfigError(
                f"Two tasks would be written to {target}; give one of them another title."
            )
        made.append(target)
        _write_set(plan(config, table).test_set, target)
    return made


def _write_set(test_set: TestSet, target: Path) -> None:
    written: set[str] = set()
    for sample in test_set.samples(_refuse):
        assert sample is not None
        name = PurePosixPath(sample.name).with_suffix(".png").as_posix()
        if name in written:
            raise ConfigError(
                f"Two photographs would be written as {name}; rename one of {sample.name} and the "
                "other of that name."
            )
        written.add(name)
        write_image(target / "degraded" / name, sample.degraded)
        if sample.has_truth:
            write_image(target / "clean" / name, sample.clean)


def _refuse(name: str, reason: str) -> None:
    raise ImageError(
        f"{name} cannot be used ({reason}); remove it, so that all programs get the same "
        "photographs."
    )
