"""How large a JPEG XL picture is, from its first bytes: the decoder tells only when it has read all
of it (ISO/IEC 18181-1, SizeHeader)."""

from __future__ import annotations

_START = b"\xff\x0a"
_BOXES = (b"jxlc", b"jxlp")
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
_WIDTHS = (9, 13, 18, 30)


def size_of(data: bytes) -> tuple[int, int] | None:
    """Width and height as coded; None where they are not found."""
    at = 0 if data.startswith(_START) else _codestream(data)
    if at is None or len(data) < at + 14:
        return None
    bits = _Bits(int.from_bytes(data[at + 2 : at + 14], "little"))
    small = bits.take(1) == 1
    height = _side(bits, small)
    ratio = bits.take(3)
    if ratio == 0:
        return _side(bits, small), height
    across, down = _RATIOS[ratio]
    return height * across // down, height


class _Bits:
    """Bits, the lowest first."""

    def __init__(self, value: int) -> None:
        self._value = value

    def take(self, count: int) -> int:
        taken = self._value & ((1 << count) - 1)
        self._value >>= count
        return taken


def _side(bits: _Bits, small: bool) -> int:
    if small:
        return (bits.take(5) + 1) * 8
    return bits.take(_WIDTHS[bits.take(2)]) + 1


def _codestream(data: bytes) -> int | None:
    """Where the picture begins in a file of boxes."""
    for name in _BOXES:
        at = data.find(name)
        if at >= 0:
            begin = data.find(_START, at + 4, at + 16)
            return begin if begin >= 0 else None
    return None
