"""Chunks of PNG files: read as they are, and put into a file after its header."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator

from ugpnet_core.image.exif import bare
from ugpnet_core.image.iptc import as_resource
from ugpnet_core.image.metadata import COLOUR_CHUNKS, XMP_KEY, Metadata

_HEADER = 8 + 25  # the signature and IHDR
_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT"}
_INCH = 0.0254  # metres
# Code points of ITU-T H.273: colours as those of sRGB, and curves that are shown as its curve.
_SRGB, _UNSPECIFIED, _SRGB_CURVE = 1, 2, 13
_SRGB_PRIMARIES, _SRGB_TRANSFERS = {_SRGB, _UNSPECIFIED}, {1, _UNSPECIFIED, 6, _SRGB_CURVE, 14, 15}
_SRGB_GAMMA = (45455,)
_SRGB_CORNERS = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)

Chunk = tuple[bytes, bytes]


def bit_depth(data: bytes) -> int:
    """Bits per channel of a PNG file."""
    return data[24] if len(data) > 24 else 8


def colour_chunks(data: bytes) -> tuple[Chunk, ...]:
    """What a PNG says of its colours beside a profile; all of it stands before the pixels."""
    return tuple((name, content) for name, content in _chunks(data) if name in COLOUR_CHUNKS)


def pixels_only(data: bytes) -> bytes:
    """The file without what it says beside its pixels: what a decoder does not read, it does not
    complain of."""
    chunks = (data[at : at + 12 + length] for at, name, length in _places(data) if name in _PIXELS)
    return b"".join([data[:8], *chunks])


def coded_colours(primaries: int, transfer: int) -> tuple[Chunk, ...]:
    """What a PNG says of RGB colours that HEIC and AVIF name by these code points (ITU-T H.273);
    nothing of those that are shown as sRGB."""
    if primaries in _SRGB_PRIMARIES and transfer in _SRGB_TRANSFERS:
        return ()
    primaries = _SRGB if primaries == _UNSPECIFIED else primaries
    transfer = _SRGB_CURVE if transfer == _UNSPECIFIED else transfer
    return ((b"cICP", bytes([primaries, transfer, 0, 1])),)


def other_than_srgb(chunks: Iterable[Chunk], icc_profile: bytes | None) -> str | None:
    """The first chunk that gives colours another meaning than that of sRGB, where no profile
    stands above it; None where there is none."""
    said = dict(chunks)
    codes = said.get(b"cICP", b"")
    if len(codes) >= 2 and coded_colours(codes[0], codes[1]):
        return "cICP"
    if icc_profile or b"sRGB" in said or codes:
        return None
    for name, values, tolerance in ((b"gAMA", _SRGB_GAMMA, 1000), (b"cHRM", _SRGB_CORNERS, 500)):
        given = said.get(name, b"")
        if len(given) == 4 * len(values) and any(
            abs(one - other) > tolerance
            for one, other in zip(struct.unpack(f">{len(values)}I", given), values, strict=True)
        ):
            return name.decode()
    return None


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
    """Those before the pixels."""
    for at, name, length in _places(data):
        if name == b"IDAT":
            return
        yield name, data[at + 8 : at + 8 + length]


def _places(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Where each chunk lies, its name, and the length of its content."""
    at = 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        yield at, data[at + 4 : at + 8], length
        at += 12 + length
