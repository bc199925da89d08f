"""More than 8 bits where Pillow reads 8 only: PNG, JPEG and its kin, AVIF, HEIC and PPM."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from ugpnet_core.image.colours import from_floats, from_integers
from ugpnet_core.image.decoded import Array
from ugpnet_core.image.jxl import header_of
from ugpnet_core.image.png import bit_depth, pixels_only
from ugpnet_core.image.rare_jpeg import rare_pixels

_CODESTREAM = b"\xff\x4f\xff\x51"  # JPEG 2000: the markers SOC and SIZ
_SIZ_DEPTH = 42  # from SOC to the first component's depth
_UNPALETTED = {"L", "LA", "RGB", "RGBA", "I;16"}
_PPM = re.compile(rb"P6(?:\s+|\s*#[^\n]*\n)+?(\d+)\s+(\d+)\s+(\d+)\s")


def deep_pixels(
    data: bytes, kind: str, image: Image.Image, index: int = 0
) -> tuple[Array, bool] | None:
    """Pixels (H, W, 3 or 4) as they lie in the file, uint16, or uint8 of fewer than 8 bits, and
    whether they are grey; None where Pillow reads them as well.

    Args:
        index: of the frame; of the later ones, those of JPEG XL alone are known here.

    Raises:
        What imagecodecs raises for damaged files.
    """
    if kind == "JXL":
        found = _jpeg_xl(data, image, index)
    else:
        found = _DECODERS[kind](data, image) if kind in _DECODERS and not index else None
    if found is None:
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

    values: Array = png_decode(pixels_only(data))
    clear = image.info.get("transparency")
    if clear is None or (values.ndim == 3 and values.shape[2] in {2, 4}):
        return values
    values = values.reshape(*values.shape[:2], -1)
    alpha = np.where((values == np.array(clear)).all(2, keepdims=True), 0, 65535)
    return np.concatenate([values, alpha.astype(np.uint16)], axis=2)


def _jpeg_2000(data: bytes, image: Image.Image) -> Array | None:
    at = data.find(_CODESTREAM)
    if at < 0 or len(data) <= at + _SIZ_DEPTH or image.mode not in _UNPALETTED:
        return None
    signed, depth = data[at + _SIZ_DEPTH] >> 7, (data[at + _SIZ_DEPTH] & 0x7F) + 1
    if depth == 8 or (signed and image.mode == "I;16"):
        return np.asarray(image) if image.mode == "I;16" else None
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


def jpeg_xl_frames(data: bytes) -> int:
    """How many pictures a JPEG XL holds."""
    header = header_of(data)
    if header is None or not header.animated:
        return 1
    from imagecodecs import jpegxl_decode

    values: Array = jpegxl_decode(data)
    return len(values) if values.ndim == 4 else 1


def _jpeg_xl(data: bytes, image: Image.Image, index: int) -> Array | None:
    if getattr(image, "jpeg", False):
        return None
    from imagecodecs import jpegxl_decode

    values: Array = jpegxl_decode(data)
    if values.ndim == 4:  # an animation
        values = values[index]
    if values.dtype.kind == "f":
        return from_floats(values)[0]
    header = header_of(data)
    return from_integers(values, header.bits if header else values.dtype.itemsize * 8)[0]


def _ppm(data: bytes, _: Image.Image) -> Array | None:
    head = _PPM.match(data)
    if head is None or int(head[3]) < 256:
        return None
    width, height, white = map(int, head.groups())
    values = np.frombuffer(data, ">u2", width * height * 3, head.end())
    scaled = values.astype(np.float64) * (65535 / white)
    return scaled.round().clip(0, 65535).astype(np.uint16).reshape(height, width, 3)


_DECODERS: dict[str, Callable[[bytes, Image.Image], Array | None]] = {
    "PNG": _png,
    "JPEG": lambda data, _: rare_pixels(data),
    "JP2": _jpeg_2000,
    "AVIF": _avif,
    "HEIC": _heic,
    "PNM": _ppm,
}
