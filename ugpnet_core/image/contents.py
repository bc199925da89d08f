"""The bytes of files, and of nothing else: a pipe or a device could keep a reader waiting for
ever, and is refused before it is opened."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ugpnet_core.errors import ImageError


@contextmanager
def open_file(path: Path) -> Iterator[BinaryIO]:
    """A file, opened for reading.

    Raises:
        ImageError: it is none, or cannot be read.
    """
    try:
        if not _is_file_or_folder(path):
            raise ImageError(f"{path} is no file but a pipe, socket or device; give image files.")
        file = path.open("rb")
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    with file:
        yield file


def content_of(path: Path) -> bytes:
    """All bytes of a file; raises what :func:`open_file` does."""
    with open_file(path) as file:
        try:
            return file.read()
        except OSError as error:
            raise _unreadable(path, error) from error


def _is_file_or_folder(path: Path) -> bool:
    mode = path.stat().st_mode
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)  # opening a folder says that it is one


def _unreadable(path: Path, error: Exception) -> ImageError:
    reason = getattr(error, "strerror", None) or error
    return ImageError(f"{path} cannot be read: {reason}; check the path.")
