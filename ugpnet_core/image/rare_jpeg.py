"""JPEG files that Pillow does not read, and imagecodecs does: those of more than 8 bits, with or
without loss, as medical devices make them, and JPEG-LS.
"""

from __future__ import annotations

import numpy as np

from ugpnet_core.image.colours import from_integers
from ugpnet_core.image.decoded import Array
from ugpnet_core.image.jpeg_segments import END_MARKER, segments

_JPEG_LS, _BASELINE = 0xF7, 0xC0
_FRAMES = {*range(0xC0, 0xD0), _JPEG_LS} - {0xC4, 0xC8, 0xCC}
_TO_PRECISION = 4  # from the marker of a frame


def disguised(data: bytes) -> bytes | None:
    """The file as one of 8 bits, from which Pillow reads all but the pixels; None where it reads
    the pixels as well."""
    at = _rare_frame(data)
    if at is None:
        return None
    shown = bytearray(data)
    shown[at + 1], shown[at + _TO_PRECISION] = _BASELINE, 8
    return bytes(shown)


def rare_pixels(data: bytes) -> Array | None:
    """Grey (H, W) or RGB (H, W, 3) as uint16, or uint8 of a JPEG-LS of 8 bits; None where Pillow
    reads them.

    Raises:
        ValueError: it has other colours, or no end.
        What imagecodecs raises for damaged files.
    """
    at = _rare_frame(data)
    if at is None:
        return None
    if END_MARKER not in data[at:]:  # which not every decoder notices
        raise ValueError("it is cut short")
    from imagecodecs import jpeg_decode, jpegls_decode

    decode = jpegls_decode if data[at + 1] == _JPEG_LS else jpeg_decode
    values = np.asarray(decode(data))
    if values.ndim == 3 and values.shape[2] not in {1, 3}:
        raise ValueError(f"{values.shape[2]} channels of this kind are not supported")
    return from_integers(values, data[at + _TO_PRECISION])[0]


def _rare_frame(data: bytes) -> int | None:
    """Where the header of a frame lies that Pillow does not know; None: there is none."""
    for segment in segments(data):
        if segment.marker in _FRAMES:
            at = segment.begin
            precision = data[at + _TO_PRECISION : at + _TO_PRECISION + 1]
            rare = segment.marker == _JPEG_LS or precision > b"\x08"
            return at if rare and precision else None
    return None
