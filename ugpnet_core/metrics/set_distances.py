"""Distances of sets of images to the photographs, as wholes and with a group of images left out.

Sets are lists of groups, by name, and each has the same images in a group of the same number; the
photographs' own is called :data:`CLEAN`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ugpnet_core.metrics.frechet import Array, FeatureStatistics
from ugpnet_core.metrics.kernel import KernelSums

CLEAN = "clean"
"""The photographs' own set; no method may be called so."""

Groups = Mapping[str, Sequence[FeatureStatistics]]
Progress = Callable[[int, int], None]


class SetDistances(NamedTuple):
    """Distances to the photographs by method.

    Attributes:
        whole: of the sets.
        without: of the sets without a group, one for each group.
    """

    whole: Mapping[str, float]
    without: Sequence[Mapping[str, float]]


def frechet_distances(sets: Groups, progress: Progress | None = None) -> SetDistances:
    """Fréchet distances; a set of one vector has none."""
    whole = {name: FeatureStatistics.joined(mine) for name, mine in sets.items()}
    groups = len(sets[CLEAN])
    left_out = []
    for group in range(groups if groups > 1 else 0):
        if progress:
            progress(group, groups)
        rest = {name: _without(whole[name], mine, group) for name, mine in sets.items()}
        left_out.append(_to_clean(rest))
    if progress:
        progress(groups, groups)
    return SetDistances(_to_clean(whole), left_out)


def kernel_distances(sets: Groups, progress: Progress | None = None) -> SetDistances:
    """Kernel distances; a set of one vector has none. Needs groups that keep their vectors."""
    groups = len(sets[CLEAN])
    whole: dict[str, float] = {}
    without: list[dict[str, float]] = [{} for _ in range(groups if groups > 1 else 0)]
    clean = [_vectors(each) for each in sets[CLEAN]]
    methods = [name for name in sets if name != CLEAN]
    for done, name in enumerate(methods):
        if progress:
            progress(done, len(methods))
        mine = [_vectors(each) for each in sets[name]]
        # A method that failed on the last images has fewer groups.
        mine += [np.zeros((0, sets[CLEAN][0].channels))] * (groups - len(mine))
        sums = KernelSums(clean, mine)
        if (distance := sums.distance()) is not None:
            whole[name] = distance
        for group, each in enumerate(without):
            if (distance := sums.distance(group)) is not None:
                each[name] = distance
    if progress:
        progress(len(methods), len(methods))
    return SetDistances(whole, without)


def _vectors(statistics: FeatureStatistics) -> Array:
    return statistics.vectors()


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
