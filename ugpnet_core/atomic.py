"""Files that appear whole or not at all: written beside their place, then moved there."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path


def write_whole(path: Path, content: bytes, *, sync: bool = True) -> None:
    """Write a file; a reader sees the old one or the new one, never half of it.

    Args:
        sync: wait until the disk has it, so that not even a power failure leaves half of it.
    """
    write_beside(path, lambda partial: partial.write_bytes(content), sync=sync)


def copy_whole(source: Path, path: Path) -> None:
    """Give a file's content a second place; on the same disk both share it (a hard link).

    Whoever writes a file of this toolkit replaces it, so neither place changes the other.
    """

    def place(partial: Path) -> None:
        try:
            os.link(source, partial)
        except OSError:  # another disk, or one that knows no links
            shutil.copyfile(source, partial)

    write_beside(path, place)


def write_beside(path: Path, write: Callable[[Path], object], *, sync: bool = True) -> None:
    """Let ``write`` make a file beside the place of another, then move it there in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not made of the name, which may be as long as names can be.
    partial = path.with_name(f".{uuid.uuid4().hex[:12]}.partial")
    try:
        write(partial)
        if sync:
            with partial.open("r+b") as file:
                os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
