"""Out of the domain of a prior (paper 4.2, Fig. 7): what becomes of x_hat where x_syn fails.

A generative prior synthesises what it has learned, so that x_syn loses its likeness to photographs
of another kind. The fusion is robust if x_hat does not follow it down: PSNR(x_hat) - PSNR(x_syn)
is then larger out of the domain than in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ugpnet_core.evaluation.results import Domain, Evaluation, Figure, OutOfDomain
from ugpnet_core.evaluation.uncertainty import CONFIDENCE, RESAMPLES, Array, bootstrap_means
from ugpnet_core.seeding import rng_for


def out_of_domain(
    task: str, parts: Sequence[str], sets: Mapping[str, Evaluation], seed: int
) -> list[OutOfDomain]:
    """Compare a model on the first of several sets, the domain of its prior, with each other one.

    Args:
        task: what all sets are degraded by.
        parts: the names of x_reg, x_syn and x_hat.
        sets: by title.
        seed: of the resamples.

    Returns:
        Nothing of a set on which a part has no finite PSNR.
    """
    known = {title: each for title, each in sets.items() if _is_known(each, parts)}
    inside, *others = sets
    if inside not in known:
        return []
    return [
        _compared(task, parts, (inside, sets[inside]), (title, known[title]), seed)
        for title in others
        if title in known
    ]


def difference_of_means(a: Array, b: Array, seed: int = 0) -> Figure:
    """mean(a) - mean(b) of two independent sets, with a percentile bootstrap interval of 95 %.

    Args:
        a, b: one finite number per image, (images,) each.
        seed: of the resamples.

    Returns:
        Without ends where a set has one image only.
    """
    value = float(a.mean() - b.mean())
    if min(len(a), len(b)) < 2:
        return Figure(value)
    draws = _resampled_means(a, seed, "a") - _resampled_means(b, seed, "b")
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Figure(value, float(low), float(high))


def _compared(
    task: str,
    parts: Sequence[str],
    inside: tuple[str, Evaluation],
    outside: tuple[str, Evaluation],
    seed: int,
) -> OutOfDomain:
    _, synthesis, restored = parts
    (_, here), (_, there) = inside, outside
    more_gain = difference_of_means(
        _differences(there, restored, synthesis), _differences(here, restored, synthesis), seed
    )
    drops = {
        name: difference_of_means(_differences(here, name), _differences(there, name), seed)
        for name in parts
    }
    domains = [_domain(title, each, parts, seed) for title, each in (inside, outside)]
    return OutOfDomain(task, domains[0], domains[1], more_gain, drops)


def _domain(title: str, evaluation: Evaluation, parts: Sequence[str], seed: int) -> Domain:
    regression, synthesis, restored = parts

    def mean(method: str, reference: str) -> Figure:
        return bootstrap_means(_differences(evaluation, method, reference)[:, None], seed)[0]

    return Domain(
        title,
        len(evaluation.images),
        {name: evaluation.method(name).figures["psnr"] for name in parts},
        gain=mean(restored, synthesis),
        behind=mean(regression, synthesis),
        loss=mean(regression, restored),
    )


def _is_known(evaluation: Evaluation, parts: Sequence[str]) -> bool:
    regression, synthesis, restored = parts
    pairs = ((regression, synthesis), (regression, restored), (restored, synthesis))
    return all(len(_differences(evaluation, *pair)) for pair in pairs)


def _differences(evaluation: Evaluation, method: str, reference: str | None = None) -> Array:
    """PSNR(method) - PSNR(reference), or PSNR(method) alone, of the photographs where it is
    finite: equal images have an infinite one."""
    mine = evaluation.image_values(method, "psnr")
    theirs = evaluation.image_values(reference, "psnr") if reference else [0.0] * len(mine)
    values = [a - b for a, b in zip(mine, theirs, strict=True) if a is not None and b is not None]
    return np.array([value for value in values if math.isfinite(value)], dtype=np.float64)


def _resampled_means(values: Array, seed: int, name: str) -> Array:
    rng = rng_for(seed, "bootstrap of two sets", name)
    means: Array = np.array(
        [values[rng.integers(len(values), size=len(values))].mean() for _ in range(RESAMPLES)]
    )
    return means
