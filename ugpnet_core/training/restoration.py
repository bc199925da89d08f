"""The restoration stage: backbone and adapter learn with the backbone's own loss (paper 3.4)."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, ClassVar, cast

from torch import Tensor, nn
from torch.utils.data import Dataset

from ugpnet_core.checkpoints.state_dict import check_fit, fit, load_weights
from ugpnet_core.config import RestorationStageConfig, StageConfig, TrainConfig
from ugpnet_core.errors import WeightsError
from ugpnet_core.factory import create_task_at
from ugpnet_core.losses.pixel import PIXEL_LOSSES, psnr_loss
from ugpnet_core.model_files.prior_weights import PriorWeights
from ugpnet_core.networks.restoration import DirectAdapter
from ugpnet_core.networks.ugpnet import UGPNet
from ugpnet_core.plugins import BackboneEntry, find
from ugpnet_core.training.context import TrainingContext
from ugpnet_core.training.crops import CropPairs
from ugpnet_core.training.data import Pair
from ugpnet_core.training.own_modules import read_own_module
from ugpnet_core.training.single_loss import SingleLossStage
from ugpnet_core.training.stage_definition import WHOLE


class RestorationStage(SingleLossStage):
    """Trains R, and for residual backbones R_se and R_mg."""

    name: ClassVar[str] = "restoration"
    settings_class: ClassVar[type[StageConfig]] = RestorationStageConfig
    depends_on: ClassVar[frozenset[str]] = frozenset(
        {"backbone", "task", "adapter", "merging_channels"}
    )
    takes_crops: ClassVar[bool] = True

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

    @classmethod
    def from_config(cls, context: TrainingContext) -> RestorationStage:
        """With the loss of the settings or of the backbone."""
        return cls(context, context.config.restoration)

    @classmethod
    def is_planned(cls, config: TrainConfig) -> bool:
        """Not of a baseline."""
        return not config.model.baseline

    @classmethod
    def module_in(cls, model: UGPNet) -> nn.Module:
        """R with its adapter."""
        return model.restoration

    @classmethod
    def load_pretrained(
        cls,
        model: UGPNet,
        path: Path,
        prior: PriorWeights | None = None,
        key: str | None = None,
    ) -> str:
        """As a whole from a model file or a finished restoration stage of a model with the same
        adapter; where that does not fit, the backbone inside; or the backbone from a checkpoint of
        such a network.

        Returns:
            what was taken, "whole module" or "backbone".
        """
        backbone = cast(nn.Module, model.restoration.backbone)
        own = read_own_module(path, cls.name, key)
        if own is None:
            load_weights(backbone, path, key)
            return WHOLE if isinstance(model.restoration, DirectAdapter) else "backbone"
        # The kinds of adapters have the same weights and do not mean the same by them.
        if own.config.adapter == model.config.adapter:
            try:
                check_fit(model.restoration, own.tensors, str(path))
            except WeightsError:
                pass
            else:
                fit(model.restoration, own.tensors, str(path))
                return WHOLE
        fit(backbone, own.part("backbone"), str(path))
        return "backbone"

    @classmethod
    def keeps_weights(cls, context: TrainingContext) -> bool:
        """Also where a direct backbone has weights: it is used without any modification
        (paper 3.4)."""
        is_direct = isinstance(context.model.restoration, DirectAdapter)
        has_weights = cls.weights_in(context.config) is not None
        return (is_direct and has_weights) or super().keeps_weights(context)

    def pairs(self) -> Dataset[Any]:
        """Crops: of the photographs that ``data.crops`` names, or of all where it names none."""
        config, crops = self.context.config, self.context.data.crops
        data, task = config.data, create_task_at(config.model.task, config.data.resolution)
        if crops is not None and data.crop is not None:
            return CropPairs(crops, task, config.seed, self.name, crop=data.crop, flip=data.flip)
        return self.degraded_by(task, data.crop)

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
