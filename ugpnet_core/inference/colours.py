"""The slowest colours of a photograph: what no restoration may change.

Noise, blur of a few pixels and compression leave the mean colour of a neighbourhood as it was, so
a restored image whose neighbourhoods have other means is wrong. Where noise was clipped at black
or white the mean has moved, and such pixels are not counted.
"""

from __future__ import annotations

import math

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
    sigma = min(sigma, max(min(image.shape[-2:]) / 4, 1.0))
    # A pixel at the very end may have been clipped even where there is hardly any noise.
    rim = max(2 * noise, 0.5 / 255)
    # Of the image alone: choosing by the noisy value would choose noise of one sign.
    open_ = ((image > rim) & (image < 1 - rim)).float()
    difference = slow((reference - image) * open_, sigma)
    share = slow(open_, sigma)
    # Where hardly a pixel counts, hardly anything is known, and nothing is moved.
    known = difference / share.clamp_min(1e-3) * (share / 0.1).clamp(max=1)
    variance = noise**2 / (4 * math.pi * sigma**2)
    known = known * known.square() / (known.square() + 64 * variance + 1e-12)
    return image + _enlarged(known, image)


def slow(image: Tensor, sigma: float) -> Tensor:
    """A Gaussian mean of (N, C, H, W) on cells of :data:`CELL` pixels, mirrored at the borders;
    (N, C, ceil(H / CELL), ceil(W / CELL)), with smaller cells for sigma under twice of them."""
    cell = _cell(image, sigma)
    cells = F.avg_pool2d(image, cell, ceil_mode=True, count_include_pad=False)
    radius = math.ceil(3 * sigma / cell)
    axis = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (axis * cell / sigma).square())
    kernel = (kernel / kernel.sum()).to(image)
    channels = image.shape[1]
    padded = pad_reflect(cells, radius, radius, radius, radius)
    rows = F.conv2d(padded, kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    return F.conv2d(rows, kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)


def fast(image: Tensor, sigma: float) -> Tensor:
    """What is left of (N, C, H, W) without its slow part: details that move no mean."""
    return image - _enlarged(slow(image, sigma), image)


def _cell(image: Tensor, sigma: float) -> int:
    height, width = image.shape[-2:]
    return max(1, min(CELL, int(sigma / 2), int(height), int(width)))


def _enlarged(cells: Tensor, image: Tensor) -> Tensor:
    return F.interpolate(cells, size=image.shape[-2:], mode="bilinear", align_corners=False)
