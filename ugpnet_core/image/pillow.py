"""Reading by Pillow: everything but TIFF. Only the decoder of the kind that a file is of is asked,
as others may start programs (Ghostscript) or trust what they read."""

from __future__ import annotations

import io
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from ugpnet_core.image import jxl
from ugpnet_core.image.colours import from_cmyk, from_floats
from ugpnet_core.image.cut_jpeg import loaded
from ugpnet_core.image.decoded import Array, Decoded, profile_for, turned
from ugpnet_core.image.deep import deep_pixels, jpeg_xl_frames
from ugpnet_core.image.exif import bare, upright, upright_xmp
from ugpnet_core.image.jpeg import xmp_extension
from ugpnet_core.image.kinds import HEAD
from ugpnet_core.image.limits import require_memory
from ugpnet_core.image.metadata import Metadata, of_pillow, raw_profile
from ugpnet_core.image.png import Chunk, coded_colours, colour_chunks, pixels_only
from ugpnet_core.image.rare_jpeg import disguised

_DECODERS = {
    "PNG": ("PNG",),
    "JPEG": ("JPEG",),
    "MPO": ("JPEG", "MPO"),
    "WEBP": ("WEBP",),
    "BMP": ("BMP",),
    "GIF": ("GIF",),
    "ICO": ("ICO",),
    "PNM": ("PPM",),
    "JP2": ("JPEG2000",),
    "AVIF": ("AVIF",),
    "HEIC": ("HEIF",),
    "JXL": ("JXL",),
    "TIFF": ("TIFF",),
}
_GREY = {"1", "L", "LA", "La", "I", "F"}
_TRANSPARENT = {"LA", "PA", "La", "RGBA", "RGBa"}
_ANIMATED = {"GIF", "PNG", "WEBP", "AVIF"}
_MILLISECONDS = 100.0  # what browsers show a frame for that does not say
_CODED = b"colrnclx"  # the box of AVIF that names colours by code points
_opening = threading.Lock()


def open_image(data: bytes | BinaryIO, kind: str) -> Image.Image:
    """An image of a kind, its header read; its pixels have not been.

    Pillow's own limit on the number of pixels does not apply: memory is what counts, and is looked
    at by :func:`ugpnet_core.image.limits.require_memory`.

    Raises:
        What Pillow raises for damaged files.
    """
    _load_plugin(kind)
    # What Pillow finds odd in a file is no message for whoever runs a command.
    warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif|pillow_jxl)(\.|$)")
    with _without_limits():
        file = io.BytesIO(data) if isinstance(data, bytes) else data
        return Image.open(file, formats=_DECODERS[kind])


@contextmanager
def _without_limits() -> Iterator[None]:
    """Pillow without its limits on pixels, and on the text and profile of a PNG, of which it takes
    a megabyte each; all of a file's text together stays limited to 64."""
    with _opening:
        pixels, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        text = PngImagePlugin.MAX_TEXT_CHUNK
        PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK = pixels, text


def decode_frames(data: bytes, path: Path, kind: str) -> Iterator[Decoded]:
    """Frame after frame, each when it is asked for.

    Raises:
        ImageError: too large for the memory, or a JPEG of which too much is missing.
        What Pillow raises for damaged files.
    """
    notices: tuple[str, ...] = ()
    try:
        width, height, stored = header_of(io.BytesIO(data), kind)
    except (ValueError, SyntaxError, UnidentifiedImageError):
        if kind != "PNG":
            raise
        data = pixels_only(data)
        width, height, stored = header_of(io.BytesIO(data), kind)
        notices = ("what it says beside its pixels is damaged, and left out",)
    require_memory(path, width, height, stored)
    shown = disguised(data) if kind == "JPEG" else None
    with open_image(shown or data, kind) as image:
        frames = jpeg_xl_frames(data) if kind == "JXL" else _frames(image)
        # The picture for whoever knows no animated PNG may be none of the animation's.
        before = int(bool(image.info.get("default_image")))
        frames -= before
        for index in range(before, before + frames):
            if index and kind != "JXL":
                image.seek(index)
            decoded = _decoded(image, data, path, kind, index)
            metadata = decoded.metadata
            if frames > 1 and kind in _ANIMATED:
                metadata = _timed(metadata, kind)
            said = (*decoded.notices, *notices)
            yield replace(decoded, frames=frames, metadata=metadata, notices=said)


def header_of(file: BinaryIO, kind: str) -> tuple[int, int, int]:
    """Width, height, and bytes of a decoded pixel.

    Raises:
        What Pillow raises for damaged files.
    """
    if kind == "JXL":  # opening one decodes it
        header = jxl.header_of(file.read(HEAD))
        return (header.width, header.height, 8) if header is not None else (1, 1, 8)
    try:
        image = open_image(file, kind)
    except (SyntaxError, UnidentifiedImageError):
        file.seek(0)
        shown = disguised(file.read()) if kind == "JPEG" else None
        if shown is None:
            raise
        width, height, channels = header_of(io.BytesIO(shown), kind)
        return width, height, 2 * channels
    return (*image.size, _stored(image))


