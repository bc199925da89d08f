"""From the numbers of single photographs to those of a set, with their intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ugpnet_core.evaluation.measurement import Measurement
from ugpnet_core.evaluation.results import Difference, Figure
from ugpnet_core.evaluation.uncertainty import GROUPS, RESAMPLES, bootstrap_means, jackknife
from ugpnet_core.metrics.frechet import Array

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
        table = _table(measurement, cells)
        quadratic = {each.key for each in measurement.networks.metrics if each.quadratic}
        squared = [key in quadratic for _, key in cells]
        table[:, squared] **= 2
        means = bootstrap_means(table, measurement.seed)
        for (name, key), figure in zip(cells, means, strict=True):
            figures[name][key] = _root(figure) if key in quadratic else figure
        per_image = [key for key in per_image if key not in quadratic]
    differences = _mean_differences(measurement, references, per_image)
    for distance in measurement.networks.distances:
        key = distance.metric.key
        whole, without = distance.compare(measurement.statistics[key], progress)
        for name in methods:
            if name in whole:
                values = [each[name] for each in without if name in each]
                figures[name][key] = _figure(whole[name], values, len(without), distance.lowest)
        for name, reference in references:
            if name in whole and reference in whole:
                values = [
                    each[name] - each[reference]
                    for each in without
                    if name in each and reference in each
                ]
                figure = _figure(whole[name] - whole[reference], values, len(without))
                differences.append(Difference(name, reference, key, figure))
    protocol = _protocol(measurement)
    if fewer := "; ".join(_fewer(measurement, figures, differences)):
        protocol["fewer photographs"] = f"{fewer}; no figure of the others"
    return Summary(figures, tuple(differences), protocol)


def _root(figure: Figure) -> Figure:
    low, high = (None if end is None else math.sqrt(end) for end in (figure.low, figure.high))
    return Figure(math.sqrt(figure.value), low, high)


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


def _fewer(
    measurement: Measurement,
    figures: Mapping[str, Mapping[str, Figure]],
    differences: Sequence[Difference],
) -> Iterator[str]:
    """The figures that are not those of all photographs, and of how many they are."""
    metrics = {each.key: each for each in measurement.networks.metrics}
    cells: list[tuple[tuple[str, ...], str]]
    cells = [((name,), key) for name, mine in figures.items() for key in mine]
    cells += [((each.method, each.reference), each.metric) for each in differences]
    total = len(measurement.images)
    titles: dict[tuple[str, int], list[str]] = {}
    for names, key in cells:
        is_set = not metrics[key].per_image
        count = sum(
            all(name in each and (is_set or key in each[name]) for name in names)
            for each in (image.figures for image in measurement.images)
        )
        if count < total:
            titles.setdefault((" - ".join(names), count), []).append(metrics[key].title)
    for (name, count), mine in titles.items():
        yield f"{' and '.join(mine)} of {name}: {count} of {total}"


def _protocol(measurement: Measurement) -> dict[str, str]:
    words = dict(measurement.networks.words)
    count = len(measurement.images)
    for distance in measurement.networks.distances:
        vectors = count * distance.vectors_per_image
        words[distance.metric.title] = (
            f"{distance.kind} to the photographs, {distance.words} (seed {measurement.seed}); "
        )
        if distance.is_biased:
            words[distance.metric.title] += (
                f"biased: few images make it larger ({count} here), so compare sets of one size "
                "only"
            )
        else:
            words[distance.metric.title] += (
                f"unbiased: few images ({count} here) do not make it larger, and spread it widely"
            )
        if vectors < ENOUGH * distance.channels:
            words[distance.metric.title] += f"; few vectors ({vectors}), compare with care"
    intervals = f"95 %; means: percentile bootstrap over images, {RESAMPLES} resamples"
    if measurement.networks.distances:
        intervals += (
            "; distances of sets: jackknife that leaves out one of "
            f"{min(GROUPS, count)} groups of images, Student's t"
        )
    words["intervals"] = intervals
    return words
