"""Confidence intervals: how far a figure would move with other photographs of the same kind."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ugpnet_core.evaluation.results import Figure
from ugpnet_core.seeding import rng_for

Array = npt.NDArray[np.float64]
CONFIDENCE = 0.95
RESAMPLES = 1000
# Resamples that are in memory at once.
AT_ONCE = 64
GROUPS = 20
# Two-sided 95 % points of Student's t by degrees of freedom; 1.96 beyond.
_T_POINTS = {
    1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262,
    10: 2.228, 11: 2.201, 12: 2.179, 13: 2.160, 14: 2.145, 15: 2.131, 16: 2.120, 17: 2.110,
    18: 2.101, 19: 2.093,
}  # fmt: skip


def bootstrap_means(values: Array, seed: int = 0, resamples: int = RESAMPLES) -> list[Figure]:
    """Means over images, with percentile bootstrap intervals (Efron, 1979) of 95 %.

    Every column sees the same resamples of images, so that columns can be compared.

    Args:
        values: (images, columns); NaN where a column lacks an image. A column needs one value.
        seed: of the resamples.

    Returns:
        One figure for each column. Its ends are None where a value is infinite or there is only
        one.
    """
    known = ~np.isnan(values)
    filled = np.where(known & np.isfinite(values), values, 0.0)
    draws = np.concatenate(
        [
            _resampled_means(filled, known, seed, part, min(AT_ONCE, resamples - part * AT_ONCE))
            for part in range(-(-resamples // AT_ONCE))
        ]
    )
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(draws, [tail, 1 - tail], axis=0)
    figures = []
    for column in range(values.shape[1]):
        mine = values[known[:, column], column]
        if len(mine) > 1 and np.isfinite(mine).all():
            figures.append(Figure(float(mine.mean()), float(low[column]), float(high[column])))
        else:
            figures.append(Figure(float(mine.mean())))
    return figures


def _resampled_means(
    filled: Array, known: npt.NDArray[np.bool_], seed: int, part: int, count: int
) -> Array:
    """Means (count, columns) of resampled images; NaN where a resample lacks a whole column."""
    images = len(filled)
    drawn = rng_for(seed, "bootstrap", part).integers(images, size=(count, images))
    offsets = np.arange(count)[:, None] * images
    times = np.bincount((drawn + offsets).ravel(), minlength=count * images)
    weights = times.reshape(count, images).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        means: Array = (weights @ filled) / (weights @ known.astype(np.float64))
    return means


def jackknife(value: float, without: Sequence[float], lowest: float = -math.inf) -> Figure:
    """An interval of 95 % for a figure of a whole set, by the delete-a-group jackknife.

    For figures that a bootstrap distorts: images that are drawn twice make the spread of a set
    too small, and so its Fréchet distance too large.

    Args:
        value: the figure of the whole set.
        without: for each group of about equal size, the figure of the set without it.
        lowest: what the figure cannot be below.
    """
    groups = len(without)
    if groups < 2:
        return Figure(value)
    left_out = np.array(without)
    variance = (groups - 1) / groups * np.square(left_out - left_out.mean()).sum()
    reach = _T_POINTS.get(groups - 1, 1.96) * float(np.sqrt(variance))
    return Figure(value, max(value - reach, lowest), value + reach)
