"""Pictures side by side under their names, for looking at."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ugpnet_core.image import resize
from ugpnet_core.image.lettering import lettering

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
    words = [lettering(name, width, max(12, height * 6 // 100)) for name in shown]
    bar = max(20, height // 10, *(word.shape[0] for word in words))
    sheet = torch.ones(3, height + bar + gap, gap + len(shown) * (width + gap))
    for index, (word, picture) in enumerate(zip(words, shown.values(), strict=True)):
        left = gap + index * (width + gap)
        above = (bar - word.shape[0]) // 2
        sheet[:, above : above + word.shape[0], left : left + width] = 1 - word
        sheet[:, bar : bar + height, left : left + width] = picture
    return sheet


def _enlarged(picture: Tensor, side: int) -> Tensor:
    factor = max(1, round(side / picture.shape[-2]))
    if factor > 1:
        return picture.repeat_interleave(factor, -2).repeat_interleave(factor, -1)
    return resize(picture, (side, max(1, round(picture.shape[-1] * side / picture.shape[-2]))))
