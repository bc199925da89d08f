"""Files to tensors and back, and the padding and cropping that sizes ask for.

This is the one module that knows BGR, uint8, uint16, EXIF, alpha, palettes and colour profiles.
Everywhere else an image is a float32 RGB tensor (3, H, W) or (N, 3, H, W) in [0, 1].

8-bit files go through Pillow, which knows rotation, palettes, CMYK and colour profiles; 16-bit
files through OpenCV, which Pillow cannot hold in colour. Pixel values are never converted between
RGB profiles: the profile is carried along and written back, so colours look as they did.
"""

from __future__ import annotations

import io
import os
import struct
import tempfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image, ImageCms, UnidentifiedImageError
from torch import Tensor

from ugpnet_core.errors import DependencyError, ImageError, SizeError

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
_WITH_ALPHA = {"PNG", "WEBP", "TIFF"}
_WITH_16_BITS = {"PNG", "TIFF"}
_JPEG_QUALITY = 95
_ORIENTATION = 0x0112
_TURN = {  # EXIF orientation: (flip left-right afterwards, quarter turns counter-clockwise)
    1: (False, 0),
    2: (True, 0),
    3: (False, 2),
    4: (True, 2),
    5: (True, 3),
    6: (False, 3),
    7: (True, 1),
    8: (False, 1),
}

Array = npt.NDArray[Any]


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
    if not data:
        raise ImageError(f"{path} is empty; replace it by an image.")
    try:
        with Image.open(io.BytesIO(data)) as image:
            profile = image.info.get("icc_profile")
            deep = _is_16_bit(data, image)
            if not deep or image.format == "PNG":  # OpenCV takes half a PNG for a whole one
                image.load()
            exif = image.getexif()  # only now: loading turns a TIFF, and PNG may have EXIF last
            orientation = exif.get(_ORIENTATION, 1)
            kept_exif = _exif_without_orientation(image, exif)
            if deep:
                array = _decode_16_bit(_upright_tiff(data) if orientation != 1 else data, path)
            else:
                array, profile = _decode_8_bit(image, profile)
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{path} is not an image that can be read; replace or remove it."
        ) from error
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error) as error:
        raise ImageError(f"{path} is damaged ({error}); replace or remove it.") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path} is too large to read: {error}; cut it into parts.") from error

    flip, turns = _TURN.get(orientation, (False, 0))
    array = np.rot90(array, turns)
    tensor = from_levels(array[:, ::-1] if flip else array)
    return ImageFile(
        pixels=tensor[:3],
        path=path,
        alpha=tensor[3:] if tensor.shape[0] == 4 else None,
        bit_depth=16 if deep else 8,
        icc_profile=profile if profile and profile[16:20] == b"RGB " else None,
        exif=kept_exif,
    )


def from_levels(array: Array) -> Tensor:
    """An array (H, W, C) of uint8 or uint16, colours in the order RGB, as float32 (C, H, W) in
    [0, 1]."""
    planes = np.ascontiguousarray(array.transpose(2, 0, 1))
    return torch.from_numpy(planes.astype(np.float32)) / float(np.iinfo(array.dtype).max)


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
        ImageError: the extension is unknown, the tensor is no image, or the disk refuses.
    """
    path = Path(path)
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise ImageError(f"{path} has no known image extension; use one of {' '.join(EXTENSIONS)}.")
    if pixels.dim() != 3 or pixels.shape[0] != 3:
        raise ImageError(f"{path}: an image is (3, H, W), not {tuple(pixels.shape)}.")
    planes = pixels.detach().cpu().float()
    if alpha is not None and kind in _WITH_ALPHA:
        planes = torch.cat([planes, alpha.detach().cpu().float()])
    deep = bit_depth == 16 and kind in _WITH_16_BITS
    white = 65535 if deep else 255
    levels = planes.nan_to_num(0.0).clamp(0, 1).mul(white).round()
    array = levels.permute(1, 2, 0).contiguous().numpy().astype(np.uint16 if deep else np.uint8)
    if deep:
        data = _encode_16_bit(array, path, kind, icc_profile)
    else:
        data = _encode_8_bit(array, kind, icc_profile, exif)
    _replace(path, data)


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


def pad_reflect(x: Tensor, left: int, right: int, top: int, bottom: int) -> Tensor:
    """Pad (..., H, W) by mirroring about the border pixels (which are not repeated).

    Works for any amount: where it exceeds the image, the mirroring goes on; a side of one pixel
    is repeated.

    Raises:
        SizeError: the image has no pixels.
    """
    height, width = x.shape[-2:]
    if not height or not width:
        raise SizeError(f"An image of {height}x{width} pixels cannot be padded.")
    if top or bottom:
        x = x.index_select(-2, _mirrored(height, top, bottom).to(x.device))
    if left or right:
        x = x.index_select(-1, _mirrored(width, left, right).to(x.device))
    return x


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Pad (..., H, W) at the right and the bottom, by reflection, to multiples of ``multiple``.

    Take the first H rows and W columns of a result to undo it.
    """
    height, width = x.shape[-2:]
    return pad_reflect(x, 0, -width % multiple, 0, -height % multiple)


