"""JPEG files of which the end is missing: what there is of the picture, and how much is not.

Decoders say nothing where a card or a download left zeros instead of the end, or a program has put
the marker that ends a JPEG behind half a picture; they paint what is missing grey.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from ugpnet_core.errors import ImageError
from ugpnet_core.image.jpeg_segments import END, END_MARKER, SCAN, segments
from ugpnet_core.image.rare_jpeg import disguised

_MOST_MISSING = 0.25
_LEAST_MISSING = 0.005
_BLOCK = 16
_AFTER_A_SCAN = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_FILM = re.compile(rb"ftyp(?:mp4|isom|iso\d|qt  |avc1|3gp|hvc1|M4V)")
_FILLING = b"\0\xff"
_FILLED = 16  # bytes
_PAINTED = (127, 128)
# Any bytes would do that stand for some picture.
_PROBE = bytes(range(1, 255)) * 2

Decode = Callable[[bytes], Image.Image]


def loaded(
    image: Image.Image, data: bytes, path: Path, decode: Decode, notices: list[str]
) -> Image.Image:
    """Load an opened JPEG with all that there is of it, and add what there is to say; one whose
    pixels Pillow does not read stays as it is.

    Args:
        decode: makes a loaded picture of a whole file.

    Raises:
        ImageError: more than a quarter of the picture is missing.
        What Pillow raises for other damage.
    """
    if disguised(data) is not None:
        return image
    notice: str | None
    if _without_filling(data) is not None:
        image, notice = _mended(data, path, decode)
    else:
        try:
            image.load()
        except OSError as error:
            if "truncated" not in str(error):
                raise
            image, notice = _mended(data, path, decode)
        else:
            notice = _ended_early(image, data, path, decode)
    notices += [notice] if notice else []
    notices += ["the film that follows the picture is left out"] if _film_after(data) else []
    return image


def _end_of(data: bytes) -> int | None:
    """Where the first picture of a JPEG ends, None where it has no end."""
    found = list(segments(data))
    while found and found[-1].marker == SCAN:
        following = _AFTER_A_SCAN.search(data, found[-1].end)
        found = list(segments(data, following.start())) if following is not None else []
    return found[-1].end if found and found[-1].marker == END else None


def _film_after(data: bytes) -> bool:
    """Whether a film follows a picture, as telephones write them that take moving photographs."""
    end = _end_of(data)
    return end is not None and _FILM.search(data, end) is not None


def _without_filling(data: bytes) -> bytes | None:
    """A file that has zeros in the place of its end, without them; None where it has none."""
    if _end_of(data) is not None:
        return None
    left = data.rstrip(_FILLING)
    return left if len(data) - len(left) >= _FILLED else None


def _mended(data: bytes, path: Path, decode: Decode) -> tuple[Image.Image, str]:
    """A JPEG that lacks its end, with what there is of it, and the notice that says so."""
    # With a marker at their end, decoders take what there is for all of it.
    image = decode((_without_filling(data) or data) + END_MARKER)
    share = _missing(np.asarray(image))
    if share >= _LEAST_MISSING:
        return image, _notice(share, path)
    if image.info.get("progressive"):  # it is stored from coarse to fine
        return image, "it is cut short, and may lack detail"
    return image, "it is cut short, little or nothing of the picture is missing"


def _ended_early(image: Image.Image, data: bytes, path: Path, decode: Decode) -> str | None:
    """What there is to say of a picture, loaded from a file with an end, whose last part decoders
    have painted grey; None where all of it is there.

    Where a picture is complete, further bytes before its end change nothing.
    """
    pixels = np.asarray(image)
    last = pixels[-1:, -1:]
    end = _end_of(data)
    if end is None or image.info.get("progressive") or not np.isin(last, _PAINTED).all():
        return None
    share = _missing(pixels)
    if share < _LEAST_MISSING:
        return None
    at = end - len(END_MARKER)
    try:
        probe = decode(data[:at] + _PROBE + data[at:])
    except OSError:  # they were read, and made no sense
        return _notice(share, path)
    return None if np.array_equal(pixels, np.asarray(probe)) else _notice(share, path)


def _notice(share: float, path: Path) -> str:
    if share > _MOST_MISSING:
        raise ImageError(
            f"{path} is damaged: it is cut short, and {share:.0%} of the picture are missing; "
            "replace or remove it."
        )
    return f"it is cut short, the last {share:.0%} of the picture are missing"


def _missing(pixels: npt.NDArray[np.uint8]) -> float:
    """The share of a picture (H, W, channels) that is missing at its end: blocks, in the order in
    which they are stored, of nothing but the last pixel's colour."""
    flat = (pixels == pixels[-1:, -1:]).reshape(*pixels.shape[:2], -1).all(2)
    lost = 0
    for top in reversed(range(0, len(flat), _BLOCK)):
        band = flat[top : top + _BLOCK]
        # Colour of half the resolution is mixed with the rows above as it is enlarged.
        columns = int(np.cumprod(band[min(2, len(band) - 1) :].all(0)[::-1]).sum())
        lost += len(band) * columns
        if columns < flat.shape[1]:
            break
    return lost / int(flat.size)
