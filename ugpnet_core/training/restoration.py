"""The restoration stage: backbone and adapter learn with the backbone's own loss (paper 3.4)."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from torch import Tensor, nn

from ugpnet_core.config import RestorationStageConfig
from ugpnet_core.losses.pixel import PIXEL_LOSSES, psnr_loss
from ugpnet_core.plugins import BackboneEntry, find
from ugpnet_core.training.context import TrainingContext
from ugpnet_core.training.data import Pair
from ugpnet_core.training.stage import SingleLossStage


class RestorationStage(SingleLossStage):
    """Trains R, and for residual backbones R_se and R_mg."""

    name: ClassVar[str] = "restoration"

    def __init__(self, context: TrainingContext, settings: RestorationStageConfig) -> None:
        model = context.model
        entry = find(BackboneEntry, model.config.backbone.name).entry
        self.loss_name = entry.loss if settings.loss == "backbone" else settings.loss
        self.loss = (
            partial(psnr_loss, floor=settings.psnr_floor)
            if self.loss_name == "psnr"
            else PIXEL_LOSSES[self.loss_name]
        )
        super().__init__(context, settings, model.restoration)

    def losses(self, pair: Pair) -> dict[str, tuple[float, Tensor]]:
        """L_res between x_reg and x_gt, and as much for each image that R makes on the way."""
        loss, output = self.loss, self.network(pair.degraded)
        terms: dict[str, tuple[float, Tensor]] = {
            self.loss_name: (1.0, loss(output.image, pair.clean))
        }
        for number, image in enumerate(output.intermediate, 1):
            terms[f"{self.loss_name}_intermediate{number}"] = (1.0, loss(image, pair.clean))
        return terms

    def restored(self, network: nn.Module, pair: Pair) -> Tensor:
        """x_reg."""
        image: Tensor = network(pair.degraded).image
        return image

    def describe(self) -> dict[str, str]:
        """The loss that ``backbone`` stood for."""
        return {"loss": self.loss_name}
