"""From the numbers of single photographs to those of a set, with their intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ugpnet_core.evaluation.measurement import CLEAN, Measurement
from ugpnet_core.evaluation.results import Difference, Figure
from ugpnet_core.evaluation.uncertainty import GROUPS, RESAMPLES, bootstrap_means, jackknife
from ugpnet_core.metrics.frechet import Array, FeatureStatistics

# With fewer vectors than this times their length, covariances say little.
ENOUGH = 4


@dataclass(frozen=True)
class Summary:
    """What a set of photographs shows.

    Attributes:
        figures: by method and key of a metric.
        differences: of methods to their references, image by image.
        protocol: how figures and intervals came about, in words.
    """

    figures: Mapping[str, Mapping[str, Figure]]
    differences: tuple[Difference, ...]
    protocol: Mapping[str, str]


def summarise(
    measurement: Measurement,
    methods: Sequence[str],
    references: Sequence[tuple[str, str]],
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Average over the photographs that were measured, and compare the sets that they make.

    Args:
        methods: names; one without any image has no figures.
        references: pairs of method and reference.
        progress: called with the steps done and their number.
    """
    figures: dict[str, dict[str, Figure]] = {name: {} for name in methods}
    per_image = [each.key for each in measurement.networks.metrics if each.per_image]
    cells = [
        (name, key)
        for name in methods
        for key in per_image
        if any(key in image.figures.get(name, {}) for image in measurement.images)
    ]
    if cells:
        means = bootstrap_means(_table(measurement, cells), measurement.seed)
        for (name, key), figure in zip(cells, means, strict=True):
            figures[name][key] = figure
    differences = _mean_differences(measurement, references, per_image)
    for distance in measurement.networks.distances:
        key = distance.metric.key
        whole, without = _distances(measurement.statistics[key], progress)
        for name in methods:
            if name in whole:
                values = [each[name] for each in without if name in each]
                figures[name][key] = _figure(whole[name], values, len(without), lowest=0.0)
        for name, reference in references:
            if name in whole and reference in whole:
                values = [
                    each[name] - each[reference]
                    for each in without
                    if name in each and reference in each
                ]
                figure = _figure(whole[name] - whole[reference], values, len(without))
                differences.append(Difference(name, reference, key, figure))
    return Summary(figures, tuple(differences), _protocol(measurement))


def _figure(
    value: float, without: Sequence[float], groups: int, lowest: float = -math.inf
) -> Figure:
    return jackknife(value, without, lowest) if len(without) == groups else Figure(value)


def _mean_differences(
    measurement: Measurement, references: Sequence[tuple[str, str]], per_image: Sequence[str]
) -> list[Difference]:
    cells = [(name, reference, key) for name, reference in references for key in per_image]
    if not cells:
        return []
    own = _table(measurement, [(name, key) for name, _, key in cells])
    theirs = _table(measurement, [(reference, key) for _, reference, key in cells])
    with np.errstate(invalid="ignore"):
        difference = own - theirs  # not a number where one is missing, or both are infinite
    known = np.asarray(~np.isnan(difference).all(axis=0))
    if not known.any():
        return []
    chosen = [cell for cell, is_known in zip(cells, known.tolist(), strict=True) if is_known]
    means = bootstrap_means(difference[:, known], measurement.seed)
    return [Difference(*cell, figure) for cell, figure in zip(chosen, means, strict=True)]


def _table(measurement: Measurement, cells: Sequence[tuple[str, str]]) -> Array:
    """The values of methods and metrics, (images, cells); NaN where there is none."""
    rows = [
        [image.figures.get(name, {}).get(key, math.nan) for name, key in cells]
        for image in measurement.images
    ]
    return np.array(rows, dtype=np.float64)


def _distances(
    parts: Mapping[str, Sequence[FeatureStatistics]],
    progress: Callable[[int, int], None] | None,
) -> tuple[dict[str, float], list[dict[str, float]]]:
    """The sets' distances to the photographs by method; and once more for each group of images,
    with that group left out of all sets."""
    whole = {name: FeatureStatistics.joined(mine) for name, mine in parts.items()}
    groups = len(parts[CLEAN])
    left_out = []
    for group in range(groups if groups > 1 else 0):
        if progress:
            progress(group, groups)
        rest = {name: _without(whole[name], mine, group) for name, mine in parts.items()}
        left_out.append(_to_clean(rest))
    if progress:
        progress(groups, groups)
    return _to_clean(whole), left_out


def _without(
    whole: FeatureStatistics, parts: Sequence[FeatureStatistics], group: int
) -> FeatureStatistics:
    if group >= len(parts):  # a method that failed on the last images has fewer groups
        return whole
    if not whole.is_small:
        return whole.without(parts[group])
    others = [*parts[:group], *parts[group + 1 :]]
    return FeatureStatistics.joined(others or [FeatureStatistics(whole.channels)])


def _to_clean(sets: Mapping[str, FeatureStatistics]) -> dict[str, float]:
    """The distance of each set to the photographs'; a set of one vector has none."""
    clean = sets[CLEAN]
    if clean.count < 2:
        return {}
    normal = None if clean.is_small else clean.normal()
    return {
        name: clean.distance(mine, normal)
        for name, mine in sets.items()
        if name != CLEAN and mine.count > 1
    }


def _protocol(measurement: Measurement) -> dict[str, str]:
    words = dict(measurement.networks.words)
    count = len(measurement.images)
    for distance in measurement.networks.distances:
        vectors = count * distance.vectors_per_image
        words[distance.metric.title] = (
            f"Fréchet distance to the photographs, {distance.words} (seed {measurement.seed})"
        )
        if vectors < ENOUGH * distance.channels:
            words[distance.metric.title] += f"; few vectors ({vectors}), compare with care"
    intervals = f"95 %; means: percentile bootstrap over images, {RESAMPLES} resamples"
    if measurement.networks.distances:
        intervals += (
            "; Fréchet distances: jackknife that leaves out one of "
            f"{min(GROUPS, count)} groups of images, Student's t"
        )
    words["intervals"] = intervals
    return words
