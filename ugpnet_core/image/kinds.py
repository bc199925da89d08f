"""What kind of image a file is, told by its first bytes and not by its name.

Only files are opened: a pipe or a device could keep a reader waiting for ever.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from ugpnet_core.image.jpeg_segments import END, SCAN, segments

HEAD = 64 * 1024
"""How many bytes of a file are enough to tell what it is."""

_STARTS = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"\xff\x0a", "JXL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JXL"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JP2"),
    (b"\xff\x4f\xff\x51", "JP2"),
    (b"\0\0\1\0", "ICO"),
    (b"8BPS", "PSD"),
    (b"%!PS", "EPS"),
    (b"\xc5\xd0\xd3\xc6", "EPS"),
    (b"%PDF-", "PDF"),
    (b"qoif", "QOI"),
    (b"DDS ", "DDS"),
    (b"v/1\x01", "EXR"),
    (b"#?RADIANCE", "HDR"),
    (b"#?RGBE", "HDR"),
    (b"gimp xcf", "XCF"),
    (b"icns", "ICNS"),
    (b"SIMPLE  =", "FITS"),
    (b"P7\n", "PAM"),
    (b"FLIF", "FLIF"),
    (b"BPG\xfb", "BPG"),
    (b"II\xbc\x01", "JXR"),
    (b"\x8aMNG\r\n\x1a\n", "MNG"),
    (b"\x8bJNG\r\n\x1a\n", "JNG"),
    (b"\xd7\xcd\xc6\x9a", "WMF"),
    (b"\x59\xa6\x6a\x95", "RAS"),
    (b"/* XPM */", "XPM"),
    (b"farbfeld", "FARBFELD"),
    (b"AT&TFORM", "DJVU"),
    (b"SDPX", "DPX"),
    (b"XPDS", "DPX"),
    (b"NITF0", "NITF"),
    (b"II\x1a\0\0\0HEAPCCDR", "RAW"),
    (b"IIRO", "RAW"),
    (b"IIRS", "RAW"),
    (b"MMOR", "RAW"),
    (b"IIU\0", "RAW"),
    (b"FUJIFILMCCD-RAW", "RAW"),
    (b"FOVb", "RAW"),
    (b"\0MRM", "RAW"),
)
_BRANDS = {
    b"avif": "AVIF",
    b"avis": "AVIF",
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"heim": "HEIC",
    b"heis": "HEIC",
    b"hevc": "HEIC",
    b"hevx": "HEIC",
    b"hevm": "HEIC",
    b"hevs": "HEIC",
    b"crx ": "RAW",
}
_GENERIC_BRANDS = {b"mif1", b"msf1", b"mif2", b"miaf"}
# Raw files of cameras that are TIFFs as well: what a reader of TIFFs finds in them is a preview.
_RAW_EXTENSIONS = {
    ".3fr", ".arw", ".cr2", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".k25", ".kdc", ".mef", ".mos",
    ".nef", ".nrw", ".pef", ".rwl", ".sr2", ".srf", ".srw",
}  # fmt: skip
_DNG_VERSION = 50706


def identify(path: str | os.PathLike[str]) -> str | None:
    """The kind of image that a file holds, such as ``"PNG"``, ``"MPO"``, ``"HEIC"`` or ``"EPS"``.

    Returns:
        None where it is no image, no file (but a folder, a pipe, a device) or cannot be opened.
    """
    path = Path(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        with path.open("rb") as file:
            head = file.read(HEAD)
    except (OSError, ValueError):
        return None
    return identify_bytes(head, path.suffix)


def identify_bytes(head: bytes, extension: str = "") -> str | None:
    """The kind of image that begins with these bytes (:data:`HEAD` of them are enough).

    Args:
        extension: of the file's name; it tells raw files of cameras from TIFF, and TGA from what
            is no image.
    """
    kind = next((kind for start, kind in _STARTS if head.startswith(start)), None)
    if kind == "TIFF":
        return "RAW" if _is_raw(head, extension) else kind
    if kind == "JPEG":
        return "MPO" if b"MPF\0" in _jpeg_headers(head) else kind
    return (
        kind
        or next((name for name, holds in _SHAPES.items() if holds(head)), None)
        or _boxed(head)
        or ("TGA" if extension.lower() == ".tga" and _is_tga(head) else None)
    )


def readable(kind: str) -> str | None:
    """None where files of this kind can be read here; else the extra that brings it, such as
    ``"ugpnet-core[heic]"``, and ``""`` where none does."""
    if kind in _ALWAYS:
        return None
    if kind not in _WITH_EXTRA:
        return ""
    extra, is_there = _WITH_EXTRA[kind]
    return None if is_there() else f"ugpnet-core[{extra}]"


def _has_avif() -> bool:
    from PIL import features

    return bool(features.check("avif")) if "avif" in features.modules else False


_ALWAYS = {"PNG", "JPEG", "MPO", "WEBP", "TIFF", "BMP", "GIF", "JP2", "PNM", "ICO"}
_WITH_EXTRA: dict[str, tuple[str, Callable[[], bool]]] = {
    "AVIF": ("avif", _has_avif),
    "HEIC": ("heic", lambda: find_spec("pillow_heif") is not None),
    "JXL": ("jxl", lambda: find_spec("pillow_jxl") is not None),
}


def _is_bmp(head: bytes) -> bool:
    """The letters BM alone begin many a text, so the size of the header is looked at, too."""
    if head[:2] != b"BM" or len(head) < 18:
        return False
    return bool(struct.unpack_from("<I", head, 14)[0] in {12, 16, 40, 52, 56, 64, 108, 124})


def _is_pnm(head: bytes) -> bool:
    letters = head[:3]
    return (
        len(letters) == 3
        and letters[0] == 0x50
        and (letters[1:2] in b"123456fF" and letters[2:3] in b" \t\r\n#")
    )


def _is_svg(head: bytes) -> bool:
    start = head[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")
    return start.startswith(b"<svg") or (start.startswith(b"<?xml") and b"<svg" in start)


def _is_pcx(head: bytes) -> bool:
    return (
        len(head) >= 128
        and head[0] == 10
        and head[1] in {0, 2, 3, 4, 5}
        and head[2] == 1
        and head[3] in {1, 2, 4, 8}
    )


def _is_cursor(head: bytes) -> bool:
    return head[:4] == b"\0\0\2\0" and len(head) >= 22 and head[4] > 0 == head[9]


def _is_tga(head: bytes) -> bool:
    """Nothing at the beginning of a TGA says what it is, but some values would make no sense."""
    return (
        len(head) >= 18
        and head[1] in {0, 1}
        and head[2] in {1, 2, 3, 9, 10, 11}
        and head[16] in {8, 15, 16, 24, 32}
    )


_SHAPES: dict[str, Callable[[bytes], bool]] = {
    "WEBP": lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP",
    "BMP": _is_bmp,
    "PNM": _is_pnm,
    "SVG": _is_svg,
    "PCX": _is_pcx,
    "SGI": lambda head: head[:2] == b"\1\xda" and head[2:3] in b"\0\1" and head[3:4] in b"\1\2",
    "CUR": _is_cursor,
    "DICOM": lambda head: head[128:132] == b"DICM",
    "EMF": lambda head: head[:4] == b"\1\0\0\0" and head[40:44] == b" EMF",
}


def _boxed(head: bytes) -> str | None:
    """HEIC, AVIF and their kin begin with a box that lists what they are compatible with."""
    if head[4:8] != b"ftyp" or len(head) < 16:
        return None
    end = min(struct.unpack_from(">I", head)[0], 256)
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, end, 4))]
    named = next((_BRANDS[brand] for brand in brands if brand in _BRANDS), None)
    return named or ("HEIC" if set(brands) & _GENERIC_BRANDS else None)


def _jpeg_headers(head: bytes) -> bytes:
    """The first bytes of each segment before the picture of a JPEG."""
    parts = (one for one in segments(head) if one.marker not in {SCAN, END})
    return b"".join(head[one.begin + 4 : one.begin + 8] for one in parts)


def _is_raw(head: bytes, extension: str) -> bool:
    if extension.lower() in _RAW_EXTENSIONS or head[8:10] == b"CR":
        return True
    if head[2:4] not in {b"*\0", b"\0*"} or len(head) < 8:
        return False
    order = "<" if head[:2] == b"II" else ">"
    (at,) = struct.unpack_from(order + "I", head, 4)
    if at + 2 > len(head):
        return False
    (count,) = struct.unpack_from(order + "H", head, at)
    tags = (head[entry : entry + 2] for entry in range(at + 2, at + 2 + 12 * count, 12))
    return struct.pack(order + "H", _DNG_VERSION) in tags
