"""Image files to tensors and back.

Pixel values are never converted between RGB profiles: the profile is carried along and written
back, so colours look as they did.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from ugpnet_core.atomic import write_whole
from ugpnet_core.errors import ImageError
from ugpnet_core.image.codecs import Array, decode, encode, upright_size

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
"""Extensions, in lower case, of the files that are taken for images and can be written."""

_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
_UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error)

_WITH_ALPHA = {"PNG", "WEBP", "TIFF"}
_WITH_16_BITS = {"PNG", "TIFF"}


@dataclass(frozen=True)
class ImageFile:
    """An image as it was read, upright, with what is needed to write another one like it.

    Attributes:
        pixels: float32 RGB (3, H, W) in [0, 1]; grey images have three equal channels.
        alpha: float32 (1, H, W) in [0, 1], or None where the file has no transparency.
        bit_depth: bits per channel in the file, 8 or 16.
        icc_profile: the RGB colour profile of the file, or None.
        exif: the EXIF block without its orientation, which has been applied, or None.
        path: the file.
    """

    pixels: Tensor
    path: Path
    alpha: Tensor | None = None
    bit_depth: Literal[8, 16] = 8
    icc_profile: bytes | None = None
    exif: bytes | None = None


def read_image(path: str | os.PathLike[str]) -> ImageFile:
    """Read a PNG, JPEG, WebP, TIFF or BMP file; of several frames, the first.

    Raises:
        ImageError: the file is missing, empty, cut short or no image; the message names it.
        DependencyError: a 16-bit file, and OpenCV cannot be imported.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(
            f"{path} cannot be read: {error.strerror or error}; check the path."
        ) from error
    return decode_image(data, path)


def decode_image(data: bytes, path: Path) -> ImageFile:
    """Decode the whole content of an image file, as :func:`read_image` does.

    Args:
        path: what the image is called, for errors and ``ImageFile.path``.
    """
    if not data:
        raise ImageError(f"{path} is empty; replace it by an image.")
    try:
        array, profile, exif = decode(data, path)
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{path} is not an image that can be read; replace or remove it."
        ) from error
    except _UNREADABLE as error:
        raise ImageError(f"{path} is damaged ({error}); replace or remove it.") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path} is too large to read: {error}; cut it into parts.") from error
    tensor = from_levels(array)
    return ImageFile(
        pixels=tensor[:3],
        path=path,
        alpha=tensor[3:] if tensor.shape[0] == 4 else None,
        bit_depth=16 if array.dtype == np.uint16 else 8,
        icc_profile=profile,
        exif=exif,
    )


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Height and width of an image as :func:`read_image` gives it, from the file's head.

    Raises:
        ImageError: the file is missing or no image.
    """
    path = Path(path)
    try:
        return upright_size(path.read_bytes())
    except _UNREADABLE as error:
        raise ImageError(
            f"{path} is not an image that can be read; replace or remove it."
        ) from error


def write_image(
    path: str | os.PathLike[str],
    pixels: Tensor,
    *,
    alpha: Tensor | None = None,
    bit_depth: Literal[8, 16] = 8,
    icc_profile: bytes | None = None,
    exif: bytes | None = None,
) -> None:
    """Write an image in the format of the path's extension, whole or not at all.

    The file is written beside its place and then renamed. JPEG and BMP drop alpha; JPEG, WebP
    and BMP are written with 8 bits; JPEG and WebP with quality 95. Folders are made.

    Args:
        path: where to, ending in one of :data:`EXTENSIONS`.
        pixels: float RGB (3, H, W), clamped to [0, 1] and rounded.
        alpha: (1, H, W) in [0, 1], or None.
        bit_depth: bits per channel, where the format has a choice.
        icc_profile: profile to embed; values are not converted.
        exif: block to embed (PNG, JPEG and WebP of 8 bits).

    Raises:
        ImageError: the extension is unknown, the tensor is no image or holds values that are no
            finite numbers, or the disk refuses.
    """
    path = Path(path)
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise ImageError(f"{path} has no known image extension; use one of {' '.join(EXTENSIONS)}.")
    if pixels.dim() != 3 or pixels.shape[0] != 3:
        raise ImageError(f"{path}: an image is (3, H, W), not {tuple(pixels.shape)}.")
    planes = pixels.detach().cpu().float()
    if not bool(planes.isfinite().all()):
        raise ImageError(
            f"{path} would have pixels that are no finite numbers, and is not written; use another "
            "model."
        )
    if alpha is not None and kind in _WITH_ALPHA:
        planes = torch.cat([planes, alpha.detach().cpu().float()])
    deep = bit_depth == 16 and kind in _WITH_16_BITS
    white = 65535 if deep else 255
    levels = planes.clamp(0, 1).mul(white).round()
    array = levels.permute(1, 2, 0).contiguous().numpy().astype(np.uint16 if deep else np.uint8)
    _replace(path, encode(array, kind, path, icc_profile, exif))


def list_images(inputs: Iterable[str | os.PathLike[str]], *, recursive: bool = False) -> list[Path]:
    """The image files that the inputs name: files as they are, folders by extension, sorted.

    Args:
        inputs: files and folders; a file is listed whatever its extension, and once only.
        recursive: look into subfolders, too. Hidden files are left out.

    Raises:
        ImageError: an input does not exist.
    """
    found: dict[Path, None] = {}
    for item in map(Path, inputs):
        if item.is_dir():
            inside = item.rglob("*") if recursive else item.iterdir()
            for file in sorted(inside):
                hidden = any(part.startswith(".") for part in file.relative_to(item).parts)
                if file.suffix.lower() in EXTENSIONS and not hidden and file.is_file():
                    found[file] = None
        elif item.exists():
            found[item] = None
        else:
            raise ImageError(f"{item} does not exist; give image files or folders.")
    return list(found)


def from_levels(array: Array) -> Tensor:
    """An array (H, W, C) of uint8 or uint16, colours in the order RGB, as float32 (C, H, W) in
    [0, 1]."""
    planes = np.ascontiguousarray(array.transpose(2, 0, 1))
    return torch.from_numpy(planes.astype(np.float32)) / float(np.iinfo(array.dtype).max)


def _replace(path: Path, data: bytes) -> None:
    try:
        write_whole(path, data, sync=False)
    except OSError as error:
        raise ImageError(f"{path} cannot be written: {error.strerror or error}.") from error
