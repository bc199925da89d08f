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
# Bytes of a result for each byte of its file, at equal numbers of pixels: (lossy, lossy result).
# Photographs need at least this; what is refused must be hopeless.
_GROWTH = {(True, True): 0.5, (True, False): 2.0, (False, True): 0.02, (False, False): 0.3}


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
        if not there.is_dir():
            raise ConfigError(f"{there} is no folder, and results go into one; choose another -o.")
        try:
            with tempfile.TemporaryFile(dir=there):
                pass
        except OSError as error:
            raise ImageError(
                f"{there} cannot be written into: {error.strerror or error}; choose another -o."
            ) from error


def check_room(jobs: Sequence[Job], scale: int, suffixes: Sequence[str]) -> None:
    """See that each disk has room for what its results need at least.

    Args:
        jobs: those whose results do not exist.
        scale: how many times longer the sides of a result are.
        suffixes: of the further results of each.

    Raises:
        ImageError: there is too little; the message has both figures.
    """
    needs: dict[int, tuple[Path, float]] = {}
    for job in jobs:
        there = job.target.parent
        while not there.exists():
            there = there.parent
        disk = there.stat().st_dev
        needs[disk] = (there, needs.get(disk, (there, 0.0))[1] + _least(job, scale, suffixes))
    for there, need in needs.values():
        free = shutil.disk_usage(there).free
        if need > free:
            raise ImageError(
                f"{there} has room for {_said(free)}, and the results need {_said(need)} or more; "
                "make room there, or choose another -o."
            )


def _least(job: Job, scale: int, suffixes: Sequence[str]) -> float:
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
