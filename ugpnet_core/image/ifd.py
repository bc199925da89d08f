"""Directories of tags as they lie in TIFF files and EXIF blocks, bytes kept as they are.

Pillow could read and write them, too, but turns text to ASCII on the way: a caption in any other
alphabet would be lost. Layout: TIFF 6.0, section 2; BigTIFF has wider counts and offsets.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

EXIF_POINTER, GPS_POINTER, INTEROPERABILITY_POINTER = 0x8769, 0x8825, 0xA005
POINTERS = (EXIF_POINTER, GPS_POINTER, INTEROPERABILITY_POINTER)

Bytes = bytes | bytearray | memoryview

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_SIZES |= {16: 8, 17: 8, 18: 8}
_MOST_ENTRIES = 4096
ASCII, SHORT, LONG, LONG8 = 2, 3, 4, 16


class Entry(NamedTuple):
    """A tag's type and number of values, their bytes as in the file, and where they lie there."""

    type: int
    length: int
    raw: bytes
    at: int = 0


Directory = dict[int, Entry]


class Layout(NamedTuple):
    """Byte order (``"<"`` or ``">"``), and whether counts and offsets are those of BigTIFF."""

    order: str
    big: bool = False

    @property
    def offset(self) -> str:
        """How an offset is packed."""
        return self.order + ("Q" if self.big else "I")

    @property
    def header(self) -> str:
        """How the number of entries is packed."""
        return self.order + ("Q" if self.big else "H")

    @property
    def entry(self) -> str:
        """How an entry is packed: tag, type, count, value or offset."""
        return self.order + ("HHQ8s" if self.big else "HHI4s")


def layout_of(data: Bytes) -> tuple[Layout, int] | None:
    """The layout of a TIFF file or EXIF block and where its first directory begins, None where
    it is neither."""
    order = {b"II": "<", b"MM": ">"}.get(bytes(data[:2]))
    if order is None or len(data) < 8:
        return None
    (version,) = struct.unpack_from(order + "H", data, 2)
    if version == 42:
        return Layout(order), struct.unpack_from(order + "I", data, 4)[0]
    if version == 43 and len(data) >= 16:
        return Layout(order, big=True), struct.unpack_from(order + "Q", data, 8)[0]
    return None


def read_directory(data: Bytes, at: int, layout: Layout) -> Directory:
    """The directory that begins at ``at``; entries whose bytes lie outside of the data are left
    out, and a directory that does is empty."""
    found: Directory = {}
    try:
        (count,) = struct.unpack_from(layout.header, data, at)
    except struct.error:
        return found
    width, place = struct.calcsize(layout.entry), struct.calcsize(layout.offset)
    begin = at + struct.calcsize(layout.header)
    for entry in range(begin, begin + width * min(count, _MOST_ENTRIES), width):
        if entry + width > len(data):
            break
        tag, kind, number, inline = struct.unpack_from(layout.entry, data, entry)
        size = _SIZES.get(kind, 0) * number
        where = entry + width - place
        if size > place:
            (where,) = struct.unpack(layout.offset, inline)
        if 0 < size <= len(data) - where:
            found[tag] = Entry(kind, number, bytes(data[where : where + size]), where)
    return found


def next_directory(data: Bytes, at: int, layout: Layout) -> tuple[int, int]:
    """Where the offset of the directory after the one at ``at`` lies, and that offset; 0 and 0
    where there is none."""
    try:
        (count,) = struct.unpack_from(layout.header, data, at)
        place = at + struct.calcsize(layout.header) + struct.calcsize(layout.entry) * count
        return place, struct.unpack_from(layout.offset, data, place)[0]
    except struct.error:
        return 0, 0


def number(entry: Entry | None, layout: Layout) -> int | None:
    """The first value of a tag of whole numbers, None where it has none."""
    if entry is None or entry.type not in {SHORT, LONG, 13, 16, 18}:
        return None
    code = {2: "H", 4: "I", 8: "Q"}[_SIZES[entry.type]]
    value: int = struct.unpack_from(layout.order + code, entry.raw)[0]
    return value


def pointed(data: Bytes, directory: Directory, tag: int, layout: Layout) -> Directory:
    """The directory that a tag of another one points to, empty where there is none."""
    at = number(directory.get(tag), layout)
    return read_directory(data, at, layout) if at else {}


def swapped(entry: Entry) -> Entry:
    """The entry in the other byte order."""
    width = _SIZES[entry.type] // (2 if entry.type in {5, 10} else 1)
    turned = b"".join(entry.raw[at : at + width][::-1] for at in range(0, len(entry.raw), width))
    return entry._replace(raw=turned)


def text_entry(text: str) -> Entry:
    """Text as a tag's value: UTF-8, which is ASCII where it can be."""
    raw = text.encode("utf-8", "replace") + b"\0"
    return Entry(ASCII, len(raw), raw)


def pack_directory(entries: Directory, base: int, layout: Layout) -> bytes:
    """A directory with its values after it, to lie at ``base`` of a file."""
    place = struct.calcsize(layout.offset)
    head = struct.calcsize(layout.header) + struct.calcsize(layout.entry) * len(entries) + place
    packed, values = struct.pack(layout.header, len(entries)), b""
    for tag in sorted(entries):
        kind, count, raw, _ = entries[tag]
        inline = raw
        if len(raw) > place:
            inline = struct.pack(layout.offset, base + head + len(values))
            values += raw + b"\0" * (len(raw) % 2)
        packed += struct.pack(layout.entry, tag, kind, count, inline.ljust(place, b"\0"))
    return packed + struct.pack(layout.offset, 0) + values


def pack_tree(
    root: Directory, inner: dict[int, Directory], base: int, layout: Layout
) -> tuple[bytes, int]:
    """A directory and those that its tags point to, to lie at ``base``, and where it begins."""
    packed = b""
    root = dict(root)
    for tag, entries in inner.items():
        at = base + len(packed)
        root[tag] = Entry(LONG8 if layout.big else LONG, 1, struct.pack(layout.offset, at))
        packed += pack_directory(entries, at, layout)
        packed += b"\0" * (len(packed) % 2)
    return packed + pack_directory(root, base + len(packed), layout), base + len(packed)
