"""Image files to tensors and back.

Pixel values are never converted between RGB profiles: the profile is carried along and written
back, so colours look as they did.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ugpnet_core.atomic import write_whole
from ugpnet_core.errors import ImageError
from ugpnet_core.image.codecs import decode
from ugpnet_core.image.colours import is_grey
from ugpnet_core.image.contents import content_of
from ugpnet_core.image.decoded import Array, Decoded
from ugpnet_core.image.encoding import encode
from ugpnet_core.image.fitting import Description, fitted, stripped
from ugpnet_core.image.limits import require_name, require_sides
from ugpnet_core.image.metadata import Metadata

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
"""Extensions, in lower case, of the files that can be written."""

QUALITY = 95
"""Of JPEG and WebP files, where nothing else is asked for."""

_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
_WITH_ALPHA = {"PNG", "WEBP", "TIFF"}
_WITH_16_BITS = {"PNG", "TIFF"}
_WITH_GREY = {"PNG", "TIFF", "JPEG"}


@dataclass(frozen=True)
class ImageFile:
    """An image as it was read, upright, with what is needed to write another one like it.

    Attributes:
        levels: The values (H, W, 3), RGB, or (H, W, 4), RGB and alpha; uint8 or uint16,
            or float32 in [0, 1] of what was never a file. Grey images have three equal channels.
        icc_profile: The RGB colour profile of the file, or that for grey where it is grey, or None.
        exif: The EXIF block, its orientation applied and its thumbnail erased, or None.
        path: The file.
        grey: Whether the file has one channel of colour.
        metadata: The XMP, IPTC, text, resolution and the like.
        frames: How many pictures the file holds: pages, frames of an animation.
        notices: Sentences that its owner may want to know; they do not name the file.
    """

    levels: Array
    path: Path
    icc_profile: bytes | None = None
    exif: bytes | None = None
    grey: bool = False
    metadata: Metadata = field(default_factory=Metadata)
    frames: int = 1
    notices: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.levels.shape[0], self.levels.shape[1]

    @property
    def pixels(self) -> Tensor:
        """Float32 RGB (3, H, W) in [0, 1], made anew each time."""
        return from_levels(self.levels[..., :3])

    @property
    def alpha(self) -> Tensor | None:
        """Float32 (1, H, W) in [0, 1], or None where the file has no transparency."""
        return from_levels(self.levels[..., 3:]) if self.levels.shape[2] == 4 else None

    @property
    def bit_depth(self) -> Literal[8, 16]:
        """Bits per channel that the file needs."""
        return 8 if self.levels.dtype == np.uint8 else 16


def read_image(path: str | os.PathLike[str]) -> ImageFile:
    """Read an image file of any kind that docs/restoring.md names; of several frames or pages, the
    first, with a notice. Its kind is told by its content.

    Args:
        path: The file.

    Returns:
        The image, upright, whose ``pixels`` are float32 RGB (3, H, W) in [0, 1], with what is
        needed to write another one like it.

    Raises:
        ImageError: The file is missing, empty, no file but a pipe or a device, damaged, no image,
            or larger than the memory; the message names it. A JPEG that is cut short is read as
            long as no more than a quarter is missing, with a notice.
        DependencyError: Files of this kind need an extra that is not installed.
    """
    path = Path(path)
    return decode_image(content_of(path), path)


def decode_image(data: bytes, path: Path) -> ImageFile:
    """Decode the whole content of an image file, as :func:`read_image` does.

    Args:
        path: what the image is called, for errors and ``ImageFile.path``.
    """
    image = next(decode_all(data, path))
    if image.frames == 1:
        return image
    notice = f"It holds {image.frames} pictures, of which this is the first."
    return replace(image, notices=(*image.notices, notice))


def decode_all(data: bytes, path: Path) -> Iterator[ImageFile]:
    """Every picture in the whole content of an image file, each decoded when it is asked for;
    raises what :func:`read_image` does."""
    for decoded in decode(data, path):
        yield _image_file(decoded, path)


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Height and width of an image as :func:`read_image` gives it.

    Raises:
        ImageError: the file is missing, no image, or damaged.
    """
    height, width = read_image(path).pixels.shape[-2:]
    return height, width


