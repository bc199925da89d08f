"""The figures of photographs one by one, and of the sets of images that they make."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ugpnet_core.config import PerceptualConfig
from ugpnet_core.evaluation.frechet import (
    CROPS_PER_IMAGE,
    LARGEST_CROP,
    SMALLEST_CROP,
    Array,
    FeatureStatistics,
    random_crops,
)
from ugpnet_core.evaluation.metrics import SSIM_WINDOW, psnr, quantised, ssim
from ugpnet_core.evaluation.photographs import Sample
from ugpnet_core.evaluation.results import Figure, ImageResult, Metric
from ugpnet_core.evaluation.uncertainty import (
    GROUPS,
    RESAMPLES,
    bootstrap_means,
    jackknife,
)
from ugpnet_core.losses.perceptual import (
    LPIPS,
    build_frechet_features,
    build_lpips,
    describe,
)

CLEAN = "clean"
"""The photographs' own set; no method may be called so."""

FRECHET_CHANNELS = 512
# With fewer vectors than this times their length, covariances say little.
ENOUGH = 4


@dataclass(frozen=True)
class SetDistance:
    """A Fréchet distance between sets of images.

    Attributes:
        metric: its column.
        channels: of a feature vector.
        features: (n, 3, h, w) in [0, 1] on the device to (n, channels).
        vectors_per_image: how many images ``cut`` makes of one.
        cut: image (3, r, r), seed and name to (n, 3, h, w).
        words: what the vectors are, for the protocol.
    """

    metric: Metric
    channels: int
    features: Callable[[Tensor], Tensor]
    vectors_per_image: int
    cut: Callable[[Tensor, int, str], Tensor]
    words: str


@dataclass(frozen=True)
class MetricNetworks:
    """The figures that are computed, and the networks that some of them need.

    Attributes:
        metrics: all columns, those that cannot be computed included.
        lpips: None: not computed.
        distances: between sets.
        device: where the networks are.
        words: by a column's title, how it is computed.
    """

    metrics: tuple[Metric, ...]
    lpips: LPIPS | None = None
    distances: tuple[SetDistance, ...] = ()
    device: str | torch.device = "cpu"
    words: Mapping[str, str] = field(default_factory=dict)


def metric_networks(
    perceptual: PerceptualConfig | None = None,
    *,
    missing: str = "no perceptual network was given.",
    inception: Path | None = None,
    inception_missing: str = "no Inception network was given.",
    device: str | torch.device = "cpu",
) -> MetricNetworks:
    """Load what the figures need.

    Args:
        perceptual: networks of LPIPS and the substitute of the FID; None: not computed.
        missing: why there is none, for the table.
        inception: weights of the FID's network; None: not computed.
        inception_missing: why there are none, for the table.

    Raises:
        WeightsError: weights are missing or do not fit.
        DependencyError: torch-fidelity is not installed, and there are weights for the FID.
    """
    metrics = [
        Metric("psnr", "PSNR (dB)", "higher", 2),
        Metric("ssim", "SSIM", "higher", 4),
    ]
    words = {
        "PSNR": "over all pixels and channels of an image; mean over images",
        "SSIM": f"Gaussian window {SSIM_WINDOW}, sigma 1.5, per channel of RGB; mean over images",
    }
    lpips, distances = None, []
    if perceptual is None:
        metrics.append(Metric("lpips", "LPIPS", "lower", 4, missing=missing))
    else:
        title = describe(perceptual).lpips
        at = f"images resized to {perceptual.resize}" if perceptual.resize else "images as they are"
        words[title] = f"linear layers 0.1 of the lpips package, {at}; mean over images"
        metrics.append(Metric("lpips", title, "lower", 4))
        lpips = build_lpips(perceptual).to(device)
    if inception is None:
        metrics.append(Metric("fid", "FID", "lower", 2, per_image=False, missing=inception_missing))
    else:
        distances.append(_fid(inception, device))
        metrics.append(distances[-1].metric)
    if perceptual is not None:
        distances.append(_substitute(perceptual, device))
        metrics.append(distances[-1].metric)
    return MetricNetworks(tuple(metrics), lpips, tuple(distances), device, words)


def _fid(path: Path, device: str | torch.device) -> SetDistance:
    from ugpnet_core.evaluation.inception import CHANNELS, Inception

    return SetDistance(
        Metric("fid", "FID", "lower", 2, per_image=False),
        CHANNELS,
        Inception(path).to(device),
        1,
        lambda image, seed, name: image.unsqueeze(0),
        f"Inception-v3 ({path.name}) as in torch-fidelity on whole images of 8 bits, "
        f"{CHANNELS} numbers",
    )


def _substitute(perceptual: PerceptualConfig, device: str | torch.device) -> SetDistance:
    return SetDistance(
        Metric("frechet", describe(perceptual).frechet, "lower", 1, per_image=False),
        FRECHET_CHANNELS,
        build_frechet_features(perceptual).to(device),
        CROPS_PER_IMAGE,
        random_crops,
        f"{CROPS_PER_IMAGE} random crops per image, half as wide as it is ({SMALLEST_CROP} to "
        f"{LARGEST_CROP} pixels), at the same places in every set, RGB, last feature map averaged over positions, "
        f"{FRECHET_CHANNELS} numbers",
    )


