"""Between the bytes of image files and arrays: which library reads and writes which kind."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from PIL import Image

from ugpnet_core.errors import DependencyError, ImageError
from ugpnet_core.image.damage import unreadable
from ugpnet_core.image.decoded import Decoded
from ugpnet_core.image.kinds import HEAD, identify_bytes, readable

_DAMAGE = (OSError, ValueError, SyntaxError, EOFError, RuntimeError, IndexError, KeyError)
_MORE_DAMAGE = (TypeError, AttributeError, OverflowError, struct.error, zlib.error)


def decode(data: bytes, path: Path) -> Iterator[Decoded]:
    """Every picture in the whole content of a file, each decoded when it is asked for.

    Args:
        path: what the file is called, for messages and to tell raw files of cameras.

    Raises:
        ImageError: it is empty, no image, of a kind that cannot be read, damaged, cut short or too
            large for the memory.
        DependencyError: it needs an extra that is not installed.
    """
    kind = readable_kind(data[:HEAD], path)
    pictures = _decoder(data, path, kind)
    while True:
        with as_image_errors(path, kind):
            found = list(islice(pictures, 1))
        if not found:
            return
        # Outside of the context manager: where a generator ends inside of one, Python 3.10 keeps
        # its frames, and with them the file, until the collector comes by.
        yield found.pop()


@contextmanager
def as_image_errors(path: Path, kind: str) -> Iterator[None]:
    """Whatever libraries raise at a damaged file becomes an ImageError that names it."""
    try:
        yield
    except (*_DAMAGE, *_MORE_DAMAGE) as error:
        raise unreadable(path, kind, error) from error
    except Image.DecompressionBombError as error:
        reason = str(error).partition(",")[0]  # the rest is for programmers
        raise ImageError(f"{path} is too large to read ({reason}); cut it into parts.") from error


def readable_kind(head: bytes, path: Path) -> str:
    """The kind of a file that begins with these bytes, where it can be read.

    Raises:
        ImageError: it cannot.
        DependencyError: it needs an extra that is not installed.
    """
    if not head:
        raise ImageError(f"{path} is empty; replace it by an image.")
    kind = identify_bytes(head, path.suffix)
    if kind is None:
        raise ImageError(f"{path} is not an image that can be read; replace or remove it.")
    extra = readable(kind)
    if extra is None:
        return kind
    if extra:
        raise DependencyError(
            f"{path} is of the kind {kind}, which needs an extra: pip install '{extra}'."
        )
    raise ImageError(
        f"{path} is of the kind {kind}, which cannot be read; export it as PNG, TIFF or JPEG."
    )


def _decoder(data: bytes, path: Path, kind: str) -> Iterator[Decoded]:
    if kind == "TIFF":
        from ugpnet_core.image.tiff import decode_pages

        return decode_pages(data, path)
    from ugpnet_core.image.pillow import decode_frames

    return decode_frames(data, path, kind)
