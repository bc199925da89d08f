"""Pictures in rows and columns on white, under words: all that is made to be looked at."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ugpnet_core.image.lettering import lettering
from ugpnet_core.image.sizes import resize

_INK = 0.12  # grey level of words
_GAP = 0.03  # between pictures side by side, in heights


class Row(NamedTuple):
    """A row of a sheet.

    Attributes:
        cells: pictures (3, H, W), or None for places that stay empty; may be none at all.
        names: words above each cell.
        title: words above the row.
    """

    cells: Sequence[Tensor | None]
    names: Sequence[str] = ()
    title: str = ""


def compose(rows: Sequence[Row], *, gap: int = 0, font: int = 13) -> Tensor:
    """Lay rows out from top to bottom; shorter ones stay empty at their end.

    Args:
        rows: with cells of one size, one at least.
        gap: pixels between cells and around all of them.
        font: size of words, pixels.

    Returns:
        RGB (3, H', W') in [0, 1].
    """
    height, width = next(cell for row in rows for cell in row.cells if cell is not None).shape[-2:]
    columns = max(len(row.cells) for row in rows)
    whole = columns * (width + gap) - gap
    bands = [torch.ones(3, gap, whole)]
    for row in rows:
        if row.title:
            bands.append(torch.ones(3, font // 2, whole))
            bands.append(_words([row.title], whole, whole, gap, font))
        if row.names:
            bands.append(_words(row.names, width, whole, gap, font))
        if row.cells:
            bands.append(_cells(row.cells, height, whole, gap))
    return F.pad(torch.cat(bands, dim=-2), (gap, gap, 0, 0), value=1.0)


def grid(pictures: Sequence[Tensor], columns: int) -> Tensor:
    """Pictures (3, H, W) of one size, in the order of reading: RGB (3, H', W')."""
    gap = max(1, min(pictures[0].shape[-2:]) // 64)
    starts = range(0, len(pictures), columns)
    return compose([Row(pictures[start:][:columns]) for start in starts], gap=gap)


def columns_for(count: int, rows: int | None = None) -> int:
    """How many pictures stand in a row: as many as rows, or a little more."""
    return math.ceil(count / rows) if rows else math.ceil(math.sqrt(count))


def side_by_side(pictures: Mapping[str, Tensor], side: int = 384) -> Tensor:
    """Put pictures (3, H, W) of one size in a row, with their names above.

    Args:
        pictures: by name, in order.
        side: height of each picture in the sheet, pixels; smaller ones are enlarged by a whole
            factor without smoothing, so that what is seen is what is there.

    Returns:
        RGB (3, H', W') in [0, 1].
    """
    shown = [_near(picture, side) for picture in pictures.values()]
    height = shown[0].shape[-2]
    row = Row(shown, list(pictures))
    return compose([row], gap=max(1, round(_GAP * height)), font=max(12, height * 6 // 100))


def enlarged(picture: Tensor, factor: int) -> Tensor:
    """Every pixel of a picture (..., H, W) as a square of ``factor`` pixels."""
    return picture.repeat_interleave(factor, -2).repeat_interleave(factor, -1)


def _near(picture: Tensor, side: int) -> Tensor:
    height, width = picture.shape[-2:]
    factor = max(1, round(side / height))
    if factor > 1:
        return enlarged(picture, factor)
    return resize(picture, (side, max(1, round(width * side / height))))


def _words(texts: Sequence[str], width: int, whole: int, gap: int, font: int) -> Tensor:
    """Words above columns of a width; those of fewer lines stand close to their pictures."""
    inks = [lettering(text, width, font) for text in texts]
    band = torch.zeros(max(ink.shape[0] for ink in inks), whole)
    for index, ink in enumerate(inks):
        left = index * (width + gap)
        band[band.shape[0] - ink.shape[0] :, left : left + width] = ink
    return (1 - (1 - _INK) * band).expand(3, -1, -1)


def _cells(cells: Sequence[Tensor | None], height: int, whole: int, gap: int) -> Tensor:
    band = torch.ones(3, height + gap, whole)
    for index, cell in enumerate(cells):
        if cell is not None:
            pixels = cell.detach().cpu().float().clamp(0, 1)
            left = index * (pixels.shape[-1] + gap)
            band[:, :height, left : left + pixels.shape[-1]] = pixels
    return band
