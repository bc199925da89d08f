"""Pictures side by side under their names, for looking at."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ugpnet_core.image import resize

_GAP = 0.03  # between pictures, in sides


def side_by_side(pictures: Mapping[str, Tensor], side: int = 384) -> Tensor:
    """Put pictures (3, H, W) of one size in a row on white, with their names above.

    Args:
        pictures: by name, in order.
        side: height of each picture in the sheet, pixels; smaller ones are enlarged by a whole
            factor without smoothing, so that what is seen is what is there.

    Returns:
        RGB (3, H', W') in [0, 1].
    """
    shown = {name: _enlarged(picture, side) for name, picture in pictures.items()}
    height, width = next(iter(shown.values())).shape[-2:]
    gap = max(1, round(_GAP * height))
    bar = max(20, height // 10)
    sheet = torch.ones(3, height + bar + gap, gap + len(shown) * (width + gap))
    for index, (name, picture) in enumerate(shown.items()):
        left = gap + index * (width + gap)
        sheet[:, :bar, left : left + width] = 1 - _text(name, bar, width)
        sheet[:, bar : bar + height, left : left + width] = picture
    return sheet


def _enlarged(picture: Tensor, side: int) -> Tensor:
    factor = max(1, round(side / picture.shape[-2]))
    if factor > 1:
        return picture.repeat_interleave(factor, -2).repeat_interleave(factor, -1)
    return resize(picture, (side, max(1, round(picture.shape[-1] * side / picture.shape[-2]))))


@functools.cache
def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def _text(text: str, height: int, width: int) -> Tensor:
    """Where the ink of a centred line is: (height, width) in [0, 1]."""
    canvas = Image.new("L", (width, height))
    ImageDraw.Draw(canvas).text(
        (width / 2, height / 2), text, fill=255, font=_font(height * 6 // 10), anchor="mm"
    )
    return torch.from_numpy(np.asarray(canvas, np.float32) / 255)