def center_square(x: Tensor, size: int) -> Tensor:
    """The largest centred square of (3, H, W) or (N, 3, H, W), resized to ``size``."""
    height, width = x.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return resize(x[..., top : top + side, left : left + side], (size, size))


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Antialiased bicubic resizing of (C, H, W) or (N, C, H, W) to (H', W'), clamped to [0, 1]."""
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    batch = x if x.dim() == 4 else x.unsqueeze(0)
    resized = F.interpolate(
        batch, size=list(size), mode="bicubic", antialias=True, align_corners=False
    ).clamp(0, 1)
    return resized if x.dim() == 4 else resized[0]


def _mirrored(size: int, before: int, after: int) -> Tensor:
    """Indices -before .. size + after - 1, folded into 0 .. size - 1."""
    index = torch.arange(-before, size + after)
    if size == 1:
        return torch.zeros_like(index)
    period = 2 * (size - 1)
    index = index.remainder(period)
    return torch.minimum(index, period - index)


def _is_16_bit(data: bytes, image: Image.Image) -> bool:
    if image.format == "PNG":
        return len(data) > 24 and data[24] == 16  # IHDR: bit depth
    if image.format == "TIFF":
        bits = getattr(image, "tag_v2", {}).get(258, 8)  # BitsPerSample
        return bool(max(bits if isinstance(bits, tuple) else (bits,)) > 8)
    return False


def _upright_tiff(data: bytes) -> bytes:
    """The same file with orientation 1, as OpenCV turns a TIFF in some releases only."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        return data
    patched = bytearray(data)
    (offset,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, offset)
    for entry in range(offset + 2, offset + 2 + 12 * count, 12):
        if struct.unpack_from(order + "H", data, entry) == (_ORIENTATION,):
            struct.pack_into(order + "H", patched, entry + 8, 1)
    return bytes(patched)


def _exif_without_orientation(image: Image.Image, exif: Image.Exif) -> bytes | None:
    """The EXIF block to write back; that of a TIFF describes the file's layout and is dropped."""
    if not exif or image.format not in {"JPEG", "PNG", "WEBP"}:
        return None
    exif.pop(_ORIENTATION, None)
    try:
        return exif.tobytes() if exif else None
    except Exception:  # other people's EXIF is often malformed, and is no reason to lose a picture
        return None


def _decode_8_bit(image: Image.Image, profile: bytes | None) -> tuple[Array, bytes | None]:
    """(H, W, 3 or 4) uint8 and the profile that describes it."""
    if image.mode == "CMYK" and profile:
        try:
            converted = ImageCms.profileToProfile(
                image,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                outputMode="RGB",
            )
            if converted is not None:
                return np.asarray(converted), None
        except ImageCms.PyCMSError:
            pass  # a broken profile: the plain conversion below
    if image.mode in {"I", "F"} or image.mode.startswith("I;"):
        raise ValueError(
            f"pixels of mode {image.mode} are not supported, save it with 8 or 16 bits"
        )
    transparent = "transparency" in image.info or image.mode in {"LA", "PA", "La", "RGBA", "RGBa"}
    return np.asarray(image.convert("RGBA" if transparent else "RGB")), profile


def _decode_16_bit(data: bytes, path: Path) -> Array:
    """(H, W, 3 or 4) uint16, RGB."""
    cv2 = _opencv()
    try:
        array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ImageError(f"{path} is damaged ({error}); replace or remove it.") from error
    if array is None:
        raise ImageError(f"{path} is damaged or of an unknown kind; replace or remove it.")
    if array.dtype != np.uint16:
        raise ImageError(f"{path} has pixels of type {array.dtype}; save it with 8 or 16 bits.")
    if array.ndim == 2 or array.shape[2] == 1:
        return np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=2)
    if array.shape[2] == 2:
        return np.asarray(array[:, :, [0, 0, 0, 1]])
    return np.asarray(array[:, :, [2, 1, 0, 3][: array.shape[2]]])


def _encode_8_bit(array: Array, kind: str, icc_profile: bytes | None, exif: bytes | None) -> bytes:
    options: dict[str, Any] = {}
    if icc_profile and kind != "BMP":
        options["icc_profile"] = icc_profile
    if exif and kind in {"PNG", "JPEG", "WEBP"}:
        options["exif"] = exif
    if kind == "JPEG":
        options |= {"quality": _JPEG_QUALITY, "subsampling": 0}
    elif kind == "WEBP":
        options["quality"] = _JPEG_QUALITY
    elif kind == "TIFF":
        options["compression"] = "tiff_adobe_deflate"
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format=kind, **options)
    return buffer.getvalue()


def _encode_16_bit(array: Array, path: Path, kind: str, icc_profile: bytes | None) -> bytes:
    cv2 = _opencv()
    bgr = np.ascontiguousarray(array[:, :, [2, 1, 0, 3][: array.shape[2]]])
    done, encoded = cv2.imencode("." + kind.lower(), bgr)
    if not done:
        raise ImageError(f"{path} cannot be encoded as 16-bit {kind}; choose .png.")
    data: bytes = encoded.tobytes()
    if icc_profile and kind == "PNG":
        body = b"iCCP" + b"icc\0\0" + zlib.compress(icc_profile)
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        data = data[:33] + chunk + data[33:]  # right after the signature and IHDR
    return data


def _replace(path: Path, data: bytes) -> None:
    """Write beside, then rename: a reader sees the old file or the new one, never half of it."""
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp makes private files
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        raise ImageError(f"{path} cannot be written: {error.strerror or error}.") from error


def _opencv() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise DependencyError(
            f"OpenCV cannot be imported ({error}); on a machine without libGL: "
            "pip uninstall opencv-python, then pip install opencv-python-headless."
        ) from error
    return cv2