class Measurement:
    """Takes photographs one after the other; keeps numbers, but no images."""

    def __init__(self, networks: MetricNetworks, seed: int) -> None:
        self.networks = networks
        self.seed = seed
        self.images: list[ImageResult] = []
        self._statistics: dict[tuple[str, str], list[FeatureStatistics]] = {}

    @torch.inference_mode()
    def __call__(self, sample: Sample, images: Mapping[str, Tensor]) -> None:
        """Compare images (3, r, r) in [0, 1], 8-bit levels, with the photograph, by method."""
        group = len(self.images) % GROUPS
        stacked = torch.stack(list(images.values()))
        clean = sample.clean.unsqueeze(0)
        columns = {
            "psnr": psnr(stacked, clean).tolist(),
            "ssim": ssim(stacked, clean.expand_as(stacked)).tolist(),
        }
        if self.networks.lpips is not None:
            device = self.networks.device
            distances = self.networks.lpips(stacked.to(device), clean.to(device), reduction="none")
            columns["lpips"] = distances.tolist()
        for distance in self.networks.distances:
            for name, image in {CLEAN: sample.clean, **images}.items():
                self._collect(distance, name, image, sample.name, group)
        figures = {
            name: {metric: column[row] for metric, column in columns.items()}
            for row, name in enumerate(images)
        }
        self.images.append(ImageResult(sample.name, figures))

    def _collect(
        self, distance: SetDistance, name: str, image: Tensor, key: str, group: int
    ) -> None:
        parts = self._statistics.setdefault((distance.metric.key, name), [])
        while len(parts) <= group:
            parts.append(FeatureStatistics(distance.channels))
        cut = distance.cut(image, self.seed, key).to(self.networks.device)
        parts[group].add(distance.features(cut))

    def figures(
        self, methods: Sequence[str], progress: Callable[[int, int], None] | None = None
    ) -> dict[str, dict[str, Figure]]:
        """Means and set distances of the photographs so far, with their intervals, by method.

        Args:
            methods: names; one without any image has no figures.
            progress: called with the steps done and their number.
        """
        figures: dict[str, dict[str, Figure]] = {name: {} for name in methods}
        per_image = [each.key for each in self.networks.metrics if each.per_image]
        cells = [
            (name, key)
            for name in methods
            for key in per_image
            if any(key in image.figures.get(name, {}) for image in self.images)
        ]
        if cells:
            means = bootstrap_means(self._table(cells), self.seed)
            for (name, key), figure in zip(cells, means, strict=True):
                figures[name][key] = figure
        for distance in self.networks.distances:
            key = distance.metric.key
            known = [name for name in methods if (key, name) in self._statistics]
            whole, without = self._distances(key, known, progress)
            self._left_out[key] = whole, without
            for name, value in whole.items():
                figures[name][key] = jackknife(value, _of(name, without))
        return figures

    def differences(self, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str, str], Figure]:
        """Means of ``method - reference`` over the images that have both, with their intervals.

        Args:
            pairs: method and reference.

        Returns:
            By method, reference and metric.
        """
        cells = [
            (name, reference, metric.key)
            for name, reference in pairs
            for metric in self.networks.metrics
            if metric.per_image
        ]
        own = self._table([(name, key) for name, _, key in cells])
        theirs = self._table([(reference, key) for _, reference, key in cells])
        with np.errstate(invalid="ignore"):
            difference = own - theirs  # not a number where one is missing, or both are infinite
        known = np.asarray(~np.isnan(difference).all(axis=0))
        if not known.any():
            return {}
        chosen = [cell for cell, is_known in zip(cells, known.tolist(), strict=True) if is_known]
        return dict(zip(chosen, bootstrap_means(difference[:, known], self.seed), strict=True))

    def _table(self, cells: Sequence[tuple[str, str]]) -> Array:
        rows = [
            [image.figures.get(name, {}).get(key, math.nan) for name, key in cells]
            for image in self.images
        ]
        return np.array(rows, dtype=np.float64)

    def _distances(
        self, key: str, methods: Sequence[str], progress: Callable[[int, int], None] | None
    ) -> tuple[dict[str, float], list[dict[str, float]]]:
        """The sets' distances to the photographs by method; and once more for each group of
        images, with that group left out of all sets."""
        parts = {name: self._statistics[key, name] for name in (CLEAN, *methods)}
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

    def protocol(self) -> dict[str, str]:
        """How the figures and their intervals came about, in words."""
        words = dict(self.networks.words)
        count = len(self.images)
        for distance in self.networks.distances:
            vectors = count * distance.vectors_per_image
            words[distance.metric.title] = (
                f"Fréchet distance to the photographs, {distance.words} (seed {self.seed})"
            )
            if vectors < ENOUGH * distance.channels:
                words[distance.metric.title] += f"; few vectors ({vectors}), compare with care"
        intervals = f"95 %; means: percentile bootstrap over images, {RESAMPLES} resamples"
        if self.networks.distances:
            intervals += (
                "; Fréchet distances: jackknife that leaves out one of "
                f"{min(GROUPS, count)} groups of images, Student's t"
            )
        words["intervals"] = intervals
        return words


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


def restored_levels(images: Mapping[str, Tensor], index: int) -> dict[str, Tensor]:
    """Image ``index`` of each batch, (3, r, r) on the CPU, clamped to [0, 1], 8-bit levels."""
    return {name: quantised(batch[index].detach().cpu()) for name, batch in images.items()}
