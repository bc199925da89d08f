"""All pictures of a file: pages of a TIFF, frames of an animation; read and written again."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from ugpnet_core.errors import ImageError
from ugpnet_core.image.contents import content_of
from ugpnet_core.image.decoded import Array
from ugpnet_core.image.encoding import encode_animation
from ugpnet_core.image.files import (
    QUALITY,
    ImageFile,
    as_write_errors,
    as_written,
    decode_all,
    format_of,
    to_levels,
    write_bytes,
)
from ugpnet_core.image.fitting import Description
from ugpnet_core.image.limits import require_sides

_ANIMATED = {"PNG", "WEBP"}


def read_frames(path: str | os.PathLike[str]) -> Iterator[ImageFile]:
    """Every picture of a file in its order, each decoded when it is asked for.

    Raises:
        What :func:`~ugpnet_core.image.read_image` raises, also for later pictures.
    """
    path = Path(path)
    yield from decode_all(content_of(path), path)


def holds_frames(path: str | os.PathLike[str], image: ImageFile) -> bool:
    """Whether a file of this name can hold all pictures of the file that an image is of: a TIFF
    all of any, PNG and WebP those of an animation."""
    kind = format_of(Path(path))
    animated = image.metadata.milliseconds is not None
    return image.frames > 1 and (kind == "TIFF" or (kind in _ANIMATED and animated))


def write_frames(
    path: str | os.PathLike[str],
    frames: Iterable[ImageFile],
    *,
    strip: bool = False,
    quality: int | None = None,
) -> None:
    """Write pictures into one file, whole or not at all: a TIFF of pages, taken one by one and
    each with its depth and metadata, or an animated PNG or WebP of 8 bits.

    Args:
        path: where to, ending in .tif, .tiff, .png or .webp.
        frames: at least one; of an animation all have one size, and the metadata of the first and
            the time that each is shown are kept.
        strip: leave out EXIF and metadata, as :func:`~ugpnet_core.image.write_image` does.
        quality: of WebP, 1 to 100; None: 95.

    Raises:
        ImageError: the format holds one picture only, there is none, or a picture cannot be
            written.
    """
    path = Path(path)
    kind = format_of(path)
    if kind != "TIFF" and kind not in _ANIMATED:
        raise ImageError(f"{path} can hold one picture only; use .tif, .png or .webp.")
    prepared: Iterator[tuple[Array, Description]]
    prepared = iter(_prepared(path, kind, frame, strip) for frame in frames)
    first = next(prepared, None)
    if first is None:
        raise ImageError(f"{path}: there is no picture to write.")
    prepared = chain([first], prepared)
    if kind == "TIFF":
        from ugpnet_core.image.tiff_writing import encode_pages

        write_bytes(path, encode_pages(prepared))  # what making a page raises is raised as it is
        return
    pictures = list(prepared)
    if len({array.shape[:2] for array, _ in pictures}) != 1:
        raise ImageError(f"{path}: the frames of an animation are of one size; use .tif.")
    clear = any(array.shape[2] == 4 for array, _ in pictures)
    if clear:
        pictures = [(_opaque(array), description) for array, description in pictures]
    with as_write_errors(path, kind):
        data = encode_animation(pictures, kind, quality or QUALITY)
    write_bytes(path, data)


def _prepared(path: Path, kind: str, frame: ImageFile, strip: bool) -> tuple[Array, Description]:
    pages = kind == "TIFF"
    array = to_levels(
        frame.levels[..., :3],
        kind,
        path,
        alpha=frame.alpha,
        bit_depth=frame.bit_depth if pages else 8,
    )
    require_sides(path, kind, array.shape[1], array.shape[0])
    description = Description(frame.icc_profile, frame.exif, frame.metadata)
    return as_written(array, kind, description, grey=frame.grey and pages, strip=strip)


def _opaque(array: Array) -> Array:
    if array.shape[2] == 4:
        return array
    return np.pad(array, ((0, 0), (0, 0), (0, 1)), constant_values=255)
