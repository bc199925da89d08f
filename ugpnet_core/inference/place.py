"""Whether results have a place: looked at before the first image costs any time."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from ugpnet_core.errors import ConfigError, ImageError
from ugpnet_core.inference.outputs import Job

_LOSSY = {".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".heic", ".heif", ".avif", ".jxl"}
# Bytes of a result for each byte of its file, at equal numbers of pixels, by whether the file is
# lossy, and the result. What noise takes is gone, so a result may be much smaller.
_GROWTH = {(True, True): 1.0, (True, False): 4.0, (False, True): 0.2, (False, False): 0.8}
# What is refused must be hopeless: results of flat pictures are as much smaller than that.
_AT_LEAST = 0.2


def check_folders(folders: Iterable[Path]) -> None:
    """See that folders for results are there, or can be made, and can be written into.

    Raises:
        ConfigError: there is a file where a folder has to be.
        ImageError: nothing can be written there.
    """
    for folder in dict.fromkeys(folders):
        there = folder
        while not os.path.lexists(there):
            there = there.parent
        if not os.path.isdir(there):
            raise ConfigError(f"{there} is no folder, and results go into one; choose another -o.")
        try:
            with tempfile.TemporaryFile(dir=there):
                pass
        except OSError as error:
            raise ImageError(
                f"{there} cannot be written into: {error.strerror or error}; choose another -o."
            ) from error


def check_room(jobs: Iterable[Job], scale: int, suffixes: Sequence[str]) -> list[str]:
    """See that each disk has room for what its results need, by the sizes of their files.

    Args:
        jobs: those whose results do not exist.
        scale: how many times longer the sides of a result are.
        suffixes: of the further results of each.

    Returns:
        A sentence for each disk on which it could become tight.

    Raises:
        ImageError: a disk has too little even for results that are easy to compress.
    """
    needs: dict[int, tuple[Path, float]] = {}
    for job in jobs:
        there = job.target.parent
        while not os.path.exists(there):
            there = there.parent
        disk = there.stat().st_dev
        needs[disk] = (there, needs.get(disk, (there, 0.0))[1] + _need(job, scale, suffixes))
    tight = []
    for there, need in needs.values():
        free = shutil.disk_usage(there).free
        if need * _AT_LEAST > free:
            raise ImageError(
                f"{there} has room for {_said(free)}, and the results need "
                f"{_said(need * _AT_LEAST)} or more; make room there, or choose another -o."
            )
        if need > free:
            tight.append(f"{there} has room for {_said(free)}; the results may need {_said(need)}.")
    return tight


def _need(job: Job, scale: int, suffixes: Sequence[str]) -> float:
    try:
        size = job.source.stat().st_size
    except OSError:
        return 0.0
    lossy = job.source.suffix.lower() in _LOSSY
    endings = [path.suffix.lower() for path in job.writes(suffixes)]
    return size * scale**2 * sum(_GROWTH[lossy, ending in _LOSSY] for ending in endings)


def _said(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
