"""IPTC captions where they lie: among the resources that Photoshop puts into files."""

from __future__ import annotations

import struct

_MARK = b"8BIM"
_IPTC = 0x0404


def iptc_in(block: bytes) -> bytes | None:
    """The IPTC records of a block of Photoshop's resources, or None."""
    block = block.removeprefix(b"Photoshop 3.0\0")
    at = 0
    while block[at : at + 4] == _MARK and at + 12 <= len(block):
        (resource,) = struct.unpack_from(">H", block, at + 4)
        begin = at + 6 + (block[at + 6] // 2 + 1) * 2  # a name, padded to an even length
        if begin + 4 > len(block):
            return None
        (length,) = struct.unpack_from(">I", block, begin)
        if resource == _IPTC:
            return bytes(block[begin + 4 : begin + 4 + length]) or None
        at = begin + 4 + length + length % 2
    return None


def as_resource(records: bytes) -> bytes:
    """IPTC records as the one resource of a Photoshop block."""
    head = _MARK + struct.pack(">HHI", _IPTC, 0, len(records))
    return head + records + b"\0" * (len(records) % 2)
