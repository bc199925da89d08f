"""EXIF blocks: kept byte for byte, but for what is no longer true of the picture written."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable

from ugpnet_core.image.ifd import (
    EXIF_POINTER,
    GPS_POINTER,
    INTEROPERABILITY_POINTER,
    POINTERS,
    Directory,
    Entry,
    Layout,
    layout_of,
    next_directory,
    number,
    pack_tree,
    pointed,
    read_directory,
    swapped,
)

PREFIX = b"Exif\0\0"
_ORIENTATION = 0x0112
_SIDES = {0x0100: 0, 0x0101: 1}  # of the first directory: ImageWidth, ImageLength
_EXIF_SIDES = {0xA002: 0, 0xA003: 1}  # PixelXDimension, PixelYDimension
_THUMBNAIL = (0x0201, 0x0202)
_MAKER_NOTE = 0x927C
_WIDEST = 13  # types beyond are those of BigTIFF
# What describes how a TIFF lies in its file, or its pixels as they were, and not the picture.
_STRUCTURE = {
    254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278, 279, 280, 281, 284,
    288, 289, 290, 291, 292, 293, 297, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325, 326, 327,
    328, 330, 332, 333, 334, 336, 337, 338, 339, 340, 341, 342, 343, 344, 345, 346, 347, 433, 434,
    435, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532, 559, 700, 32995, 32996,
    33723, 34377, 34675, 37439, 37724, 50674, 65564,
}  # fmt: skip


def bare(block: bytes | None) -> bytes:
    """An EXIF block from its byte order on, without what formats put before it."""
    return (block or b"").removeprefix(PREFIX)


def upright(block: bytes) -> bytes | None:
    """The block of a picture whose orientation has been applied; its thumbnail, which shows it as
    it was, is erased. None where it is no EXIF block."""
    data = bytearray(bare(block))
    start = layout_of(data)
    if start is None:
        return None
    layout, at = start
    if not read_directory(data, at, layout):
        return None
    _set_numbers(data, at, layout, {_ORIENTATION: 1})
    place, second = next_directory(data, at, layout)
    if second:
        _erase_thumbnail(data, second, layout)
        data[place : place + struct.calcsize(layout.offset)] = bytes(4)
        if second + 2 < len(data) and not any(data[second + 2 :]):
            del data[second:]
    return PREFIX + bytes(data)


def sized(block: bytes, width: int, height: int) -> bytes:
    """The block with the sides of the picture that it says corrected."""
    data = bytearray(bare(block))
    start = layout_of(data)
    if start is None:
        return block
    layout, at = start
    sides = (width, height)
    _set_numbers(data, at, layout, {tag: sides[side] for tag, side in _SIDES.items()})
    inner = number(read_directory(data, at, layout).get(EXIF_POINTER), layout)
    if inner:
        wanted = {tag: sides[side] for tag, side in _EXIF_SIDES.items()}
        _set_numbers(data, inner, layout, wanted)
    return PREFIX + bytes(data)


def without_maker_note(block: bytes) -> bytes:
    """The block anew, without the notes of the camera's maker, which can be large."""
    parts = taken_apart(block)
    if parts is None:
        return block
    layout, root, inner = parts
    inner.get(EXIF_POINTER, {}).pop(_MAKER_NOTE, None)
    return put_together(layout, root, inner)


def taken_apart(block: bytes) -> tuple[Layout, Directory, dict[int, Directory]] | None:
    """Layout, first directory without what describes a file, and the directories it points to."""
    data = bare(block)
    start = layout_of(data)
    if start is None:
        return None
    layout, at = start
    root = read_directory(data, at, layout)
    return layout, described(root), inner_directories(data, root, layout)


def described(root: Directory, without: Iterable[int] = ()) -> Directory:
    """The tags of a directory that say something of the picture rather than of the file."""
    left_out = {*_STRUCTURE, *POINTERS, *without}
    return {tag: entry for tag, entry in root.items() if tag not in left_out}


