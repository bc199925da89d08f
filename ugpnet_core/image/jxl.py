"""What the first bytes of a JPEG XL file say of its picture: decoders tell only when they have read
all of it, and not how many bits its values have (ISO/IEC 18181-1, SizeHeader and ImageMetadata)."""

from __future__ import annotations

from typing import NamedTuple

_START = b"\xff\x0a"
_BOXES = (b"jxlc", b"jxlp")
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
_WIDTHS = (9, 13, 18, 30)
_LONGEST = 64  # bytes, and more than these headers take
# Choices of a number: what is added to how many further bits.
_BITS = ((8, 0), (10, 0), (12, 0), (1, 6))
_FLOAT_BITS = ((32, 0), (16, 0), (24, 0), (1, 6))
_TICKS = ((100, 0), (1000, 0), (1, 10), (1, 30))
_TICK_PARTS = ((1, 0), (1001, 0), (1, 8), (1, 10))
_LOOPS = ((0, 0), (0, 3), (0, 16), (0, 32))
_PREVIEW_SIDES = ((1, 6), (65, 8), (321, 10), (1345, 12))
_PREVIEW_EIGHTHS = ((16, 0), (32, 0), (1, 5), (33, 9))


class Header(NamedTuple):
    """Width and height as coded, bits of a value, and whether there are several pictures."""

    width: int
    height: int
    bits: int = 8
    animated: bool = False


def header_of(data: bytes) -> Header | None:
    """The header of a picture; None where it is not found."""
    at = 0 if data.startswith(_START) else _codestream(data)
    if at is None or len(data) < at + 14:
        return None
    bits = _Bits(int.from_bytes(data[at + 2 : at + 2 + _LONGEST], "little"))
    width, height = _size(bits)
    if bits.flag():  # all that follows is as usual
        return Header(width, height)
    animated = bits.flag() and _skip_extra(bits)
    is_float = bits.flag()
    return Header(width, height, bits.number(_FLOAT_BITS if is_float else _BITS), animated)


class _Bits:
    """Bits, the lowest first."""

    def __init__(self, value: int) -> None:
        self._value = value

    def take(self, count: int) -> int:
        taken = self._value & ((1 << count) - 1)
        self._value >>= count
        return taken

    def flag(self) -> bool:
        return self.take(1) == 1

    def number(self, choices: tuple[tuple[int, int], ...]) -> int:
        offset, count = choices[self.take(2)]
        return offset + self.take(count)


def _size(bits: _Bits) -> tuple[int, int]:
    small = bits.flag()
    height = _side(bits, small)
    ratio = bits.take(3)
    if ratio == 0:
        return _side(bits, small), height
    across, down = _RATIOS[ratio]
    return height * across // down, height


def _side(bits: _Bits, small: bool) -> int:
    if small:
        return (bits.take(5) + 1) * 8
    return bits.take(_WIDTHS[bits.take(2)]) + 1


def _skip_extra(bits: _Bits) -> bool:
    """Pass over orientation, intended size, preview and times; whether it is an animation."""
    bits.take(3)
    if bits.flag():
        _size(bits)
    if bits.flag():
        sides = _PREVIEW_EIGHTHS if bits.flag() else _PREVIEW_SIDES
        bits.number(sides)
        if bits.take(3) == 0:
            bits.number(sides)
    animated = bits.flag()
    if animated:
        for choices in (_TICKS, _TICK_PARTS, _LOOPS):
            bits.number(choices)
        bits.flag()
    return animated


def _codestream(data: bytes) -> int | None:
    """Where the picture begins in a file of boxes."""
    for name in _BOXES:
        at = data.find(name)
        if at >= 0:
            begin = data.find(_START, at + 4, at + 16)
            return begin if begin >= 0 else None
    return None
