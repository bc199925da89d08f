"""Words as pixels, for pictures that carry the names of what they show."""

from __future__ import annotations

import functools
import re
import unicodedata

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

_SMALLEST = 0.8  # of the size that was asked for: how far a name shrinks before it is broken
_LEADING = 1.3  # height of a line, in font sizes
# Where a line may end: after a space, a hyphen, a slash or an underscore.
_PARTS = re.compile(r"[^\s\-/_]*[\s\-/_]?")
# Pillow's font has ASCII and little else; what it lacks is spelled.
_SPELLED = {"×": "x", "–": "-", "—": "-", "−": "-", "ß": "ss", "ø": "o", "æ": "ae"}
_GREEK = re.compile(r"GREEK (?:SMALL|CAPITAL) LETTER (?:FINAL )?(\w+)")


def lettering(text: str, width: int, size: int) -> Tensor:
    """Where the ink of centred words is; nothing is cut off.

    Words that are too wide shrink a little; then they go on in further lines. Accents are left
    out and Greek letters are spelled, since the font has none; letters of other scripts are boxes.

    Args:
        width: pixels that a line may take.
        size: of the font, pixels.

    Returns:
        (H, width) in [0, 1]; H follows from the number of lines.
    """
    lines, size = _fitted(" ".join(_spelled(text).split()), width - 2, size)
    height = round(size * _LEADING)
    canvas = Image.new("L", (width, height * len(lines)))
    draw = ImageDraw.Draw(canvas)
    for index, line in enumerate(lines):
        place = (width / 2, (index + 0.5) * height)
        draw.text(place, line, fill=255, font=_font(size), anchor="mm")
    return torch.from_numpy(np.asarray(canvas, np.float32) / 255)


def _spelled(text: str) -> str:
    letters = unicodedata.normalize("NFKD", text)
    return "".join(_spelled_letter(each) for each in letters if not unicodedata.combining(each))


def _spelled_letter(letter: str) -> str:
    if letter in _SPELLED:
        return _SPELLED[letter]
    greek = _GREEK.fullmatch(unicodedata.name(letter, ""))
    return greek[1].lower().replace("lamda", "lambda") if greek else letter


def _fitted(text: str, width: int, size: int) -> tuple[list[str], int]:
    for smaller in range(size, round(size * _SMALLEST) - 1, -1):
        if _font(smaller).getlength(text) <= width:
            return [text], smaller
    return _lines(text, width, size), size


def _lines(text: str, width: int, size: int) -> list[str]:
    """Break a text where it may be, else anywhere."""
    length = _font(size).getlength
    lines = [""]
    for part in _PARTS.findall(text):
        if length((lines[-1] + part).rstrip()) <= width:
            lines[-1] += part
            continue
        lines.append("")
        for letter in part:
            if lines[-1] and length((lines[-1] + letter).rstrip()) > width:
                lines.append("")
            lines[-1] += letter
    return [line.strip() for line in lines if line.strip()] or [""]


@functools.cache
def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
