"""More than 8 bits where Pillow reads 8 only: PNG, JPEG 2000, AVIF, HEIC, JPEG XL and PPM."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
from PIL import Image

from ugpnet_core.image.colours import from_integers
from ugpnet_core.image.decoded import Array
from ugpnet_core.image.png import bit_depth

_CODESTREAM = b"\xff\x4f\xff\x51"  # JPEG 2000: the markers SOC and SIZ
_SIZ_DEPTH = 42  # from SOC to the first component's depth
_PPM = re.compile(rb"P6(?:\s+|\s*#[^\n]*\n)+?(\d+)\s+(\d+)\s+(\d+)\s")


def deep_pixels(data: bytes, kind: str, image: Image.Image) -> tuple[Array, bool] | None:
    """Pixels (H, W, 3 or 4) as uint16 as they lie in the file, and whether they are grey; None
    where it has 8 bits or fewer.

    Raises:
        What imagecodecs raises for damaged files.
    """
    found = _DECODERS[kind](data, image) if kind in _DECODERS else None
    if found is None or found.dtype != np.uint16:
        return None
    if found.ndim == 2:
        found = found[..., None]
    if found.ndim != 3:
        return None
    grey = found.shape[2] <= 2
    channels = [[0, 0, 0], [0, 0, 0, 1], [0, 1, 2], [0, 1, 2, 3]][min(found.shape[2], 4) - 1]
    return found[:, :, channels], grey


def _png(data: bytes, image: Image.Image) -> Array | None:
    if bit_depth(data) != 16:
        return None
    from imagecodecs import png_decode

    values: Array = png_decode(data)
    clear = image.info.get("transparency")
    if clear is None or (values.ndim == 3 and values.shape[2] in {2, 4}):
        return values
    values = values.reshape(*values.shape[:2], -1)
    alpha = np.where((values == np.array(clear)).all(2, keepdims=True), 0, 65535)
    return np.concatenate([values, alpha.astype(np.uint16)], axis=2)


def _jpeg_2000(data: bytes, image: Image.Image) -> Array | None:
    at = data.find(_CODESTREAM)
    if at < 0 or len(data) <= at + _SIZ_DEPTH or image.mode not in {"L", "LA", "RGB", "RGBA"}:
        return None if image.mode != "I;16" else np.asarray(image)
    depth = (data[at + _SIZ_DEPTH] & 0x7F) + 1
    if depth <= 8:
        return None
    from imagecodecs import jpeg2k_decode

    return from_integers(jpeg2k_decode(data), depth)[0]


def _avif(data: bytes, _: Image.Image) -> Array | None:
    at = data.find(b"av1C")
    flags = data[at + 6] if 0 <= at < len(data) - 6 else 0
    if not flags & 0x40:
        return None
    from imagecodecs import avif_decode

    return from_integers(avif_decode(data), 12 if flags & 0x20 else 10)[0]


def _heic(data: bytes, image: Image.Image) -> Array | None:
    depth = int(image.info.get("bit_depth") or 8)
    if depth <= 8:
        return None
    import pillow_heif

    opened: Any = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)
    return from_integers(np.asarray(opened) >> (16 - depth), depth)[0]


def _jpeg_xl(data: bytes, image: Image.Image) -> Array | None:
    if getattr(image, "jpeg", False):
        return None
    from imagecodecs import jpegxl_decode

    values: Array = jpegxl_decode(data)
    return values


def _ppm(data: bytes, _: Image.Image) -> Array | None:
    head = _PPM.match(data)
    if head is None or int(head[3]) < 256:
        return None
    width, height, white = map(int, head.groups())
    values = np.frombuffer(data, ">u2", width * height * 3, head.end())
    scaled = values.astype(np.float64) * (65535 / white)
    return scaled.round().clip(0, 65535).astype(np.uint16).reshape(height, width, 3)


_DECODERS = {
    "PNG": _png,
    "JP2": _jpeg_2000,
    "AVIF": _avif,
    "HEIC": _heic,
    "JXL": _jpeg_xl,
    "PNM": _ppm,
}
