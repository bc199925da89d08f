"""What a TIFF says of its picture: as an EXIF block, and what else is carried from file to file."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from ugpnet_core.image.exif import (
    described,
    inner_directories,
    put_together,
    upright,
    upright_xmp,
)
from ugpnet_core.image.ifd import Directory, layout_of, read_directory
from ugpnet_core.image.iptc import iptc_in
from ugpnet_core.image.metadata import Metadata

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

_DESCRIPTION, _XMP, _IPTC, _PHOTOSHOP = 270, 700, 33723, 34377
_RESOLUTION = {282, 283, 296}
_PER_INCH = {2: 1.0, 3: 2.54}


def exif_of(tif: TiffFile, page: TiffPage, data: bytes) -> bytes | None:
    """The descriptive tags of a page, and its EXIF and GPS directories, as an EXIF block."""
    start = layout_of(data)
    if start is None:
        return None
    root = read_directory(data, page.offset, start[0])
    # A description of how the file is laid out would be wrong in any other.
    layout_only = tif.is_imagej or tif.is_ome or tif.is_shaped or tif.is_stk
    without = {*_RESOLUTION, *({_DESCRIPTION} if layout_only else ())}
    inner = inner_directories(data, root, start[0])
    block = put_together(start[0], described(root, without), inner)
    return upright(block) if block else None


def metadata_of(page: TiffPage, data: bytes) -> Metadata:
    """XMP, IPTC and resolution of a page."""
    start = layout_of(data)
    root: Directory = read_directory(data, page.offset, start[0]) if start else {}
    xmp = root[_XMP].raw if _XMP in root else None
    iptc = root[_IPTC].raw if _IPTC in root else None
    if iptc is None and _PHOTOSHOP in root:
        iptc = iptc_in(root[_PHOTOSHOP].raw)
    return Metadata(xmp=upright_xmp(xmp) if xmp else None, iptc=iptc, dpi=_dpi(page))


def number_of(page: TiffPage, code: int, otherwise: int) -> int:
    """The whole number that a tag stands for; where there is none, or something else, the other."""
    tag = page.tags.get(code)
    value = tag.value if tag is not None else None
    if isinstance(value, tuple) and value:
        value = value[0]
    return int(value) if isinstance(value, int) else otherwise


def _dpi(page: TiffPage) -> tuple[float, float] | None:
    factor = _PER_INCH.get(number_of(page, 296, otherwise=2))
    sides = [page.tags.get(code) for code in (282, 283)]
    if factor is None or None in sides:
        return None
    try:
        across, down = (float(Fraction(*tag.value)) * factor for tag in sides if tag is not None)
    except (ZeroDivisionError, TypeError, ValueError):
        return None
    return (across, down) if across > 0 and down > 0 else None