def write_image(
    path: str | os.PathLike[str],
    pixels: Tensor | Array,
    *,
    alpha: Tensor | None = None,
    bit_depth: Literal[8, 16] = 8,
    icc_profile: bytes | None = None,
    exif: bytes | None = None,
    grey: bool = False,
    metadata: Metadata | None = None,
    strip: bool = False,
    quality: int | None = None,
) -> None:
    """Write an image in the format of the path's extension, whole or not at all.

    The file is written beside its place and then renamed. In JPEG and BMP, what is transparent is
    laid on white; JPEG, WebP and BMP are written with 8 bits. Folders are made. What a format
    cannot hold of the metadata is left out; :func:`check_writable` says what.

    Args:
        path: The file to write, ending in one of :data:`EXTENSIONS`.
        pixels: The image, float RGB (3, H, W), clamped to [0, 1] and rounded; or its levels
            (H, W, 3), uint8 or uint16, which take less memory.
        alpha: The opacity, float (1, H, W) in [0, 1], or None.
        bit_depth: The bits per channel, where the format has a choice.
        icc_profile: A profile to embed; values are not converted. One for grey is left out where
            the file has colours.
        exif: A block to embed, its orientation applied; the sides it names become those of pixels.
        grey: Whether to write one channel of colour where the three are equal and the format has
            that.
        metadata: The XMP, IPTC, text and resolution to embed.
        strip: Whether to leave out all of EXIF and metadata; the colour profile stays.
        quality: The quality of JPEG and WebP, from 1 to 100; None is :data:`QUALITY`.

    Raises:
        ImageError: The extension is unknown, the tensor is no image or holds values that are no
            finite numbers, it is too large for the format, or the disk refuses.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import torch
        >>> import ugpnet_core as ug
        >>> path = Path(tempfile.mkdtemp()) / "red.png"
        >>> red = torch.zeros(3, 4, 5)
        >>> red[0] = 1
        >>> ug.write_image(path, red, bit_depth=16)
        >>> image = ug.read_image(path)
        >>> image.size, image.bit_depth, torch.equal(image.pixels, red)
        ((4, 5), 16, True)
    """
    path = Path(path)
    kind = format_of(path)
    description = Description(icc_profile, exif, metadata or Metadata())
    array = to_levels(pixels, kind, path, alpha=alpha, bit_depth=bit_depth)
    array, description = as_written(array, kind, description, grey=grey, strip=strip)
    require_sides(path, kind, array.shape[1], array.shape[0])
    with as_write_errors(path, kind):
        data = encode(array, kind, description, quality or QUALITY)
    write_bytes(path, data)


def check_writable(
    path: str | os.PathLike[str],
    width: int,
    height: int,
    *,
    exif: bytes | None = None,
    metadata: Metadata | None = None,
    icc_profile: bytes | None = None,
) -> tuple[str, ...]:
    """Whether :func:`write_image` can write a picture of this size there, before the work.

    Returns:
        Sentences on what of the metadata the format cannot hold.

    Raises:
        ImageError: the extension is unknown, the format ends at smaller sides, or the name is
            longer than the disk's may be.
    """
    path = Path(path)
    kind = format_of(path)
    require_sides(path, kind, width, height)
    require_name(path)
    description = Description(icc_profile, exif, metadata or Metadata())
    lost = fitted(description, kind, (width, height))[1]
    return (f"{kind} cannot hold its {', '.join(lost)}.",) if lost else ()


def pixels_lost(path: Path, image: ImageFile) -> tuple[str, ...]:
    """Sentences on what the format of a name cannot hold of an image's pixels."""
    kind = format_of(path)
    lost = list[str]()
    if image.bit_depth == 16 and kind not in _WITH_16_BITS:
        lost.append(f"{kind} has 8 bits, and its are more.")
    opaque = np.iinfo(image.levels.dtype).max if image.levels.dtype.kind == "u" else 1
    if kind not in _WITH_ALPHA and bool((image.levels[..., 3:] != opaque).any()):
        lost.append(f"{kind} has no transparency; what is transparent is laid on white.")
    return tuple(lost)


