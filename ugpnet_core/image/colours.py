"""From the colours that files hold to RGB: inks, L*a*b*, palettes, and numbers of any range.

Arrays are (H, W, channels). What becomes of colours without a profile is what Pillow makes of
them; profiles are applied by Little CMS (imagecodecs brings it, also for 16 bits).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ImageCms

Array = npt.NDArray[Any]

_MOST_OUTSIDE = 0.01
_HIGHLIGHTS = 16.0  # a white above this is a count of levels, not a bright light


def from_cmyk(inks: Array, profile: bytes | None) -> Array:
    """Inks (H, W, 4), uint8 or uint16, all of them for the largest value, as sRGB."""
    if profile and profile[16:20] == b"CMYK":
        try:
            return _transformed(inks, profile, "cmyk")
        except Exception:  # a broken profile: the plain conversion below
            pass
    white = int(np.iinfo(inks.dtype).max)
    light = white - inks.astype(np.uint32)
    # Rounded as (a * b + white / 2) / white.
    mixed = (light[..., :3] * light[..., 3:].astype(np.uint64) + white // 2) // white
    return mixed.astype(inks.dtype)


def from_lab(lab: Array, *, signed: bool) -> Array:
    """CIE L*a*b* (D50) of a TIFF, uint8 or uint16, as sRGB of the same depth.

    Args:
        signed: a* and b* are numbers with a sign (CIELab), not levels around the middle (ICCLab).
    """
    levels = lab.astype(np.int32)
    full = int(np.iinfo(lab.dtype).max)
    step = (full + 1) // 256  # levels for one unit of a* and b*
    light = levels[..., :1] / (full if signed or step == 1 else 0xFF00)
    if signed:
        levels[levels > full // 2] -= full + 1
    hue = levels[..., 1:] / step + (128 if signed else 0)
    scaled = np.concatenate([light, hue / 255], axis=2)
    encoded = (scaled.clip(0, 1) * 65535).round().astype(np.uint16)
    space = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    rgb = _transformed(encoded, space, "lab")
    return rgb if step > 1 else ((rgb.astype(np.uint32) + 128) // 257).astype(np.uint8)


def from_floats(values: Array) -> tuple[Array, str | None]:
    """Numbers as uint16: from 0 to 1 as they are, and what was made of others."""
    values = values.astype(np.float32)
    notice = None
    finite = np.isfinite(values)
    if not finite.all():
        notice = "values that are no finite numbers are shown as black or white"
        values = np.nan_to_num(values, nan=0.0, posinf=1.0, neginf=0.0)
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if low < 0 or high > 1:
        white = _white(values, high)
        values = values / white
        what = f"divided by {white:g} and cut" if white != 1 else "cut"
        notice = f"values from {low:g} to {high:g} are {what} to the range from 0 to 1"
    return (values.clip(0, 1) * 65535).round().astype(np.uint16), notice


def from_integers(values: Array, bits: int) -> tuple[Array, str | None]:
    """Whole numbers of ``bits`` bits as uint8 (up to 8) or uint16; negative ones are black."""
    notice = None
    if values.dtype.kind == "i":
        bits = values.dtype.itemsize * 8 - 1
        if values.size and values.min() < 0:
            notice = "negative values are shown as black"
        values = values.clip(0)
    full = 2**bits - 1
    deep = bits > 8
    white = 65535 if deep else 255
    if full == white:
        return values.astype(np.uint16 if deep else np.uint8), notice
    scaled = values.astype(np.float64) * (white / full)
    return scaled.round().astype(np.uint16 if deep else np.uint8), notice


def divided_by_alpha(array: Array) -> Array:
    """Colours that were multiplied by their alpha, the last channel, as they were before."""
    white = float(np.iinfo(array.dtype).max)
    alpha = array[..., -1:].astype(np.float32)
    factors = np.divide(white, alpha, out=np.zeros_like(alpha), where=alpha > 0)
    colours = (array[..., :-1] * factors).round().clip(0, white)
    return np.concatenate([colours.astype(array.dtype), array[..., -1:]], axis=2)


def of_palette(indices: Array, palette: Array) -> Array:
    """Indices (H, W, 1) into a palette (3, N) of uint16 as uint8 RGB."""
    wide = palette.max(initial=0) > 255  # some write 8 bits into 16
    table: Array = np.right_shift(palette, 8 if wide else 0).astype(np.uint8).T
    return np.asarray(table[indices[..., 0].astype(np.intp).clip(0, len(table) - 1)])


def is_grey(profile: bytes | None) -> bool:
    """Whether a colour profile is one for a single channel."""
    return bool(profile) and profile is not None and profile[16:20] == b"GRAY"


def _white(values: Array, high: float) -> float:
    """What stands for white: 1 where most values are at most that, as lights may be brighter."""
    outside = float(np.mean(values > 1))
    if outside <= 0.5 and (high <= _HIGHLIGHTS or outside <= _MOST_OUTSIDE):
        return 1.0
    return next((white for white in (255.0, 65535.0) if _HIGHLIGHTS < high <= white), high)


def _transformed(array: Array, profile: bytes, space: str) -> Array:
    from imagecodecs import CMS, cms_transform

    # Little CMS before 2.18 puts a coarse table in the place of the formulas of L*a*b*: colours
    # came out wrong by up to a tenth of the range. Of inks, a profile is a table itself.
    flags = CMS.FLAGS.NOOPTIMIZE if space == "lab" else 0
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = np.ascontiguousarray(array)
    return np.asarray(
        cms_transform(
            data, profile, srgb, colorspace=space, outcolorspace="rgb", intent=0, flags=flags
        )
    )