def inner_directories(data: bytes, root: Directory, layout: Layout) -> dict[int, Directory]:
    """The EXIF and GPS directories that a directory points to."""
    found = {tag: pointed(data, root, tag, layout) for tag in (EXIF_POINTER, GPS_POINTER)}
    found.get(EXIF_POINTER, {}).pop(INTEROPERABILITY_POINTER, None)
    return {tag: entries for tag, entries in found.items() if entries}


def put_together(layout: Layout, root: Directory, inner: dict[int, Directory]) -> bytes:
    """An EXIF block of these directories; b"" where all are empty."""
    narrow = Layout(layout.order)
    root = {tag: entry for tag, entry in root.items() if entry.type <= _WIDEST}
    if not root and not inner:
        return b""
    body, at = pack_tree(root, inner, 8, narrow)
    mark = b"II*\0" if layout.order == "<" else b"MM\0*"
    return PREFIX + mark + struct.pack(narrow.offset, at) + body


def with_missing(block: bytes | None, tags: dict[int, Entry]) -> bytes | None:
    """The block, or a new one, with those of the tags that its first directory lacks (their bytes
    little-endian)."""
    layout, root, inner = taken_apart(block or b"") or (Layout("<"), {}, {})
    missing = {tag: entry for tag, entry in tags.items() if tag not in root}
    if not missing:
        return block
    if layout.order == ">":
        missing = {tag: swapped(entry) for tag, entry in missing.items()}
    return put_together(layout, {**root, **missing}, inner)


def upright_xmp(packet: bytes, width: int | None = None, height: int | None = None) -> bytes:
    """An XMP packet whose orientation is 1, and whose sides are those given; of a film that follows
    the picture it says nothing, as results have none."""
    values = {b"tiff:Orientation": 1, b"Camera:MotionPhoto": 0, b"Camera:MicroVideo": 0}
    if width is not None and height is not None:
        values |= {b"tiff:ImageWidth": width, b"tiff:ImageLength": height}
        values |= {b"exif:PixelXDimension": width, b"exif:PixelYDimension": height}
    for name, value in values.items():
        packet = re.sub(
            rb"(" + name + rb"(?:\s*=\s*[\"']|\s*>\s*))\d+", rb"\g<1>%d" % value, packet
        )
    return packet


def _set_numbers(data: bytearray, at: int, layout: Layout, values: dict[int, int]) -> None:
    """Set whole numbers of a directory in place, made LONG where SHORT is too small."""
    begin = at + struct.calcsize(layout.header)
    width, place = struct.calcsize(layout.entry), struct.calcsize(layout.offset)
    (count,) = struct.unpack_from(layout.header, data, at) if at + 8 <= len(data) else (0,)
    for entry in range(begin, min(begin + width * count, len(data) - width + 1), width):
        tag, kind = struct.unpack_from(layout.order + "HH", data, entry)
        if tag in values and kind in {3, 4}:
            wide = values[tag] > 0xFFFF or kind == 4
            struct.pack_into(layout.order + "H", data, entry + 2, 4 if wide else 3)
            packed = struct.pack(layout.order + ("I" if wide else "H"), values[tag])
            where = entry + width - place
            data[where : where + place] = packed.ljust(place, b"\0")


def _erase_thumbnail(data: bytearray, at: int, layout: Layout) -> None:
    directory = read_directory(data, at, layout)
    begin, length = (number(directory.get(tag), layout) for tag in _THUMBNAIL)
    if begin and length:
        end = min(begin + length, len(data))
        data[begin:end] = bytes(max(0, end - begin))
    for entry in directory.values():
        data[entry.at : entry.at + len(entry.raw)] = bytes(len(entry.raw))
    (count,) = struct.unpack_from(layout.header, data, at) if at + 2 <= len(data) else (0,)
    end = min(at + 2 + struct.calcsize(layout.entry) * count, len(data))
    data[at:end] = bytes(max(0, end - at))
