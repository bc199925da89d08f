"""Photographs a band of rows at a time, so that memory need not hold them as floats.

A float32 RGB image takes 12 bytes per pixel, and every step that makes another one takes 12 more;
as levels of 8 bits it takes 3. So what is done to whole photographs is done to bands of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from ugpnet_core.image import from_levels, mirrored, resize

Array = npt.NDArray[Any]

# Rows of a band; a multiple of what noise is estimated on.
BAND = 32
# Rows that bicubic interpolation looks at beyond the borders of a band.
_REACH = 4
# Fixed-point numbers of 16 bits: 0 stands for the first, and 1 for so many steps more. They are
# nearly as fine as levels of 16 bits, and have room for values a little beyond black and white.
_LOWEST = -0.25
_STEPS = 65535 / 1.5


class Rows(Protocol):
    """An image that can be read by rows."""

    @property
    def height(self) -> int:
        """Number of rows."""
        ...

    @property
    def width(self) -> int:
        """Pixels of a row."""
        ...

    def band(self, top: int, bottom: int) -> Tensor:
        """Rows top .. bottom - 1: RGB (3, bottom - top, W), float32."""
        ...


def bands(height: int) -> Iterator[tuple[int, int]]:
    """First row and end of each band of an image, in order."""
    for top in range(0, height, BAND):
        yield top, min(top + BAND, height)


def banded(top: int, images: Sequence[Tensor]) -> Iterator[tuple[int, list[Tensor]]]:
    """Rows of some images, (C, n, W) each from row ``top`` on, a band at a time."""
    for first, last in bands(images[0].shape[-2]):
        yield top + first, [image[:, first:last] for image in images]


class TensorRows:
    """A float image (3, H, W)."""

    def __init__(self, image: Tensor) -> None:
        self.image = image
        self.height, self.width = int(image.shape[-2]), int(image.shape[-1])

    def band(self, top: int, bottom: int) -> Tensor:
        """See :class:`Rows`."""
        return self.image[:, top:bottom]


class LevelRows:
    """An image (H, W, 3), uint8 or uint16."""

    def __init__(self, levels: Array) -> None:
        self.levels = levels
        self.height, self.width = levels.shape[:2]

    def band(self, top: int, bottom: int) -> Tensor:
        """See :class:`Rows`; in [0, 1]."""
        return from_levels(self.levels[top:bottom])


class EnlargedRows:
    """Rows of an image enlarged by a whole factor (bicubic, in [0, 1])."""

    def __init__(self, source: Rows, scale: int) -> None:
        self.source = source
        self.scale = scale
        self.height, self.width = source.height * scale, source.width * scale

    def band(self, top: int, bottom: int) -> Tensor:
        """See :class:`Rows`."""
        first = max(0, top // self.scale - _REACH)
        last = min(self.source.height, -(-bottom // self.scale) + _REACH)
        some = self.source.band(first, last)
        large = resize(some, [side * self.scale for side in some.shape[-2:]])
        begin = first * self.scale
        return large[:, top - begin : bottom - begin]


class MirroredRows:
    """An image with mirrored pixels around it; see :func:`ugpnet_core.image.pad_reflect`."""

    def __init__(
        self, source: Rows, left: int, right: int, top: int, bottom: int, *, edge: bool = False
    ) -> None:
        self.source = source
        self._rows = mirrored(source.height, top, bottom, edge)
        self._columns = mirrored(source.width, left, right, edge)
        self.height, self.width = len(self._rows), len(self._columns)

    def band(self, top: int, bottom: int) -> Tensor:
        """See :class:`Rows`."""
        rows = self._rows[top:bottom]
        first = int(rows.min())
        some = self.source.band(first, int(rows.max()) + 1)
        if some.shape[-2] != bottom - top or int(rows[-1]) < int(rows[0]):  # mirrored
            some = some.index_select(-2, rows - first)
        return some.index_select(-1, self._columns)


class StoredRows:
    """An image that is written by rows and read again, in 6 bytes per pixel.

    Args:
        exact: keep float32 (12 bytes) instead of steps of 1/43690 from -0.25 to 1.25.
    """

    def __init__(self, height: int, width: int, *, exact: bool) -> None:
        self.height, self.width = height, width
        self._kept: Array = np.empty((3, height, width), np.float32 if exact else np.uint16)

    def write(self, top: int, rows: Tensor) -> None:
        """Keep (3, n, W) as rows top .. top + n - 1."""
        if self._kept.dtype == np.uint16:
            rows = (rows - _LOWEST).mul_(_STEPS).round_().clamp_(0, 65535)
        self._kept[:, top : top + rows.shape[-2]] = rows.numpy()

    def band(self, top: int, bottom: int) -> Tensor:
        """See :class:`Rows`."""
        rows = torch.from_numpy(self._kept[:, top:bottom].astype(np.float32))
        return rows.div_(_STEPS).add_(_LOWEST) if self._kept.dtype == np.uint16 else rows


def reduced(source: Rows, longest: int) -> tuple[Tensor, int]:
    """An image halved until no side is longer, (3, h, w) in [0, 1], and how many of the source's
    pixels one of its pixels is wide."""
    factor = 1
    while max(source.height, source.width) > longest * factor:
        factor *= 2
    made = torch.empty(3, -(-source.height // factor), -(-source.width // factor))
    step = factor * max(1, BAND // factor)
    for top in range(0, source.height, step):
        rows = source.band(top, min(top + step, source.height)).clamp(0, 1)
        small = F.avg_pool2d(rows, factor, ceil_mode=True, count_include_pad=False)
        made[:, top // factor : top // factor + small.shape[-2]] = small
    return made, factor


def write_levels(rows: Tensor, into: Array) -> None:
    """Write (3, n, W) in [0, 1] as levels into (n, W, 3), uint8 or uint16."""
    white = float(np.iinfo(into.dtype).max)
    into[:] = (rows * white).round_().permute(1, 2, 0).numpy()
