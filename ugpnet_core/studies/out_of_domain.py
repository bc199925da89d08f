"""The out-of-distribution study (paper 4.2, Fig. 7): what becomes of x_hat where x_syn fails.

A generative prior synthesises what it has learned, so that x_syn loses its likeness to photographs
of another kind. The fusion is robust if x_hat does not follow it down: PSNR(x_hat) - PSNR(x_syn)
is then larger out of the domain than in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ugpnet_core.errors import ImageError
from ugpnet_core.evaluation.evaluate import evaluate_on
from ugpnet_core.evaluation.measure import Progress
from ugpnet_core.evaluation.methods import DEGRADED, REGRESSION, RESTORED, SYNTHESIS
from ugpnet_core.evaluation.photographs import Sample, TestSet
from ugpnet_core.evaluation.results import Evaluation, Figure
from ugpnet_core.evaluation.uncertainty import (
    CONFIDENCE,
    RESAMPLES,
    Array,
    bootstrap_means,
)
from ugpnet_core.seeding import rng_for

if TYPE_CHECKING:
    from ugpnet_core.metrics.networks import MetricNetworks
    from ugpnet_core.networks.ugpnet import UGPNet

PICTURED = (DEGRADED, REGRESSION, SYNTHESIS, RESTORED, "clean")
"""The columns of the figure."""


@dataclass(frozen=True)
class Domain:
    """One folder of photographs, measured.

    Attributes:
        evaluation: of x_reg, x_syn and x_hat.
        gain: mean of PSNR(x_hat) - PSNR(x_syn) over the photographs, dB.
        behind: mean of PSNR(x_reg) - PSNR(x_syn), dB: how far the synthesis is off.
        loss: mean of PSNR(x_reg) - PSNR(x_hat), dB: what of that the fusion lets through.
        pictures: by photograph, the first of them: images (3, r, r) by the name of the method.
    """

    evaluation: Evaluation
    gain: Figure
    behind: Figure
    loss: Figure
    pictures: Mapping[str, Mapping[str, Tensor]]


@dataclass(frozen=True)
class OutOfDomain:
    """In and out of the domain of the prior.

    Attributes:
        inside, outside: the two folders.
        more_gain: gain outside - gain inside, dB: above 0 where the fusion saves what the
            synthesis loses.
        drops: by method, mean PSNR inside - mean PSNR outside, dB. Photographs of two folders
            differ in how hard they are, too, so only methods can be compared here.
    """

    inside: Domain
    outside: Domain
    more_gain: Figure
    drops: Mapping[str, Figure]


def out_of_domain_study(
    model: UGPNet,
    inside: TestSet,
    outside: TestSet,
    *,
    networks: MetricNetworks | None = None,
    device: str | torch.device = "cpu",
    batch_size: int = 8,
    pictured: int = 4,
    progress: Progress | None = None,
) -> OutOfDomain:
    """Measure a model on photographs like those that its prior learned from, and on others.

    Args:
        pictured: how many photographs of each folder are kept as pictures, from the first on.

    Raises:
        ConfigError: a set's task enlarges by another factor than the model.
        ImageError: a folder has no usable image, or none of finite figures.
    """

    def measure(test_set: TestSet, name: str) -> Domain:
        pictures: dict[str, dict[str, Tensor]] = {}

        def keep(sample: Sample, images: Mapping[str, Tensor]) -> None:
            if len(pictures) < pictured:
                pictures[sample.name] = {key: images[key] for key in PICTURED if key in images}

        evaluation = evaluate_on(
            model,
            test_set,
            networks=networks,
            device=device,
            batch_size=batch_size,
            keep=keep,
            progress=_named(progress, name),
        )

        def difference(method: str, reference: str) -> Figure:
            values = _differences(evaluation, method, reference)
            return bootstrap_means(values[:, None], test_set.seed)[0]

        return Domain(
            evaluation,
            gain=difference(RESTORED, SYNTHESIS),
            behind=difference(REGRESSION, SYNTHESIS),
            loss=difference(REGRESSION, RESTORED),
            pictures=pictures,
        )

    here, there = measure(inside, "in domain"), measure(outside, "out of domain")
    return OutOfDomain(
        here,
        there,
        difference_of_means(
            _differences(there.evaluation, RESTORED, SYNTHESIS),
            _differences(here.evaluation, RESTORED, SYNTHESIS),
            inside.seed,
        ),
        {
            name: difference_of_means(
                _psnr(here.evaluation, name), _psnr(there.evaluation, name), inside.seed
            )
            for name in (REGRESSION, SYNTHESIS, RESTORED)
        },
    )


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


def _resampled_means(values: Array, seed: int, name: str) -> Array:
    rng = rng_for(seed, "bootstrap of two sets", name)
    means: Array = np.array(
        [values[rng.integers(len(values), size=len(values))].mean() for _ in range(RESAMPLES)]
    )
    return means


def _psnr(evaluation: Evaluation, method: str) -> Array:
    """PSNR of the photographs that have one; equal images, whose PSNR is infinite, have none."""
    values = evaluation.image_values(method, "psnr")
    known = [value for value in values if value is not None and np.isfinite(value)]
    return np.array(known, dtype=np.float64)


def _differences(evaluation: Evaluation, method: str, reference: str) -> Array:
    pairs = zip(
        evaluation.image_values(method, "psnr"),
        evaluation.image_values(reference, "psnr"),
        strict=True,
    )
    values = [a - b for a, b in pairs if a is not None and b is not None]
    known = np.array([value for value in values if np.isfinite(value)], dtype=np.float64)
    if not len(known):
        raise ImageError(
            f"No photograph has a finite PSNR of both {method} and {reference}; check the folder "
            "and the model."
        )
    return known


def _named(progress: Progress | None, name: str) -> Callable[[str, int, int], None] | None:
    if progress is None:
        return None
    return lambda stage, done, total: progress(f"{name}: {stage}", done, total)
