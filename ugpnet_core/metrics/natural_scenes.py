"""Statistics of natural scenes, which NIQE and BRISQUE judge an image by without another one.

A. Mittal, A. K. Moorthy, A. C. Bovik: No-Reference Image Quality Assessment in the Spatial Domain,
IEEE TIP 2012. Brightness, freed of its local mean and contrast, has a shape that distortions
change; so have the products of neighbours.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
WINDOW, SIGMA = 7, 7 / 6
# Horizontal, vertical, and the two diagonal neighbours.
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))
SHAPES = np.arange(0.2, 10.0005, 0.001)


Border = Literal["edge", "constant"]


def normalised(grey: Array, border: Border) -> Array:
    """Eq. 1: brightness (H, W), 0 to 255, less its local mean, over its local deviation plus one.

    Args:
        border: what lies outside of the image: its outermost pixels ("edge", NIQE), or black
            ("constant", BRISQUE).
    """
    window = np.exp(-((np.arange(WINDOW) - WINDOW // 2) ** 2) / (2 * SIGMA**2))
    window /= window.sum()
    mean = _filtered(grey, window, border)
    variance = _filtered(grey**2, window, border) - mean**2
    result: Array = (grey - mean) / (np.sqrt(np.abs(variance)) + 1)
    return result


def _filtered(x: Array, window: Array, border: Border) -> Array:
    """Means under the window, of the same size."""
    for axis, length in enumerate(x.shape):
        around = [(WINDOW // 2,) * 2 if axis == each else (0, 0) for each in (0, 1)]
        wide = np.pad(x, around, mode=border)
        x = sum(
            weight * np.take(wide, range(start, start + length), axis)
            for start, weight in enumerate(window.tolist())
        )
    return x


def asymmetric_shape(values: Array) -> tuple[float, float, float]:
    """Fit an asymmetric generalised Gaussian by its moments (Lasmar et al., 2009).

    Returns:
        the shape alpha, and the deviations to the left and to the right of 0.
    """
    values = values.ravel()
    left, right = values[values < 0], values[values > 0]
    below, above = (
        float(np.sqrt(np.mean(side**2))) if len(side) else 0.0 for side in (left, right)
    )
    square = float(np.mean(values**2))
    if not below or not above:
        return float("nan"), below, above  # a flat image has no shape
    ratio = below / above
    found = float(np.mean(np.abs(values))) ** 2 / square
    found *= (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    alpha = float(SHAPES[np.argmin((_ratios() - found) ** 2)])
    return alpha, below, above


def products(block: Array) -> list[Array]:
    """The products of each pixel with its four neighbours; those of a border wrap around."""
    return [block * np.roll(block, shift, axis=(0, 1)) for shift in NEIGHBOURS]


@lru_cache(maxsize=1)
def _ratios() -> Array:
    """For each shape, the squared mean absolute value over the mean square."""
    return np.array([gamma_ratio(2, 1, s) * gamma_ratio(2, 3, s) for s in SHAPES.tolist()])


def gamma_ratio(above: float, below: float, shape: float) -> float:
    """Gamma(above / shape) / Gamma(below / shape)."""
    return math.exp(math.lgamma(above / shape) - math.lgamma(below / shape))
