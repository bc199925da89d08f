"""What would not end well, said before the work: images larger than the memory, and pictures that
a format cannot hold."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import psutil

from ugpnet_core.errors import ImageError

_FLOATS = 4 * 4  # three colours and alpha of an image inside the toolkit
_MIB = 2**20
_GROUP = Path("/sys/fs/cgroup")
# What the libraries write; the format of JPEG would allow 65,535.
_SIDES = {"JPEG": 65_500, "WEBP": 16_383}


def free_memory() -> int:
    """Bytes that this process may still take: of the machine, of its group, of its own limit."""
    left = [int(psutil.virtual_memory().available)]
    most, taken = (_number(_GROUP / name) for name in ("memory.max", "memory.current"))
    if most is not None and taken is not None:
        left.append(most - taken + _cached())
    try:
        import resource
    except ImportError:  # Windows
        return max(0, min(left))
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        left.append(limit - int(psutil.Process().memory_info().vms))
    return max(0, min(left))


def bytes_needed(width: int, height: int, stored: int) -> int:
    """Bytes that reading takes, of an image whose decoded pixels have ``stored`` bytes each: once
    as decoded, once as RGB, once as floats."""
    return width * height * (2 * max(stored, 3) + _FLOATS)


def require_memory(path: Path, width: int, height: int, stored: int) -> None:
    """Raise ImageError where reading an image takes more memory than there is.

    Args:
        stored: bytes of a decoded pixel.
    """
    needed = bytes_needed(width, height, stored)
    if needed < 64 * _MIB:
        return
    free = free_memory()
    if needed > free:
        raise ImageError(
            f"{path} has {width} x {height} pixels, and reading it takes {_megabytes(needed)} of "
            f"memory where {_megabytes(free)} are free; cut it into parts or free memory."
        )


def require_sides(path: Path, kind: str, width: int, height: int) -> None:
    """Raise ImageError where a format cannot hold a picture of this size."""
    most = _SIDES.get(kind)
    if most is not None and max(width, height) > most:
        raise ImageError(
            f"{path} cannot hold {width} x {height} pixels: {kind} ends at {most:,} on a side; "
            "choose .png or .tif."
        )


def require_name(path: Path) -> None:
    """Raise ImageError where a file cannot be called so, as its disk ends at shorter names."""
    there = path.parent
    while not os.path.exists(there) and there != there.parent:
        there = there.parent
    try:
        os.lstat(there / path.name)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise ImageError(
                f"{path} cannot be written, as its name is too long; choose a shorter one."
            ) from error


def _megabytes(count: int) -> str:
    return f"{count / _MIB:,.0f} MB"


def _cached() -> int:
    """What the group holds of files, which gives way."""
    try:
        lines = (_GROUP / "memory.stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such group, or no limit ("max")
        return None
