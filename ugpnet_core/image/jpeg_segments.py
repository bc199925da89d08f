"""The segments that a JPEG file is made of (ITU-T T.81, annex B)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

SCAN, END = 0xDA, 0xD9
END_MARKER = bytes([0xFF, END])
_WITHOUT_LENGTH = {0x01, END, *range(0xD0, 0xD8)}
_FILL = 0xFF


class Segment(NamedTuple):
    """Its marker's second byte, and where it begins and ends in the file."""

    marker: int
    begin: int
    end: int


def segments(data: bytes, begin: int = 2) -> Iterator[Segment]:
    """Each segment from a marker on (the first one follows that of the file), up to and with the
    header of a scan or the end of a picture; none from where there is no marker on."""
    at = begin
    while at + 4 <= len(data) or data[at:].startswith(END_MARKER):
        if data[at] != 0xFF:
            return
        marker = data[at + 1]
        if marker == _FILL:
            at += 1
            continue
        length = 0 if marker in _WITHOUT_LENGTH else int.from_bytes(data[at + 2 : at + 4], "big")
        yield Segment(marker, at, at + 2 + length)
        if marker in {SCAN, END}:
            return
        at += 2 + length
