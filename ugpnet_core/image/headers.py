"""How large a picture is, before anything of it is decoded."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ugpnet_core.image.codecs import as_image_errors, readable_kind
from ugpnet_core.image.contents import open_file
from ugpnet_core.image.kinds import HEAD
from ugpnet_core.image.limits import bytes_needed


class Header(NamedTuple):
    """Kind, sides as stored (before any rotation), and bytes of a decoded pixel."""

    kind: str
    width: int
    height: int
    stored: int


def read_header(path: str | os.PathLike[str]) -> Header:
    """The header of an image file; of several pictures, of the first.

    Raises:
        ImageError: there is no file, or none that can be read as an image.
        DependencyError: files of its kind need an extra that is not installed.
    """
    path = Path(path)
    with open_file(path) as file:
        kind = readable_kind(file.read(HEAD), path)
        file.seek(0)
        with as_image_errors(path, kind):
            return Header(kind, *_reader(kind)(file, kind))
    raise AssertionError("damage is raised as an error")


def _reader(kind: str) -> Callable[[BinaryIO, str], tuple[int, int, int]]:
    if kind == "TIFF":
        from ugpnet_core.image import tiff

        return tiff.header_of
    from ugpnet_core.image import pillow

    return pillow.header_of


def memory_needed(path: str | os.PathLike[str]) -> int:
    """Bytes that :func:`~ugpnet_core.image.read_image` takes for a file, from its header alone;
    raises what :func:`read_header` does."""
    header = read_header(path)
    return bytes_needed(header.width, header.height, header.stored)
