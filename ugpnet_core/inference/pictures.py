"""What people have in Python, as an :class:`ImageFile`: paths, Pillow's images, arrays, tensors."""

from __future__ import annotations

import io
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps
from torch import Tensor

from ugpnet_core.errors import ImageError, SizeError
from ugpnet_core.image import ImageFile, decode_image, read_image

Picture: TypeAlias = "str | PathLike[str] | Tensor | Image.Image | npt.NDArray[Any]"
# A float array that goes so far beyond 1 was meant to be something else.
_FAR_BEYOND_WHITE = 2.0
# What PNG holds as it is.
_MODES = {"1", "L", "LA", "P", "RGB", "RGBA"}


def picture_file(picture: Picture) -> ImageFile:
    """One image of any kind, as if it had been read from a file; not for batches.

    Args:
        picture: a path; a Pillow image, whose alpha, profile, EXIF and orientation count; an array
            (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), grey or RGB or RGBA, of uint8, uint16, or
            floats in [0, 1]; or a tensor, float RGB (3, H, W) in [0, 1].

    Raises:
        ImageError: the file cannot be read, or values are of another type or range.
        SizeError: the shape is another.
    """
    if isinstance(picture, Image.Image):
        return _from_pil(picture)
    if isinstance(picture, np.ndarray):
        return _from_array(picture)
    if isinstance(picture, Tensor):
        planes = picture.detach().cpu().float().permute(1, 2, 0)
        return ImageFile(planes.numpy(), path=Path("tensor"))
    if isinstance(picture, (str, PathLike)):
        return read_image(picture)
    raise ImageError(
        f"An image is a path, a Pillow image, an array or a tensor, not {type(picture).__name__}."
    )


def _from_pil(picture: Image.Image) -> ImageFile:
    if picture.mode == "F":
        return _from_array(np.asarray(ImageOps.exif_transpose(picture)))
    if picture.mode.startswith("I"):  # of 32 bits, of which Pillow's own files use 16
        deep = np.asarray(ImageOps.exif_transpose(picture))
        return _from_array(deep.clip(0, 65535).astype(np.uint16))
    fitting = picture if picture.mode in _MODES else picture.convert("RGB")
    # Through a file without loss, so that a Pillow image is understood as its file would be.
    buffer = io.BytesIO()
    extras: dict[str, Any] = {"exif": picture.getexif().tobytes()} if picture.getexif() else {}
    profile = picture.info.get("icc_profile")
    if profile and picture.mode in _MODES:
        extras["icc_profile"] = profile
    fitting.save(buffer, format="PNG", compress_level=1, **extras)
    name = getattr(picture, "filename", "") or "image"
    return decode_image(buffer.getvalue(), Path(name))


def _from_array(array: npt.NDArray[Any]) -> ImageFile:
    planes = array[:, :, None] if array.ndim == 2 else array
    if planes.ndim != 3 or planes.shape[2] not in (1, 3, 4):
        hint = " (transpose(1, 2, 0) makes one)" if array.shape[:1] in ((1,), (3,)) else ""
        raise SizeError(
            f"An array is grey (H, W), RGB (H, W, 3) or RGBA (H, W, 4), not {array.shape}{hint}."
        )
    if np.issubdtype(array.dtype, np.floating):
        planes = _floats(planes)
    elif array.dtype not in (np.uint8, np.uint16):
        raise ImageError(
            f"Arrays are uint8, uint16, or floats in [0, 1], not {array.dtype}; convert it."
        )
    grey = planes.shape[2] == 1
    return ImageFile(
        np.repeat(planes, 3, axis=2) if grey else planes, path=Path("array"), grey=grey
    )


def _floats(planes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    pixels = planes.astype(np.float32)
    if pixels.size and not float(np.abs(pixels).max()) <= _FAR_BEYOND_WHITE:
        raise ImageError(
            "A float array holds values in [0, 1], and this one goes far beyond or holds NaN; "
            "divide it by its white, for instance 255."
        )
    return pixels.clip(0, 1)
