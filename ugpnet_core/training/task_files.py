"""The files that the options of a task name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path


def task_files(options: object, name: str = "task") -> dict[str, Path]:
    """The files that a task's options name, at any depth, by where they stand ("task.kernels"):
    what is in them decides what is learned."""
    if isinstance(options, Mapping):
        inner = [task_files(value, f"{name}.{key}") for key, value in options.items()]
    elif isinstance(options, list | tuple):
        inner = [task_files(value, f"{name}.{index}") for index, value in enumerate(options)]
    elif isinstance(options, str | Path) and Path(options).is_file():
        return {name: Path(options)}
    else:
        return {}
    return {key: path for files in inner for key, path in files.items()}


def kernel_files(options: object) -> Iterator[Path]:
    """The sets of kernels that camera shakes are drawn from, at any depth of a task's options."""
    if isinstance(options, Mapping):
        for name, value in options.items():
            if name == "kernels" and isinstance(value, str | Path):
                yield Path(value)
            else:
                yield from kernel_files(value)
    elif isinstance(options, list | tuple):
        for value in options:
            yield from kernel_files(value)
