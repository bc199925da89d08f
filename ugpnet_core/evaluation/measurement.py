"""The figures of photographs one by one, and of the sets of images that they make."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ugpnet_core.config import PerceptualConfig
from ugpnet_core.evaluation.frechet import FeatureStatistics, random_crops
from ugpnet_core.evaluation.metrics import psnr, quantised, ssim
from ugpnet_core.losses.perceptual import build_frechet_features, build_lpips

FRECHET_CHANNELS = 512
Figures = dict[str, dict[str, float | None]]
"""Per set of images (degraded, x_reg, ...) the figures by name; None: not computed."""


class Sample(NamedTuple):
    """A photograph of the set: its name below the folder, x_gt and x, (3, H, W), 8-bit levels."""

    name: str
    clean: Tensor
    degraded: Tensor


class Measurement:
    """The figures of one photograph after the other, and of the sets they make."""

    def __init__(
        self, seed: int, perceptual: PerceptualConfig | None, device: str | torch.device
    ) -> None:
        self.seed = seed
        self.device = device
        self.lpips = build_lpips(perceptual).to(device) if perceptual else None
        self.features = build_frechet_features(perceptual).to(device) if perceptual else None
        self.statistics: dict[str, FeatureStatistics] = {}

    @torch.inference_mode()
    def __call__(self, sample: Sample, sets: Mapping[str, Tensor]) -> Figures:
        """Compare images (3, r, r) of a photograph, by the name of the set they belong to.

        Returns:
            psnr (dB), ssim and lpips of each.
        """
        images = quantised(torch.stack(list(sets.values())))
        clean = sample.clean.expand_as(images)
        lpips: list[float | None] = [None] * len(images)
        if self.lpips is not None:
            distances = self.lpips(images.to(self.device), clean.to(self.device), reduction="none")
            lpips = list(distances.tolist())
        self._collect("clean", sample.clean, sample.name)
        for name, image in zip(sets, images, strict=True):
            self._collect(name, image, sample.name)
        columns = zip(
            sets, psnr(images, clean).tolist(), ssim(images, clean).tolist(), lpips, strict=True
        )
        return {name: {"psnr": p, "ssim": s, "lpips": d} for name, p, s, d in columns}

    def _collect(self, name: str, image: Tensor, key: str) -> None:
        if self.features is not None:
            crops = random_crops(image, self.seed, key).to(self.device)
            statistics = self.statistics.setdefault(name, FeatureStatistics(FRECHET_CHANNELS))
            statistics.add(self.features(crops))

    def figures(self, images: list[tuple[str, Figures]]) -> Figures:
        """Average over the photographs measured so far, and add the sets' Fréchet distances.

        Args:
            images: names, and what calling this object returned for them.
        """
        figures: Figures = {}
        for name, first in images[0][1].items():
            figures[name] = {
                metric: _mean([row[name][metric] for _, row in images]) for metric in first
            }
            figures[name]["frechet"] = (
                self.statistics[name].distance(self.statistics["clean"])
                if self.statistics
                else None
            )
        return figures


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None
