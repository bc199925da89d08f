"""Between the bytes of image files and arrays: Pillow for 8 bits, OpenCV for 16.

Pillow knows rotation, palettes, CMYK and colour profiles, but holds no colour of 16 bits.
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from ugpnet_core.errors import DependencyError, ImageError

Array = npt.NDArray[Any]

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


class Decoded(NamedTuple):
    """Upright pixels (H, W, 3 or 4), uint8 or uint16, RGB, and what else the file says."""

    array: Array
    icc_profile: bytes | None
    exif: bytes | None


def decode(data: bytes, path: Path) -> Decoded:
    """Decode a whole file; ``path`` is for messages.

    Raises what Pillow raises for damaged files, and ImageError for what OpenCV cannot read.
    """
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
    flip, turns = _TURN.get(orientation, (False, 0))
    array = np.rot90(array, turns)
    if flip:
        array = array[:, ::-1]
    return Decoded(array, profile if profile and profile[16:20] == b"RGB " else None, kept_exif)


def upright_size(data: bytes) -> tuple[int, int]:
    """Height and width that :func:`decode` would give, without decoding the pixels."""
    with Image.open(io.BytesIO(data)) as image:
        width, height = image.size
        if image.format == "TIFF":
            orientation = getattr(image, "tag_v2", {}).get(_ORIENTATION, 1)
        else:
            orientation = image.getexif().get(_ORIENTATION, 1)
    return (width, height) if _TURN.get(orientation, (False, 0))[1] % 2 else (height, width)


def encode(
    array: Array, kind: str, path: Path, icc_profile: bytes | None, exif: bytes | None
) -> bytes:
    """Encode (H, W, 3 or 4), uint8 or uint16, as Pillow's format ``kind``."""
    if array.dtype == np.uint16:
        return _encode_16_bit(array, path, kind, icc_profile)
    return _encode_8_bit(array, kind, icc_profile, exif)


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


def _opencv() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise DependencyError(
            f"OpenCV cannot be imported ({error}); on a machine without libGL: "
            "pip uninstall opencv-python, then pip install opencv-python-headless."
        ) from error
    return cv2
