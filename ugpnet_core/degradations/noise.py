"""Gaussian and Poisson noise.

Drawing Poisson numbers is what a training on a CPU would spend its time on, so it is done by
inverting the distribution function with the help of a table. The numbers are exact: where the
table cannot decide, the distribution function itself is summed.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

Floats = npt.NDArray[np.float32]
Counts = npt.NDArray[np.uint8]

_RATES = 1024  # cells of the table along the rate
_LEVELS = 2048  # cells along the probability; a power of two, so that u * _LEVELS is exact
_TABLE_LIMIT = 128.0  # expected photons up to which counts fit into a byte


def poisson_gaussian(
    image: Tensor,
    rng: np.random.Generator,
    sigma: float,
    k: float,
    highest_k: float | None = None,
) -> Tensor:
    """x = clip(Poisson(k x_gt) / k + N(0, sigma^2)), the noise of the paper's section 4.

    The order is a camera's: photons are counted first (mean x_gt, variance x_gt / k), then the
    electronics add noise that does not depend on the light, to each pixel and channel on its own.
    The sum is clipped to [0, 1] once and not rounded.

    Args:
        image: the clean x_gt, float32 of any shape, in [0, 1].
        rng: the only source of randomness.
        sigma: standard deviation of the Gaussian part, for white = 1.
        k: photons that a white pixel receives.
        highest_k: of the images to come; where k varies, that saves a table for each.

    Returns:
        The noisy image, same shape.
    """
    clean = np.clip(image.numpy(), 0, 1).astype(np.float32, copy=False)
    noisy = poisson(clean * np.float32(k), highest_k or k, rng).astype(np.float32)
    noisy *= np.float32(1 / k)
    if sigma > 0:
        gaussian = rng.standard_normal(noisy.shape, dtype=np.float32)
        gaussian *= np.float32(sigma)
        noisy += gaussian
    return torch.from_numpy(np.clip(noisy, 0, 1, out=noisy))


def gaussian(image: Tensor, rng: np.random.Generator, sigma: float) -> Tensor:
    """x = clip(x_gt + N(0, sigma^2)), float32 of any shape in [0, 1]."""
    drawn = torch.from_numpy(rng.standard_normal(tuple(image.shape), dtype=np.float32))
    return (image + sigma * drawn).clamp(0, 1)


def field_noise(
    image: Tensor,
    rng: np.random.Generator,
    sigma: float,
    k: float | None = None,
    *,
    grain: float = 0.0,
    grey: bool = False,
) -> Tensor:
    """x = clip(x_gt + sqrt(sigma^2 + x_gt / k) n), n of mean 0 and variance 1 at each place.

    n = (g * w) / ||g||, w white Gaussian noise and g a Gaussian of standard deviation ``grain``:
    the lumps that demosaicing, resizing and film leave. The light's own noise is Gaussian here,
    of the variance that k photons for white give.

    Args:
        image: the clean x_gt, float32 (3, H, W) in [0, 1].
        sigma: standard deviation of the part that does not depend on the light.
        k: photons that a white pixel receives; None for as many as there could be.
        grain: in pixels; 0 leaves each pixel on its own.
        grey: the same n in all channels.
    """
    channels = 1 if grey else image.shape[0]
    height, width = image.shape[-2:]
    kernel = _grain(grain)
    margin = len(kernel) - 1
    drawn = torch.from_numpy(
        rng.standard_normal((channels, 1, height + margin, width + margin), dtype=np.float32)
    )
    if margin:
        drawn = F.conv2d(F.conv2d(drawn, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))
    drawn = drawn[:, 0]
    variance = sigma**2 + (image.clamp(0, 1) / k if k is not None else torch.zeros(()))
    return (image + variance.sqrt() * drawn).clamp(0, 1)


def _grain(sigma: float) -> Tensor:
    """A Gaussian whose squares add up to 1, so that it leaves the variance of white noise."""
    if sigma == 0:
        return torch.ones(1)
    half = math.ceil(3 * sigma)
    density = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    return torch.from_numpy((density / np.sqrt((density**2).sum())).astype(np.float32))


def poisson(rate: Floats, highest: float, rng: np.random.Generator) -> npt.NDArray[np.generic]:
    """Poisson numbers with the given expectations, each in [0, highest]."""
    if highest > _TABLE_LIMIT:
        return rng.poisson(rate)
    table = _quantiles(highest)
    flat = rate.reshape(-1)
    u = rng.random(flat.size, dtype=np.float32)
    row = np.minimum((flat * np.float32(_RATES / highest)).astype(np.int32), _RATES - 1)
    cell = row * np.int32(_LEVELS + 1) + (u * np.float32(_LEVELS)).astype(np.int32)
    # The quantile grows with the rate and with u: equal corners decide everything between.
    low = table.take(cell)
    high = table.take(cell + np.int32(_LEVELS + 2))
    open_ = np.flatnonzero(low != high)
    low[open_] = _invert(flat[open_].astype(np.float64), u[open_].astype(np.float64), highest)
    return low.reshape(rate.shape)


@functools.lru_cache(maxsize=4)
def _quantiles(highest: float) -> Counts:
    """Poisson quantiles at the corners of the cells, flat; in the last column, at u = 1, 255."""
    rates = np.linspace(0, highest, _RATES + 1)
    levels = np.arange(_LEVELS) / _LEVELS
    terms = np.empty((_terms(highest), rates.size))
    terms[0] = np.exp(-rates)
    for n in range(1, len(terms)):
        terms[n] = terms[n - 1] * rates / n
    distribution = np.cumsum(terms, axis=0)
    table = np.full((rates.size, _LEVELS + 1), 255, np.uint8)
    for i in range(rates.size):
        table[i, :-1] = np.searchsorted(distribution[:, i], levels, side="right")
    return table.reshape(-1)


def _invert(
    rate: npt.NDArray[np.float64], u: npt.NDArray[np.float64], highest: float
) -> npt.NDArray[np.int64]:
    """The smallest n with F(n; rate) > u."""
    term = np.exp(-rate)
    cumulative = term.copy()
    count = np.zeros(rate.shape, np.int64)
    for n in range(1, _terms(highest)):
        below = cumulative <= u
        if not below.any():
            break
        count += below
        term *= rate / n
        cumulative += term
    return count


def _terms(highest: float) -> int:
    """More terms than a float32 u can reach (it is below 1 by 2^-24 at least)."""
    return min(250, math.ceil(highest + 8 * math.sqrt(highest) + 16))