def tiff_page(data: bytes, index: int) -> Array:
    """The pixels of a page of a TIFF, upright (Pillow turns them as it loads), (H, W, 3) uint8."""
    with open_image(data, "TIFF") as image:
        if index:
            image.seek(index)
        image.load()
        return np.asarray(image.convert("RGB"))


def _decoded(image: Image.Image, data: bytes, path: Path, kind: str, index: int) -> Decoded:
    notices = list[str]()
    if kind in {"JPEG", "MPO"} and not index:
        image = loaded(image, data, path, _jpeg, notices)
    else:
        with _without_limits() if kind == "PNG" else nullcontext():  # text may follow the pixels
            image.load()
    info = image.info
    profile = info.get("icc_profile")
    block = bare(info.get("exif") or raw_profile(image, "exif"))
    orientation = _orientation(image)  # Pillow turns no picture by itself but a TIFF's
    deep = deep_pixels(data, kind, image, index)
    array, grey = (deep[0], deep[1]) if deep else _pixels(image, profile, notices)
    sizes = len(info.get("sizes", ())) if kind == "ICO" else 1
    if sizes > 1:
        notices.append(f"it holds the picture in {sizes} sizes, of which this is the largest")
    if image.mode == "CMYK":
        profile = None  # applied
        notices.append("its CMYK colours are sRGB now")
    return Decoded(
        array=turned(array, orientation),
        icc_profile=profile_for(profile, grey),
        exif=upright(block) if block else None,
        grey=grey,
        metadata=_metadata(image, data, kind),
        notices=tuple(notices),
    )


def _jpeg(data: bytes) -> Image.Image:
    image = open_image(data, "JPEG")
    image.load()
    return image


def _metadata(image: Image.Image, data: bytes, kind: str) -> Metadata:
    found = of_pillow(image)
    return replace(
        found,
        xmp=upright_xmp(found.xmp) if found.xmp else None,
        xmp_extension=xmp_extension(data) if kind in {"JPEG", "MPO"} else (),
        colour_chunks=colour_chunks(data) if kind == "PNG" else _coded(image, data, kind),
    )


def _coded(image: Image.Image, data: bytes, kind: str) -> tuple[Chunk, ...]:
    """How the colours of a HEIC or AVIF without a profile are meant."""
    if image.info.get("icc_profile"):
        return ()
    if kind == "HEIC":
        codes = image.info.get("nclx_profile") or {}
        if {"color_primaries", "transfer_characteristics"} <= codes.keys():
            return coded_colours(codes["color_primaries"], codes["transfer_characteristics"])
    at = data.find(_CODED) + len(_CODED) if kind == "AVIF" else 0
    if at >= len(_CODED) and at + 4 <= len(data):
        return coded_colours(*struct.unpack_from(">HH", data, at))
    return ()


def _pixels(image: Image.Image, profile: bytes | None, notices: list[str]) -> tuple[Array, bool]:
    """(H, W, 3 or 4), uint8 or uint16, and whether it is grey."""
    grey = image.mode in _GREY or image.mode.startswith("I;")
    if image.mode == "CMYK":
        return from_cmyk(np.asarray(image), profile), False
    if image.mode == "F":
        levels, notice = from_floats(np.asarray(image))
        notices += [notice] if notice else []
        return np.repeat(levels[..., None], 3, axis=2), True
    if grey and image.mode[0] == "I":
        levels = np.asarray(image).clip(0, 65535).astype(np.uint16)
        return np.repeat(levels[..., None], 3, axis=2), True
    transparent = "transparency" in image.info or image.mode in _TRANSPARENT
    return np.asarray(image.convert("RGBA" if transparent else "RGB")), grey


def _orientation(image: Image.Image) -> int:
    if image.format == "JXL" and not getattr(image, "jpeg", False):
        return 1  # the decoder has applied what counts; that of the EXIF block does not
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # other people's EXIF is often malformed, and is no reason to lose a picture
        return 1


def _timed(metadata: Metadata, kind: str) -> Metadata:
    """A frame's time, and how often all are shown: GIF counts repetitions, and names none for
    once."""
    loop = metadata.loop
    if kind == "GIF":
        loop = 1 if loop is None else loop + (loop > 0)
    return replace(metadata, milliseconds=metadata.milliseconds or _MILLISECONDS, loop=loop)


def _frames(image: Image.Image) -> int:
    try:
        return max(1, int(getattr(image, "n_frames", 1)))
    except (OSError, ValueError, SyntaxError, EOFError):  # a later one is damaged
        return 1


def _stored(image: Image.Image) -> int:
    """Bytes of a decoded pixel."""
    wide = {"I": 4, "F": 4}.get(image.mode, 2 if image.mode.startswith("I;") else 1)
    return len(image.getbands()) * wide


def _load_plugin(kind: str) -> None:
    plugin: Any
    if kind == "HEIC":
        import pillow_heif as plugin

        plugin.register_heif_opener()
    elif kind == "JXL":
        import pillow_jxl as plugin
