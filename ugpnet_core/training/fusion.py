"""The fusion stage: the fusion network learns, everything else is frozen (paper eq. 3)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from ugpnet_core.config import FusionStageConfig
from ugpnet_core.losses.contextual import PatchContextualLoss
from ugpnet_core.losses.perceptual import LPIPS
from ugpnet_core.losses.pixel import l1_loss
from ugpnet_core.protocols import PriorOutput, RestorationOutput
from ugpnet_core.training.data import Pair
from ugpnet_core.training.stage import Bench, SingleLossStage


class FusionStage(SingleLossStage):
    """L_fusion = L_1 + weight L_per + weight L_cf, the last between x_hat and x_syn."""

    name: ClassVar[str] = "fusion"

    def __init__(
        self,
        bench: Bench,
        settings: FusionStageConfig,
        lpips: LPIPS | None,
        contextual: PatchContextualLoss | None,
    ) -> None:
        self.options = settings
        self.lpips = lpips
        self.contextual = contextual
        bench.model.restoration.requires_grad_(False).eval()
        bench.model.synthesis.requires_grad_(False).eval()
        super().__init__(bench, settings, bench.model.fusion)

    def losses(self, pair: Pair) -> dict[str, tuple[float, Tensor]]:
        """L_1 and L_per against x_gt, L_cf against x_syn; those of weight zero are not computed."""
        regression, synthesis = self._frozen(pair)
        image = self.network(*self.bench.model.fusion_inputs(regression, synthesis))
        terms = {"l1": (self.options.pixel_weight, l1_loss(image, pair.clean))}
        if self.lpips is not None and self.options.perceptual_weight > 0:
            terms["perceptual"] = (self.options.perceptual_weight, self.lpips(image, pair.clean))
        if self.contextual is not None and self.options.contextual_weight > 0:
            loss = self.contextual(image, synthesis.image)
            terms["contextual"] = (self.options.contextual_weight, loss)
        return terms

    def _frozen(self, pair: Pair) -> tuple[RestorationOutput, PriorOutput]:
        model = self.bench.model
        with torch.no_grad(), self.bench.accelerator.autocast():
            regression = model.restoration(pair.degraded)
            return regression, model.synthesis(regression.image)

    def restored(self, network: nn.Module, pair: Pair) -> Tensor:
        """x_hat."""
        regression, synthesis = self._frozen(pair)
        image: Tensor = network(*self.bench.model.fusion_inputs(regression, synthesis))
        return image

    def pictures(self, network: nn.Module, pair: Pair) -> list[Tensor]:
        """x_reg, x_syn and x_hat."""
        regression, synthesis = self._frozen(pair)
        image = network(*self.bench.model.fusion_inputs(regression, synthesis))
        return [regression.image, synthesis.image, image]
