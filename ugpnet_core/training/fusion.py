"""The fusion stage: the fusion network learns, everything else is frozen (paper eq. 3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from ugpnet_core.checkpoints.state_dict import fit
from ugpnet_core.config import FusionStageConfig, ModelConfig, StageConfig, TrainConfig
from ugpnet_core.errors import WeightsError
from ugpnet_core.losses.contextual import PatchContextualLoss
from ugpnet_core.losses.perceptual import LPIPS, build_contextual_features
from ugpnet_core.losses.perceptual_weights import describe
from ugpnet_core.losses.pixel import l1_loss
from ugpnet_core.model_files.prior_weights import PriorWeights
from ugpnet_core.networks.ugpnet import UGPNet
from ugpnet_core.protocols import PriorOutput, RestorationOutput
from ugpnet_core.training.context import TrainingContext
from ugpnet_core.training.data import Pair
from ugpnet_core.training.own_modules import read_own_module
from ugpnet_core.training.perceptual_loss import make_lpips
from ugpnet_core.training.prior import PriorStage
from ugpnet_core.training.restoration import RestorationStage
from ugpnet_core.training.single_loss import SingleLossStage
from ugpnet_core.training.stage import Stage
from ugpnet_core.training.stage_definition import WHOLE
from ugpnet_core.training.synthesis import SynthesisStage


class FusionStage(SingleLossStage):
    """L_fusion = L_1 + weight L_per + weight L_cf, the last between x_hat and x_syn."""

    name: ClassVar[str] = "fusion"
    settings_class: ClassVar[type[StageConfig]] = FusionStageConfig
    starts_from: ClassVar[tuple[type[Stage], ...]] = (PriorStage, RestorationStage, SynthesisStage)
    # All that has to do with weights.
    depends_on: ClassVar[frozenset[str]] = frozenset(ModelConfig.model_fields) - {"domain"}
    is_perceptual: ClassVar[bool] = True

    def __init__(
        self,
        context: TrainingContext,
        settings: FusionStageConfig,
        lpips: LPIPS | None,
        contextual: PatchContextualLoss | None,
    ) -> None:
        self.options = settings
        self.lpips = lpips
        self.contextual = contextual if settings.contextual_weight > 0 else None
        context.model.restoration.requires_grad_(False).eval()
        context.model.synthesis.requires_grad_(False).eval()
        super().__init__(context, settings, context.model.fusion)

    @classmethod
    def from_config(cls, context: TrainingContext) -> FusionStage:
        """With the losses whose weight is not zero."""
        settings = context.config.fusion
        lpips = make_lpips(context, settings.perceptual_weight)
        return cls(context, settings, lpips, _contextual(context, settings))

    @classmethod
    def is_planned(cls, config: TrainConfig) -> bool:
        """Not of a baseline."""
        return not config.model.baseline

    @classmethod
    def module_in(cls, model: UGPNet) -> nn.Module:
        """The fusion network."""
        fusion: nn.Module = model.fusion
        return fusion

    @classmethod
    def perceptual_networks(cls, config: TrainConfig) -> frozenset[str]:
        """Those of L_per and L_cf."""
        settings = config.fusion
        weights = {"lpips": settings.perceptual_weight, "contextual": settings.contextual_weight}
        if not settings.iterations:
            return frozenset()
        return frozenset(name for name, weight in weights.items() if weight > 0)

    @classmethod
    def load_pretrained(
        cls,
        model: UGPNet,
        path: Path,
        prior: PriorWeights | None = None,
        key: str | None = None,
    ) -> str:
        """From a model file or a finished fusion stage whose network has the same meaning."""
        own = read_own_module(path, cls.name, key)
        if own is None:
            raise WeightsError(
                f"{path} holds no fusion module; give a model file, or the fusion.safetensors of "
                "another training."
            )
        for name in ("fusion_inputs", "fusion_output"):
            theirs, ours = getattr(own.config, name), getattr(model.config, name)
            if theirs != ours:  # the weights may fit all the same, and mean something else
                raise WeightsError(
                    f"{path} was trained with model.{name} {theirs!r} and this model has {ours!r}; "
                    "make them equal, or start without fusion.weights."
                )
        fit(model.fusion, own.tensors, str(path))
        return WHOLE

    def losses(self, pair: Pair) -> dict[str, tuple[float, Tensor]]:
        """L_1 and L_per against x_gt, L_cf against x_syn; those of weight zero are not computed."""
        return self._losses(pair.clean, *self._frozen(pair), None)

    def losses_of_each(self, batches: Sequence[Pair]) -> Iterator[dict[str, tuple[float, Tensor]]]:
        """The same with features centred over the whole update, for which what the frozen networks
        make of all batches is kept."""
        frozen = [self._frozen(pair) for pair in batches]
        centre = self._centre([synthesis.image for _, synthesis in frozen])
        for pair in batches:
            yield self._losses(pair.clean, *frozen.pop(0), centre)

    def _losses(
        self,
        clean: Tensor,
        regression: RestorationOutput,
        synthesis: PriorOutput,
        centre: Tensor | None,
    ) -> dict[str, tuple[float, Tensor]]:
        image = self.network(*self.context.model.fusion_inputs(regression, synthesis))
        terms = {"l1": (self.options.pixel_weight, l1_loss(image, clean))}
        if self.lpips is not None and self.options.perceptual_weight > 0:
            terms["perceptual"] = (self.options.perceptual_weight, self.lpips(image, clean))
        if self.contextual is not None:
            loss = self.contextual(image, synthesis.image, centre)
            terms["contextual"] = (self.options.contextual_weight, loss)
        return terms

    def _centre(self, targets: Sequence[Tensor]) -> Tensor | None:
        """Of the contextual loss, where a batch is not the whole update."""
        accelerator = self.context.accelerator
        if self.contextual is None or len(targets) * accelerator.num_processes == 1:
            return None
        own = torch.stack([self.contextual.centre(target) for target in targets]).mean(0)
        return cast(Tensor, accelerator.reduce(own, "mean"))

    def _frozen(self, pair: Pair) -> tuple[RestorationOutput, PriorOutput]:
        model = self.context.model
        with torch.no_grad(), self.context.accelerator.autocast():
            regression = model.restoration(pair.degraded)
            return regression, model.synthesis(regression.image)

    def restored(self, network: nn.Module, pair: Pair) -> Tensor:
        """x_hat."""
        regression, synthesis = self._frozen(pair)
        image: Tensor = network(*self.context.model.fusion_inputs(regression, synthesis))
        return image

    def pictures(self, network: nn.Module, pair: Pair) -> list[Tensor]:
        """x_reg, x_syn and x_hat."""
        regression, synthesis = self._frozen(pair)
        image = network(*self.context.model.fusion_inputs(regression, synthesis))
        return [regression.image, synthesis.image, image]


def _contextual(
    context: TrainingContext, settings: FusionStageConfig
) -> PatchContextualLoss | None:
    """L_cf, named in the log; None where its weight is zero."""
    if settings.contextual_weight == 0:
        return None
    config = context.config
    context.say(f"Contextual loss: {describe(config.perceptual).contextual}")
    return PatchContextualLoss(
        build_contextual_features(config.perceptual).to(context.accelerator.device),
        settings.contextual_patch,
        settings.contextual_bandwidth,
        settings.contextual_weighted,
    )
