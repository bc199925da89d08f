"""Segments of JPEG files that Pillow does not write."""

from __future__ import annotations

from ugpnet_core.image.iptc import as_resource
from ugpnet_core.image.jpeg_segments import segments
from ugpnet_core.image.metadata import Metadata

MOST_EXIF = 65533 - 6
"""Bytes of an EXIF block that a JPEG holds, without its prefix."""
_MOST = 65533
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_XMP_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"


def with_segments(data: bytes, metadata: Metadata) -> bytes:
    """A JPEG as Pillow writes it, with XMP, IPTC and comments where they fit."""
    segments = b""
    if metadata.xmp:
        segments += _segment(0xE1, _XMP + metadata.xmp)
    for part in metadata.xmp_extension:
        segments += _segment(0xE1, part)
    if metadata.iptc:
        segments += _segment(0xED, b"Photoshop 3.0\0" + as_resource(metadata.iptc))
    for comment in comments(metadata):
        segments += _segment(0xFE, comment)
    at = _first_table(data)
    return data[:at] + segments + data[at:]


def xmp_extension(data: bytes) -> tuple[bytes, ...]:
    """The contents of the segments in which XMP goes on that is longer than one: what was edited,
    how far away things are (XMP specification, part 3, 1.1.3.1)."""
    contents = (data[one.begin + 4 : one.end] for one in segments(data))
    return tuple(content for content in contents if content.startswith(_XMP_EXTENSION))


def comments(metadata: Metadata) -> list[bytes]:
    """The comment, and after it the text that no EXIF tag stands for."""
    text = dict(metadata.text)
    lines = [metadata.comment] if metadata.comment else []
    lines += [f"{key}: {text[key]}" for key in metadata.without_tags()]
    return [line.encode("utf-8", "replace") for line in lines]


def too_long(metadata: Metadata) -> list[str]:
    """What does not fit into one segment, and is left out."""
    sizes = {
        "XMP": len(_XMP) + len(metadata.xmp or b""),
        "IPTC": len(metadata.iptc or b"") + 28,
        "comment": max(map(len, comments(metadata)), default=0),
    }
    return [name for name, size in sizes.items() if size > _MOST]


def _segment(marker: int, content: bytes) -> bytes:
    if len(content) > _MOST:
        return b""
    return bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content


def _first_table(data: bytes) -> int:
    """Where the segments of applications end, which JFIF and EXIF want at the beginning."""
    at = 2
    while data[at] == 0xFF and 0xE0 <= data[at + 1] <= 0xEF:
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return at
