"""From arrays to the bytes of image files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from ugpnet_core.image.decoded import Array
from ugpnet_core.image.fitting import Description
from ugpnet_core.image.jpeg import with_segments
from ugpnet_core.image.png import described_by, with_chunks

# As fast as OpenCV's: no search, differences to the left neighbour, runs.
_DEEP_PNG = {"level": 1, "strategy": 3, "filter": 16}
_DEFAULT_MILLISECONDS = 100.0


def encode(array: Array, kind: str, description: Description, quality: int) -> bytes:
    """Encode (H, W, 1 to 4), uint8 or uint16: grey, grey and alpha, RGB, RGB and alpha.

    Args:
        kind: PNG, JPEG, WEBP, TIFF or BMP; one that can hold the array.
        description: what :func:`~ugpnet_core.image.fitting.fitted` leaves of it.
        quality: of JPEG and WebP, 1 to 100.
    """
    if kind == "TIFF":
        from ugpnet_core.image.tiff_writing import encode_pages

        return encode_pages([(array, description)])
    if kind == "PNG":
        data = _deep_png(array) if array.dtype == np.uint16 else _saved(array, "PNG")
        return with_chunks(
            data, described_by(description.metadata, description.icc_profile, description.exif)
        )
    options = _options(kind, description, quality)
    data = _saved(array, kind, **options)
    return with_segments(data, description.metadata) if kind == "JPEG" else data


def encode_animation(frames: Sequence[tuple[Array, Description]], kind: str, quality: int) -> bytes:
    """Encode frames of uint8 and one size as an animated PNG or WebP; the first one's description
    is the file's."""
    pictures = [_picture(array) for array, _ in frames]
    first = frames[0][1]
    shown = [what.metadata.milliseconds or _DEFAULT_MILLISECONDS for _, what in frames]
    options: dict[str, Any] = {
        "save_all": True,
        "append_images": pictures[1:],
        "duration": [round(time) for time in shown],
        "loop": first.metadata.loop or 0,
    }
    if kind == "WEBP":
        options |= _options(kind, first, quality)
    buffer = io.BytesIO()
    pictures[0].save(buffer, format=kind, **options)
    if kind == "WEBP":
        return buffer.getvalue()
    chunks = described_by(first.metadata, first.icc_profile, first.exif)
    return with_chunks(buffer.getvalue(), chunks)


def _options(kind: str, description: Description, quality: int) -> dict[str, Any]:
    """What Pillow takes for JPEG, WebP and BMP."""
    metadata = description.metadata
    options: dict[str, Any] = {}
    if metadata.dpi and kind != "WEBP":
        options["dpi"] = metadata.dpi
    if kind == "BMP":
        return options
    options["quality"] = quality
    if kind == "JPEG":
        options["subsampling"] = 0
    given = {"icc_profile": description.icc_profile, "exif": description.exif}
    if kind == "WEBP":
        given["xmp"] = metadata.xmp
    return options | {name: value for name, value in given.items() if value}


def _saved(array: Array, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    _picture(array).save(buffer, format=kind, **options)
    return buffer.getvalue()


def _picture(array: Array) -> Image.Image:
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)


def _deep_png(array: Array) -> bytes:
    from imagecodecs import png_encode

    flat = array[..., 0] if array.shape[2] == 1 else array
    return bytes(png_encode(np.ascontiguousarray(flat), **_DEEP_PNG))
