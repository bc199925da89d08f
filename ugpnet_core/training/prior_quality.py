"""How far a prior's images are from the photographs that it learns from."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from ugpnet_core.config import PriorStageConfig
from ugpnet_core.degradations import rng_for
from ugpnet_core.losses.perceptual import FrechetFeatures, build_frechet_features
from ugpnet_core.losses.perceptual_weights import describe
from ugpnet_core.metrics.frechet import FeatureStatistics
from ugpnet_core.protocols import TrainablePrior
from ugpnet_core.training.context import TrainingContext
from ugpnet_core.training.photographs import Photographs

BATCH = 16
FEATURES = 512


class PriorQuality:
    """The Fréchet distance between generated images and photographs, whole images each.

    The same photographs and the same codes at every call, so that figures of one training can be
    compared.

    Args:
        photographs: what is learned from; ``count`` of them, spread evenly, are looked at.
        count: images of either set, at most.
        name: of the features, for the record.
    """

    def __init__(
        self,
        features: FrechetFeatures,
        photographs: Photographs,
        count: int,
        seed: int,
        device: torch.device,
        name: str,
    ) -> None:
        self.features = features.to(device)
        self.count = count
        self.seed = seed
        self.device = device
        self.name = name
        self.real = FeatureStatistics(FEATURES)
        total = len(photographs)
        chosen = [i * total // min(count, total) for i in range(min(count, total))]
        for start in range(0, len(chosen), BATCH):
            self._add(self.real, torch.stack([photographs[i] for i in chosen[start:][:BATCH]]))

    @torch.no_grad()
    def distance(self, network: nn.Module, check: Callable[[], None]) -> float:
        """The distance of what a generator makes, without truncation.

        Args:
            check: called after each batch.
        """
        network.eval()
        style_dim = cast(TrainablePrior, network).style_dim
        made = FeatureStatistics(FEATURES)
        # A generator of its own: measuring must not change what training draws.
        rng = torch.Generator().manual_seed(int(rng_for(self.seed, "frechet").integers(2**62)))
        for start in range(0, self.count, BATCH):
            size = min(BATCH, self.count - start)
            codes = torch.randn(size, style_dim, generator=rng).to(self.device)
            self._add(made, network(codes).image)
            check()
        return made.distance(self.real)

    def _add(self, statistics: FeatureStatistics, images: Tensor) -> None:
        statistics.add(self.features(images.float().clamp(0, 1).to(self.device)))


def make_quality(context: TrainingContext, settings: PriorStageConfig) -> PriorQuality | None:
    """What measures the prior, named in the log; None where that is not asked for."""
    if settings.frechet_every is None:
        return None
    config = context.config
    name = describe(config.perceptual).frechet
    context.say(f"Fréchet distance to the training photographs: {name}")
    return PriorQuality(
        build_frechet_features(config.perceptual),
        context.data.photographs,
        settings.frechet_images,
        config.seed,
        context.accelerator.device,
        name,
    )
