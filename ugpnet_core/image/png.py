"""Chunks of PNG files: read as they are, and put into a file after its header."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator

from ugpnet_core.image.exif import bare
from ugpnet_core.image.iptc import as_resource
from ugpnet_core.image.metadata import COLOUR_CHUNKS, XMP_KEY, Metadata

_HEADER = 8 + 25  # the signature and IHDR
_INCH = 0.0254  # metres

Chunk = tuple[bytes, bytes]


def bit_depth(data: bytes) -> int:
    """Bits per channel of a PNG file."""
    return data[24] if len(data) > 24 else 8


def colour_chunks(data: bytes) -> tuple[Chunk, ...]:
    """What a PNG says of its colours beside a profile; all of it stands before the pixels."""
    return tuple((name, content) for name, content in _chunks(data) if name in COLOUR_CHUNKS)


def with_chunks(data: bytes, chunks: Iterable[Chunk]) -> bytes:
    """A PNG file with further chunks after its header."""
    packed = b"".join(
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )
    return data[:_HEADER] + packed + data[_HEADER:]


def described_by(
    metadata: Metadata, icc_profile: bytes | None, exif: bytes | None
) -> Iterator[Chunk]:
    """The chunks that say what is known of an image, in an order that PNG allows."""
    if icc_profile:
        yield b"iCCP", b"icc\0\0" + zlib.compress(icc_profile)
    yield from (chunk for chunk in metadata.colour_chunks if not icc_profile or chunk[0] == b"cICP")
    if metadata.dpi:
        across, down = (round(side / _INCH) for side in metadata.dpi)
        yield b"pHYs", struct.pack(">IIB", across, down, 1)
    if exif:
        yield b"eXIf", bare(exif)
    for key, value in metadata.text:
        yield _text(key, value)
    if metadata.xmp:
        yield b"iTXt", XMP_KEY.encode() + b"\0\0\0\0\0" + metadata.xmp
    if metadata.iptc:
        digits = as_resource(metadata.iptc).hex()
        lines = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
        profile = f"\niptc\n{len(digits) // 2:8d}\n{lines}\n"
        yield b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(profile.encode())


def _text(key: str, value: str) -> Chunk:
    """Plain where it is Latin-1, as PNG asks for, and UTF-8 where it is not."""
    name = key.encode("latin-1", "replace")[:79] or b"Comment"
    try:
        return b"tEXt", name + b"\0" + value.encode("latin-1")
    except UnicodeEncodeError:
        return b"iTXt", name + b"\0\0\0\0\0" + value.encode("utf-8", "replace")


def _chunks(data: bytes) -> Iterator[Chunk]:
    at = 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        name = data[at + 4 : at + 8]
        if name == b"IDAT":
            return
        yield name, data[at + 8 : at + 8 + length]
        at += 12 + length
