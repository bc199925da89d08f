"""Writing TIFF files: pixels by tifffile, one page or several, 8 or 16 bits; and then the tags that
say something of each picture, bytes as they came, in a directory that takes the first one's place.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable
from typing import Any

from ugpnet_core.image.decoded import Array
from ugpnet_core.image.exif import taken_apart
from ugpnet_core.image.fitting import Description
from ugpnet_core.image.ifd import (
    Directory,
    Entry,
    Layout,
    layout_of,
    next_directory,
    pack_tree,
    read_directory,
    swapped,
)

_XMP, _IPTC, _BYTE, _UNDEFINED = 700, 33723, 1, 7
_RESOLUTION = {282, 283, 296}
_COMPRESSION = "adobe_deflate"  # every reader knows it
_FAST = {"level": 1}  # of photographs, more takes twice the time for a twentieth
_ROWS = 64
_INCH = 2


def encode_pages(pages: Iterable[tuple[Array, Description]]) -> bytes:
    """Encode pages (H, W, 1 to 4), uint8 or uint16: grey or RGB, the last of 2 or 4 is alpha."""
    from tifffile import TiffWriter

    buffer = io.BytesIO()
    descriptions = list[Description]()
    with TiffWriter(buffer, byteorder="<") as writer:
        for array, description in pages:
            channels = array.shape[2]
            writer.write(
                array[..., 0] if channels == 1 else array,
                photometric="rgb" if channels > 2 else "minisblack",
                planarconfig="contig" if channels > 1 else None,
                extrasamples=["unassalpha"] if channels in {2, 4} else None,
                compression=_COMPRESSION,
                compressionargs=_FAST,
                predictor=True,
                rowsperstrip=_ROWS,
                metadata=None,
                software=False,
                iccprofile=description.icc_profile,
                **_resolution(description),
            )
            descriptions.append(description)
    _describe(buffer, descriptions)
    return buffer.getvalue()


def _resolution(description: Description) -> dict[str, Any]:
    dpi = description.metadata.dpi
    return {"resolution": dpi, "resolutionunit": _INCH} if dpi else {}


def _describe(buffer: io.BytesIO, descriptions: list[Description]) -> None:
    """Give each page a directory with its own tags and those of its description."""
    start = layout_of(buffer.getbuffer()[:16])
    assert start is not None, "tifffile writes TIFF"
    layout, at = start
    link = 8 if layout.big else 4  # where the offset of the directory lies
    for description in descriptions:
        whole = buffer.getbuffer()
        directory = read_directory(whole, at, layout)
        _, following = next_directory(whole, at, layout)
        end = len(whole) + len(whole) % 2
        del whole
        root, inner = _tags(description)
        packed, begin = pack_tree({**root, **directory}, inner, end, layout)
        buffer.seek(end)
        buffer.write(packed)
        _put(buffer, link, begin, layout)
        link, _ = next_directory(buffer.getbuffer(), begin, layout)
        _put(buffer, link, following, layout)
        at = following


def _put(buffer: io.BytesIO, at: int, offset: int, layout: Layout) -> None:
    buffer.seek(at)
    buffer.write(struct.pack(layout.offset, offset))


def _tags(description: Description) -> tuple[Directory, dict[int, Directory]]:
    """The tags of a description, little-endian: of the first directory, and of those inside."""
    parts = taken_apart(description.exif or b"")
    layout, root, inner = parts or (Layout("<"), {}, {})
    if layout.order == ">":
        root = _turned(root)
        inner = {tag: _turned(entries) for tag, entries in inner.items()}
    root = {tag: entry for tag, entry in root.items() if tag not in _RESOLUTION}
    metadata = description.metadata
    if metadata.xmp:
        root[_XMP] = Entry(_BYTE, len(metadata.xmp), metadata.xmp)
    if metadata.iptc:
        root[_IPTC] = Entry(_UNDEFINED, len(metadata.iptc), metadata.iptc)
    return root, inner


def _turned(directory: Directory) -> Directory:
    return {tag: swapped(entry) for tag, entry in directory.items()}
