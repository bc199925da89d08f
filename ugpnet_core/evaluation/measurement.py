"""The figures of photographs one by one, and the features of the sets that they make."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ugpnet_core.evaluation.photographs import Sample
from ugpnet_core.evaluation.results import ImageResult
from ugpnet_core.evaluation.uncertainty import GROUPS
from ugpnet_core.metrics.frechet import FeatureStatistics
from ugpnet_core.metrics.networks import MetricNetworks, SetDistance
from ugpnet_core.metrics.pixel import psnr, quantised, ssim

CLEAN = "clean"
"""The photographs' own set; no method may be called so."""


class Measurement:
    """Takes photographs one after the other; keeps numbers, but no images.

    Attributes:
        images: the figures of each photograph.
        statistics: by key of a set distance and by set, the features of each group of images.
    """

    def __init__(self, networks: MetricNetworks, seed: int) -> None:
        self.networks = networks
        self.seed = seed
        self.images: list[ImageResult] = []
        self.statistics: dict[str, dict[str, list[FeatureStatistics]]] = {
            distance.metric.key: {CLEAN: []} for distance in networks.distances
        }

    @torch.inference_mode()
    def __call__(self, sample: Sample, images: Mapping[str, Tensor]) -> None:
        """Compare images (3, r, r) in [0, 1], 8-bit levels, with the photograph, by method."""
        group = len(self.images) % GROUPS
        stacked = torch.stack(list(images.values()))
        clean = sample.clean.unsqueeze(0)
        columns = {
            "psnr": psnr(stacked, clean).tolist(),
            "ssim": ssim(stacked, clean).tolist(),
        }
        if self.networks.lpips is not None:
            device = self.networks.device
            distances = self.networks.lpips(stacked.to(device), clean.to(device), reduction="none")
            columns["lpips"] = distances.tolist()
        for distance in self.networks.distances:
            for name, image in {CLEAN: sample.clean, **images}.items():
                self.collect(distance, name, image, sample.name, group)
        figures = {
            name: {metric: column[row] for metric, column in columns.items()}
            for row, name in enumerate(images)
        }
        self.images.append(ImageResult(sample.name, figures))

    def collect(
        self, distance: SetDistance, name: str, image: Tensor, key: str, group: int
    ) -> None:
        """Add the features of one image (3, r, r) to a group of a set.

        Args:
            name: of the set.
            key: the photograph's name.
        """
        parts = self.statistics[distance.metric.key].setdefault(name, [])
        while len(parts) <= group:
            parts.append(FeatureStatistics(distance.channels))
        cut = distance.cut(image, self.seed, key).to(self.networks.device)
        parts[group].add(distance.features(cut))


def restored_levels(images: Mapping[str, Tensor], index: int) -> dict[str, Tensor]:
    """Image ``index`` of each batch, (3, r, r) on the CPU, clamped to [0, 1], 8-bit levels."""
    return {name: quantised(batch[index].detach().cpu()) for name, batch in images.items()}
