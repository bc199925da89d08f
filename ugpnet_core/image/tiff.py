"""Reading TIFF files of every kind by tifffile, whose compressions are imagecodecs'.

Pillow reads what these do not: chroma at half the resolution without JPEG, JPEG as TIFF 6.0 had it,
and faxes, of which imagecodecs knows nothing in the last version for Python 3.10.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from PIL import Image

from ugpnet_core.errors import ImageError
from ugpnet_core.image.colours import (
    divided_by_alpha,
    from_cmyk,
    from_floats,
    from_integers,
    from_lab,
    of_palette,
)
from ugpnet_core.image.damage import unreadable
from ugpnet_core.image.decoded import Array, Decoded, profile_for, turned
from ugpnet_core.image.limits import require_memory
from ugpnet_core.image.pillow import tiff_page
from ugpnet_core.image.tiff_tags import exif_of, metadata_of, number_of

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

# Photometric interpretations of TIFF 6.0, and those of its supplements.
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR, _CIELAB, _ICCLAB = (
    *(0, 1, 2, 3, 5, 6),
    *(8, 9),
)
_GREYS = {_WHITE_IS_ZERO, _BLACK_IS_ZERO}
_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4}
_COLOURS |= {_YCBCR: 3, _CIELAB: 3, _ICCLAB: 3}
_JPEGS = {7, 33007, 34892}
_OLD_JPEG = 6
_LAYERS = 37724  # those of Photoshop
_FAXES = {2, 3, 4}
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_ASSOCIATED, _UNASSOCIATED = 1, 2
# It logs what is odd in a file; without a handler that would end up in the terminal.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def header_of(file: BinaryIO, kind: str = "TIFF") -> tuple[int, int, int]:
    """Width, height and bytes of a decoded pixel of the first picture.

    Args:
        kind: as Pillow's reader wants to be told it.

    Raises:
        ValueError: it is damaged.
    """
    from tifffile import TiffFile, TiffFileError

    try:
        with TiffFile(file) as tif:
            return _extent(pages(tif)[0])
    except TiffFileError as error:
        raise ValueError(str(error)) from error


def pages(tif: TiffFile) -> list[TiffPage]:
    """The pictures of a file, without previews, levels of pyramids and masks."""
    every = [tif.pages.get(index).aspage() for index in range(len(tif.pages))]
    return [page for page in every if not page.subfiletype & (_REDUCED | _MASK)] or every[:1]


def decode_pages(data: bytes, path: Path) -> Iterator[Decoded]:
    """Page after page, each when it is asked for.

    Raises:
        ImageError: the file is damaged, cut short, too large for the memory, or of a kind that
            cannot be read; what tifffile raises for damaged files does not reach the caller.
    """
    from tifffile import TiffFile

    try:
        # Closed, as pages and file refer to each other, and would keep all of it for some time.
        with io.BytesIO(data) as content, TiffFile(content) as tif:
            found = pages(tif)
            if not found:
                raise ValueError("it holds no picture")
            for page in found:
                yield _decoded(tif, page, data, path, len(found))
    except (ImageError, MemoryError, GeneratorExit):
        raise
    except Exception as error:  # other people's files make it raise anything
        raise unreadable(path, "TIFF", error) from error


def _decoded(tif: TiffFile, page: TiffPage, data: bytes, path: Path, frames: int) -> Decoded:
    if page.dtype is None or page.imagedepth != 1 or not page.shape or 0 in page.shape:
        raise ImageError(
            f"{path} holds pixels of a type that cannot be read; save it with 8 or 16 bits."
        )
    require_memory(path, *_extent(page))
    _require_all_of_it(page, data)
    kind = int(page.photometric)
    colours = _COLOURS.get(kind)
    if colours is None:
        raise ImageError(
            f"{path} holds colours of a kind that cannot be read "
            f"({page.photometric!s}); save it as RGB."
        )
    profile = page.iccprofile
    if _is_plain_ycbcr(page):  # which Pillow 12 cannot read
        array = np.array(Image.fromarray(page.asarray(), "YCbCr").convert("RGB"))
        grey, notices = False, list[str]()
        array = turned(array, _orientation(page))
    elif _only_pillow_reads(page):
        array, grey, notices = tiff_page(data, page.index), kind in _GREYS, list[str]()
    else:
        array, grey, notices = _pixels(page, colours, profile)
        array = turned(array, _orientation(page))
    if _LAYERS in page.tags:
        notices.append("its layers are left out; this is the picture that they make together")
    applied = kind in {_CMYK, _CIELAB, _ICCLAB}
    return Decoded(
        array=array,
        icc_profile=None if applied else profile_for(profile, grey),
        exif=exif_of(tif, page, data),
        grey=grey,
        metadata=metadata_of(page, data),
        frames=frames,
        notices=tuple(notices),
    )


def _extent(page: TiffPage) -> tuple[int, int, int]:
    item = page.dtype.itemsize if page.dtype is not None else 1
    return page.imagewidth, page.imagelength, item * int(page.samplesperpixel)


def _orientation(page: TiffPage) -> int:
    return number_of(page, 274, otherwise=1)


def _is_plain_ycbcr(page: TiffPage) -> bool:
    """Whether chroma is stored for every pixel, and not compressed."""
    whole = tuple(page.subsampling or (2, 2)) == (1, 1)
    eight = page.dtype == np.uint8 and int(page.samplesperpixel) == 3
    return int(page.photometric) == _YCBCR and int(page.compression) == 1 and whole and eight


def _only_pillow_reads(page: TiffPage) -> bool:
    ycbcr = int(page.photometric) == _YCBCR and int(page.compression) not in _JPEGS
    return ycbcr or int(page.compression) in {_OLD_JPEG, *_FAXES}


def _require_all_of_it(page: TiffPage, data: bytes) -> None:
    ends = [at + count for at, count in zip(page.dataoffsets, page.databytecounts, strict=False)]
    if not ends or max(ends) > len(data):
        raise ValueError(f"it ends after {len(data)} bytes, and pixels lie beyond")


def _pixels(page: TiffPage, colours: int, profile: bytes | None) -> tuple[Array, bool, list[str]]:
    """(H, W, 3 or 4), uint8 or uint16; whether it is grey; what there is to say."""
    values = page.asarray()
    values = values.reshape(page.shape)
    if page.axes == "YX":
        values = values[..., None]
    elif page.axes == "SYX":
        values = values.transpose(1, 2, 0)
    elif page.axes != "YXS":
        raise ValueError(f"axes {page.axes}")
    kind = int(page.photometric)
    notices = list[str]()
    if kind == _PALETTE and page.colormap is not None:
        values = np.concatenate([of_palette(values, page.colormap), values[..., 1:]], axis=2)
        kind, colours = _RGB, 3
    extra = _extra_samples(page, values.shape[2], colours)
    if kind == _BLACK_IS_ZERO and len(extra) > 1 and set(extra) == {0}:
        kind, colours, extra = _RGB, 3, extra[2:]  # bands: what software for maps shows, too
        notices.append("its first three channels are taken for red, green and blue")
    values, notice = _levels(values, page)
    notices += [notice] if notice else []
    array = _coloured(values[..., :colours], kind, profile, notices)
    alpha = next((at for at, what in enumerate(extra) if what), None)
    if alpha is not None:
        opacity = _of_depth(values[..., colours + alpha, None], array.dtype)
        array = np.concatenate([array, opacity], axis=2)
        if extra[alpha] == _ASSOCIATED:
            array = divided_by_alpha(array)
    if len(extra) > (alpha is not None):
        what = "the colours" if alpha is None else "the colours and alpha"
        notices.append(f"of its {page.samplesperpixel} channels, only {what} are used")
    return array, kind in _GREYS, notices


def _extra_samples(page: TiffPage, samples: int, colours: int) -> list[int]:
    """What each sample after the colours is: 0 unknown, 1 and 2 alpha. A single one of which
    nothing is said is alpha, as many a program writes it."""
    if samples < colours:
        raise ValueError(f"{samples} channels where there should be {colours}")
    said = [int(what) for what in page.extrasamples]
    left = samples - colours
    if not said and left == 1:
        return [_UNASSOCIATED]
    return (said + [0] * left)[:left]


def _levels(values: Array, page: TiffPage) -> tuple[Array, str | None]:
    """Samples as uint8 or uint16."""
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255), None
    if values.dtype.kind == "f":
        return from_floats(values)
    if values.dtype.kind not in "iu":
        raise ValueError(f"numbers of type {values.dtype}")
    if int(page.photometric) in {_PALETTE}:
        return values, None
    if int(page.photometric) == _CIELAB and values.dtype.kind == "i":
        return values.view(f"u{values.dtype.itemsize}"), None
    bits = page.bitspersample if isinstance(page.bitspersample, int) else max(page.bitspersample)
    return from_integers(values, bits)


def _coloured(values: Array, kind: int, profile: bytes | None, notices: list[str]) -> Array:
    """Colours (H, W, n) as RGB of the same depth."""
    if kind == _WHITE_IS_ZERO:
        values = np.iinfo(values.dtype).max - values
    if kind == _CMYK:
        notices.append("its CMYK colours are sRGB now")
        return from_cmyk(values, profile)
    if kind in {_CIELAB, _ICCLAB}:
        notices.append("its L*a*b* colours are sRGB now")
        return from_lab(values, signed=kind == _CIELAB)
    return np.repeat(values, 3, axis=2) if values.shape[2] == 1 else values


def _of_depth(values: Array, dtype: np.dtype[np.generic]) -> Array:
    """uint8 or uint16 levels in another of these depths."""
    if values.dtype == dtype:
        return values
    if dtype == np.uint8:
        return (values >> 8).astype(np.uint8)
    return values.astype(np.uint16) * np.uint16(257)