def format_of(path: Path) -> str:
    """The format that a file is written in, by the extension of its name.

    Raises:
        ImageError: there is none.
    """
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise ImageError(f"{path} has no known image extension; use one of {' '.join(EXTENSIONS)}.")
    return kind


def to_levels(
    pixels: Tensor | Array,
    kind: str,
    path: Path,
    *,
    alpha: Tensor | None = None,
    bit_depth: Literal[8, 16] = 8,
) -> Array:
    """An image as an array (H, W, 3 or 4) of what a format can hold, uint8 or uint16.

    Raises:
        ImageError: it is no image, or holds values that are no finite numbers.
    """
    dtype = np.dtype(np.uint16 if bit_depth == 16 and kind in _WITH_16_BITS else np.uint8)
    if isinstance(pixels, np.ndarray):
        laid = alpha is not None and kind not in _WITH_ALPHA
        if pixels.dtype == dtype and pixels.shape[2] == 3 and not laid:
            return pixels if alpha is None else np.dstack([pixels, _rounded(alpha, dtype)])
        pixels = from_levels(pixels)
    if pixels.dim() != 3 or pixels.shape[0] != 3:
        raise ImageError(f"{path}: an image is (3, H, W), not {tuple(pixels.shape)}.")
    planes = pixels.detach().cpu().float()
    if not bool(planes.isfinite().all()):
        raise ImageError(
            f"{path} would have pixels that are no finite numbers, and is not written; use another "
            "model."
        )
    if alpha is not None:
        opacity = alpha.detach().cpu().float().clamp(0, 1)
        if kind in _WITH_ALPHA:
            planes = torch.cat([planes, opacity])
        else:
            planes = planes.clamp(0, 1) * opacity + (1 - opacity)
    return _rounded(planes, dtype)


def as_written(
    array: Array, kind: str, description: Description, *, grey: bool, strip: bool
) -> tuple[Array, Description]:
    """Levels with one channel of colour where they are grey, and what is written beside them."""
    profile = description.icc_profile
    may_be_grey = kind in _WITH_GREY and (is_grey(profile) or (grey and profile is None))
    one = may_be_grey and bool((array[..., :1] == array[..., 1:3]).all())
    if one:
        array = array[..., [0, 3][: array.shape[2] - 2]]
    elif is_grey(profile):
        description = replace(description, icc_profile=None)
    if strip:
        description = stripped(description)
    return array, fitted(description, kind, (array.shape[1], array.shape[0]))[0]


def from_levels(array: Array) -> Tensor:
    """An array (H, W, C) of uint8, uint16 or float32, colours in the order RGB, as float32
    (C, H, W) in [0, 1]."""
    planes = torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1), dtype=np.float32))
    return planes.div_(float(np.iinfo(array.dtype).max)) if array.dtype.kind == "u" else planes


@contextmanager
def as_write_errors(path: Path, kind: str) -> Iterator[None]:
    """What encoders raise becomes an ImageError that names the file."""
    try:
        yield
    except (OSError, ValueError, RuntimeError, struct.error) as error:
        raise ImageError(f"{path} cannot be encoded as {kind} ({error}); choose .png.") from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file in place of what is there.

    Raises:
        ImageError: the disk refuses.
    """
    try:
        write_whole(path, data, sync=False)
    except OSError as error:
        raise ImageError(f"{path} cannot be written: {error.strerror or error}.") from error


def _rounded(planes: Tensor, dtype: np.dtype[Any]) -> Array:
    """(C, H, W) in [0, 1] as levels (H, W, C)."""
    levels = planes.detach().cpu().float().clamp(0, 1).mul_(float(np.iinfo(dtype).max)).round_()
    return levels.permute(1, 2, 0).numpy().astype(dtype, order="C")


def _image_file(decoded: Decoded, path: Path) -> ImageFile:
    array = decoded.array
    return ImageFile(
        # Pillow's cannot be written to, and results take the place of what they were made from.
        levels=array if array.flags.writeable else array.copy(),
        path=path,
        icc_profile=decoded.icc_profile,
        exif=decoded.exif,
        grey=decoded.grey,
        metadata=decoded.metadata,
        frames=decoded.frames,
        notices=tuple(f"{notice[:1].upper()}{notice[1:]}." for notice in decoded.notices),
    )
