"""The slowest colours of a photograph: what no restoration may change.

Noise, blur of a few pixels and compression leave the mean colour of a neighbourhood as it was, so
a restored image whose neighbourhoods have other means is wrong. Where noise was clipped at black
or white the mean has moved, and such pixels are not counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ugpnet_core.image import pad_reflect

# Slow colours are computed on cells of so many pixels, as wide Gaussians need no finer grid.
CELL = 8
SIGMA = 32.0


def follow(image: Tensor, reference: Tensor, noise: float = 0.0, sigma: float = SIGMA) -> Tensor:
    """Move the slowest colours of an image to those of a reference.

    What the noise of the reference can explain is left alone: a difference d of the slow colours,
    in which independent noise has the variance v, counts as d^3 / (d^2 + 64 v): in corners
    mirroring makes v four times as large, and only what is far beyond chance shall be moved.

    Args:
        image: (N, 3, H, W), float32 in about [0, 1].
        reference: of the same shape, in [0, 1].
        noise: standard deviation of the reference's noise; pixels of the image that lie nearer to
            black or white than two of it may have been clipped, and are not counted.
        sigma: of the Gaussian that says how slow, in pixels; less for images under 4 sigma.

    Returns:
        (N, 3, H, W), not clamped.
    """
    sigma = within(sigma, image.shape[-2:])
    counted = open_pixels(image, noise)
    difference = slow((reference - image) * counted, sigma)
    return image + _enlarged(shift(difference, slow(counted, sigma), noise, sigma), image)


def within(sigma: float, size: Sequence[int]) -> float:
    """How slow colours are in an image of a size: by ``sigma``, but less where that is small."""
    return min(sigma, max(min(size) / 4, 1.0))


def open_pixels(image: Tensor, noise: float) -> Tensor:
    """1 where noise cannot have been clipped, else 0; of the shape of the image.

    Of the image alone: choosing by the noisy value would choose noise of one sign.
    """
    # A pixel at the very end may have been clipped even where there is hardly any noise.
    rim = max(2 * noise, 0.5 / 255)
    return ((image > rim) & (image < 1 - rim)).float()


def shift(difference: Tensor, counted: Tensor, noise: float, sigma: float) -> Tensor:
    """What slow colours have to be moved by, on cells; see :func:`follow`.

    Args:
        difference: slow part of (reference - image) where pixels are counted, else 0.
        counted: slow part of :func:`open_pixels`.
    """
    # Where hardly a pixel counts, hardly anything is known, and nothing is moved.
    known = difference / counted.clamp_min(1e-3) * (counted / 0.1).clamp(max=1)
    variance = noise**2 / (4 * math.pi * sigma**2)
    return known * known.square() / (known.square() + 64 * variance + 1e-12)


def slow(image: Tensor, sigma: float) -> Tensor:
    """A Gaussian mean of (N, C, H, W) on cells of :data:`CELL` pixels, mirrored at the borders;
    (N, C, ceil(H / CELL), ceil(W / CELL)), with smaller cells for sigma under twice of them."""
    cell = _cell(image.shape[-2:], sigma)
    return _gaussian(_cells(image, cell), sigma / cell)


class SlowColours:
    """:func:`slow` of an image (C, H, W) that comes a band of rows at a time.

    Args:
        size: height and width of the image.
    """

    def __init__(self, size: Sequence[int], sigma: float) -> None:
        self._cell = _cell(size, sigma)
        self._sigma = sigma
        self._size = size
        # Made before all else: small results between large maps leave holes that no map fits into.
        self._cells: Tensor | None = None
        self._rest: Tensor | None = None
        self._done = 0

    def add(self, rows: Tensor) -> None:
        """Take the next rows, (C, n, W)."""
        if self._rest is not None and self._rest.numel():
            rows = torch.cat([self._rest, rows], -2)
        whole = rows.shape[-2] // self._cell * self._cell
        if whole:
            self._write(rows[:, :whole])
        self._rest = rows[:, whole:].clone()

    def mean(self) -> Tensor:
        """(1, C, h, w), when all rows are there."""
        if self._rest is not None and self._rest.numel():
            self._write(self._rest)
            self._rest = None
        assert self._cells is not None
        return _gaussian(self._cells[None], self._sigma / self._cell)

    def _write(self, rows: Tensor) -> None:
        if self._cells is None:
            self._cells = torch.empty(
                len(rows), *(-(-int(side) // self._cell) for side in self._size)
            )
        cells = _cells(rows[None], self._cell)[0]
        self._cells[:, self._done : self._done + cells.shape[-2]] = cells
        self._done += cells.shape[-2]


def enlarged_rows(cells: Tensor, size: Sequence[int], top: int, bottom: int) -> Tensor:
    """Rows top .. bottom - 1 of cells (1, C, h, w) enlarged to a size: (C, bottom - top, W)."""
    count = cells.shape[-2]
    place = (torch.arange(top, bottom, dtype=torch.float32) + 0.5) * (count / size[0]) - 0.5
    place = place.clamp(0, count - 1)
    above = place.floor().long()
    share = (place - above)[:, None]
    below = (above + 1).clamp(max=count - 1)
    rows = torch.lerp(cells[0][:, above], cells[0][:, below], share)
    return F.interpolate(
        rows[None], size=[bottom - top, size[1]], mode="bilinear", align_corners=False
    )[0]


def fast(image: Tensor, sigma: float) -> Tensor:
    """What is left of (N, C, H, W) without its slow part: details that move no mean."""
    return image - _enlarged(slow(image, sigma), image)


def _cell(size: Sequence[int], sigma: float) -> int:
    return max(1, min(CELL, int(sigma / 2), *map(int, size)))


def _cells(image: Tensor, cell: int) -> Tensor:
    return F.avg_pool2d(image, cell, ceil_mode=True, count_include_pad=False)


def _gaussian(cells: Tensor, sigma: float) -> Tensor:
    """A Gaussian mean of (N, C, h, w), mirrored at the borders; sigma in cells."""
    radius = math.ceil(3 * sigma)
    axis = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (axis / sigma).square())
    kernel = (kernel / kernel.sum()).to(cells)
    channels = cells.shape[1]
    padded = pad_reflect(cells, radius, radius, radius, radius)
    rows = F.conv2d(padded, kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    return F.conv2d(rows, kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)


def _enlarged(cells: Tensor, image: Tensor) -> Tensor:
    return F.interpolate(cells, size=image.shape[-2:], mode="bilinear", align_corners=False)
