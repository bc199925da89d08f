"""The synthesis stage: E and G learn against D (paper eq. 2, supplement S.3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ugpnet_core.checkpoints.state_dict import fit, load_weights
from ugpnet_core.config import (
    ModelConfig,
    PairedFolders,
    StageConfig,
    SynthesisStageConfig,
    TrainConfig,
)
from ugpnet_core.errors import ConfigError
from ugpnet_core.factory import create_task_at, make_discriminator, require_discriminator
from ugpnet_core.losses.adversarial import discriminator_loss, generator_loss, r1_penalty
from ugpnet_core.losses.perceptual import LPIPS
from ugpnet_core.losses.pixel import l1_loss
from ugpnet_core.model_files.prior_weights import PriorWeights
from ugpnet_core.networks.ugpnet import UGPNet
from ugpnet_core.training.augmentation import draw_movements, move_together
from ugpnet_core.training.checkpoint import read_result, result_path
from ugpnet_core.training.context import TrainingContext
from ugpnet_core.training.data import MixedPair, Pair
from ugpnet_core.training.mixture import MixedPairs, Restoration, read_restorations, regress
from ugpnet_core.training.own_modules import read_own_module
from ugpnet_core.training.perceptual_loss import make_lpips
from ugpnet_core.training.prior import PriorStage
from ugpnet_core.training.processes import optimizer_step
from ugpnet_core.training.restoration import RestorationStage
from ugpnet_core.training.stage import Losses, Stage
from ugpnet_core.training.stage_definition import WHOLE, States
from ugpnet_core.training.task_files import task_files

# What E and G made, and x_gt.
Made = tuple[Tensor, Tensor]


class SynthesisStage(Stage):
    """L_syn = L_1 + weight L_per + weight L_adv for E and G; logistic loss and lazy R1 for D.

    Starts adversarial learning at ``adversarial_from``, D included: a discriminator that has met
    nothing but a half-trained generator only learns to tell blur from sharpness.
    """

    name: ClassVar[str] = "synthesis"
    settings_class: ClassVar[type[StageConfig]] = SynthesisStageConfig
    starts_from: ClassVar[tuple[type[Stage], ...]] = (PriorStage, RestorationStage)
    depends_on: ClassVar[frozenset[str]] = frozenset(
        name for name in ModelConfig.model_fields if "fusion" not in name and name != "domain"
    )
    is_perceptual: ClassVar[bool] = True
    keeps: ClassVar[Literal["best", "last"]] = "last"

    def __init__(
        self,
        context: TrainingContext,
        settings: SynthesisStageConfig,
        lpips: LPIPS | None,
        discriminator_state: Mapping[str, Tensor] | None = None,
        others: Sequence[Restoration] = (),
    ) -> None:
        super().__init__(context, settings)
        self.options = settings
        self.lpips = lpips
        model = context.model
        model.synthesis.requires_grad_(True)
        model.restoration.requires_grad_(False).eval()
        task = create_task_at(model.config.task, model.resolution)
        self.restorations = [Restoration(model.restoration, task), *others]
        rate = settings.learning_rate
        self.synthesis, optimizer = self.prepare(model.synthesis, rate)
        self.networks = {"network": self.synthesis}
        self.optimizers = {"network": (optimizer, rate)}
        self.discriminator: nn.Module | None = None
        # A prior that brings no discriminator can still be trained without L_adv.
        if settings.adversarial_weight > 0:
            discriminator = make_discriminator(
                model.config.prior.name, **model.config.prior.options
            )
            if discriminator_state is not None:
                fit(discriminator, discriminator_state, "The discriminator of the prior")
            if context.config.channels_last:
                discriminator.to(memory_format=torch.channels_last)
            rate = settings.discriminator_learning_rate
            self.discriminator, optimizer = self.prepare(discriminator, rate)
            self.networks["discriminator"] = self.discriminator
            self.optimizers["discriminator"] = (optimizer, rate)

    @classmethod
    def from_config(cls, context: TrainingContext) -> SynthesisStage:
        """With the discriminator of the prior stage or of the prior's file, where there is one, and
        the restoration modules of other models that it learns from, too."""
        config = context.config
        # Modules are made before they are read; what they begin as belongs to no seed.
        with torch.random.fork_rng(devices=[]):
            others = read_restorations(config)
        for one in others:
            one.module.to(context.accelerator.device)
        lpips = make_lpips(context, config.synthesis.perceptual_weight)
        discriminator = context.discriminator
        if PriorStage.is_planned(config):
            prior, _, _ = read_result(result_path(config.output, PriorStage.name))
            discriminator = prior["discriminator"]
        elif discriminator is None:
            cls._say_untrained(context)
        return cls(context, config.synthesis, lpips, discriminator, others)

    @classmethod
    def _say_untrained(cls, context: TrainingContext) -> None:
        """That D begins with nothing beside a G that does not."""
        settings, weights = context.config.synthesis, cls.weights_in(context.config)
        if weights is not None and settings.adversarial_weight > 0:
            context.say_untrained(weights)

    @classmethod
    def has_discriminator(cls, config: TrainConfig) -> bool:
        """Where there is L_adv."""
        return config.synthesis.adversarial_weight > 0

    @classmethod
    def module_in(cls, model: UGPNet) -> nn.Module:
        """E, map2style and G."""
        return model.synthesis

    @classmethod
    def check_settings(cls, config: TrainConfig) -> None:
        """L_adv needs a discriminator; restoration modules of other models bring their own
        tasks; a shared module stays as it is."""
        shared = config.shared_synthesis
        if shared is not None and (config.synthesis.iterations or not config.synthesis.weights):
            raise ConfigError(
                f"The synthesis module of {shared} is shared as it is: give its file as "
                "synthesis.weights, and synthesis.iterations=0."
            )
        if config.synthesis.iterations and cls.has_discriminator(config):
            require_discriminator(config.model.prior.name)
        pairs = [one for one in config.data.train if isinstance(one, PairedFolders)]
        if config.synthesis.restorations and pairs:
            raise ConfigError(
                "synthesis.restorations needs photographs that each task can degrade, and "
                f"{pairs[0].clean} comes with degraded ones; give data.train without pairs."
            )

    @classmethod
    def check_files(cls, config: TrainConfig) -> None:
        """The restoration modules of other models."""
        read_restorations(config)

    @classmethod
    def perceptual_networks(cls, config: TrainConfig) -> frozenset[str]:
        """That of L_per."""
        settings = config.synthesis
        return frozenset({"lpips"} if settings.iterations and settings.perceptual_weight else ())

    @classmethod
    def load_pretrained(
        cls,
        model: UGPNet,
        path: Path,
        prior: PriorWeights | None = None,
        key: str | None = None,
    ) -> str:
        """Encoder, map2style and generator from a model file or a finished synthesis stage, or the
        generator from any other file of a prior.

        Returns:
            what was taken, "whole module" or "prior".
        """
        own = read_own_module(path, cls.name, key)
        if own is not None:
            fit(model.synthesis, own.tensors, str(path))
            return WHOLE
        generator = cast(nn.Module, model.synthesis.generator)
        if prior is not None:
            fit(generator, prior.generator, str(path))
        else:
            load_weights(generator, path, key)
        return PriorStage.name

    @classmethod
    def more_files(cls, config: TrainConfig) -> Mapping[str, Path]:
        """The restoration modules of other models, and what their tasks name."""
        found: dict[str, Path] = {}
        for index, path in enumerate(config.synthesis.restorations):
            found[f"restorations.{index}"] = path
            own = read_own_module(path, RestorationStage.name)
            if own is not None:
                found |= task_files(own.config.task.options, f"restorations.{index}.task")
        return found

    @classmethod
    def kept_states(cls, context: TrainingContext) -> States:
        """With the discriminator that came with the weights."""
        states = dict(super().kept_states(context))
        if context.discriminator is not None:
            states["discriminator"] = context.discriminator
        return states

    def pairs(self) -> Dataset[Any]:
        """Mixed ones, where the restoration modules are several."""
        if len(self.restorations) == 1:
            return super().pairs()
        return MixedPairs([self.degraded_by(one.task) for one in self.restorations])

    def update(self, batches: Sequence[Pair], step: int) -> Losses:
        """One step of E and G and one of D on what they made, in the order of the settings."""
        moved = self._moved(batches)
        self.part(step)
        discriminator = self.discriminator if step >= self.options.adversarial_from else None
        self.synthesis.train()
        values: Losses = {}
        made: Iterable[Made] = ((self.synthesis(one).image, clean) for one, clean in moved)
        if discriminator is not None and self.options.discriminator_first:
            # Both learn from the same images, which are made once.
            made = list(made)
            apart = [(fake.detach(), clean) for fake, clean in made]
            _add(values, self._update_discriminator(discriminator, apart, step), 1)
            self._update_synthesis(discriminator, made, len(batches), values)
            return values
        apart = self._update_synthesis(discriminator, made, len(batches), values)
        if discriminator is not None:
            _add(values, self._update_discriminator(discriminator, apart, step), 1)
        return values

    def _update_synthesis(
        self,
        discriminator: nn.Module | None,
        made: Iterable[Made],
        count: int,
        values: Losses,
    ) -> list[Made]:
        """One step of E and G on what they made of ``count`` batches; the same without gradients.
        Losses are added to ``values``."""
        if discriminator is not None:
            discriminator.requires_grad_(False)
        optimizer, _ = self.optimizers["network"]
        optimizer.zero_grad(set_to_none=True)
        apart: list[Made] = []
        for fake, clean in made:
            terms = {"l1": (self.options.pixel_weight, l1_loss(fake, clean))}
            if self.lpips is not None and self.options.perceptual_weight > 0:
                terms["perceptual"] = (self.options.perceptual_weight, self.lpips(fake, clean))
            if discriminator is not None:
                loss = generator_loss(discriminator(fake))
                terms["adversarial"] = (self.options.adversarial_weight, loss)
            total = torch.stack([weight * loss for weight, loss in terms.values()]).sum()
            self.context.accelerator.backward(total / count)
            _add(values, {name: loss for name, (_, loss) in terms.items()}, count)
            apart.append((fake.detach(), clean))
        optimizer_step(
            self.context.accelerator, self.synthesis, optimizer, self.settings.clip_gradient
        )
        return apart

    def _update_discriminator(
        self, discriminator: nn.Module, made: Sequence[Made], step: int
    ) -> dict[str, Tensor]:
        optimizer, _ = self.optimizers["discriminator"]
        discriminator.requires_grad_(True)
        optimizer.zero_grad(set_to_none=True)
        losses: dict[str, Tensor] = {}
        for fake, clean in made:
            regularise = step % self.options.r1_every == 0
            real = clean.detach().requires_grad_(regularise)
            real_logits = discriminator(real)
            loss = discriminator_loss(real_logits, discriminator(fake))
            losses["discriminator"] = losses.get("discriminator", 0) + loss.detach() / len(made)
            if regularise:
                penalty = r1_penalty(
                    real, real_logits, self.options.r1_weight, self.options.r1_every
                )
                losses["r1"] = losses.get("r1", 0) + penalty.detach() / len(made)
                loss = loss + penalty
            self.context.accelerator.backward(loss / len(made))
        optimizer_step(
            self.context.accelerator, discriminator, optimizer, self.settings.clip_gradient
        )
        return losses

    def _moved(self, batches: Sequence[Pair]) -> Iterator[tuple[Tensor, Tensor]]:
        """x_reg and x_gt of each batch, moved together where asked for. Draws at once."""
        if not self.options.augment:
            return ((self._regression(pair), pair.clean) for pair in batches)
        style = self.options.augment_as
        movements = self.shares(draw_movements(self.images(batches), style), batches)
        return (
            move_together(self._regression(pair), pair.clean, one, style)
            for pair, one in zip(batches, movements, strict=True)
        )

    def _regression(self, pair: Pair | MixedPair) -> Tensor:
        with torch.no_grad(), self.context.accelerator.autocast():
            if isinstance(pair, MixedPair):
                return regress(self.restorations, pair)
            image: Tensor = self.context.model.restoration(pair.degraded).image.float()
        return image

    def send(self, network: nn.Module, pair: Pair | MixedPair) -> None:
        """Make x_syn of the x_reg that the stage learns from."""
        network(self._regression(pair))

    def describe(self) -> Mapping[str, str]:
        """The tasks whose restoration modules were learned from, where these were several."""
        others = self.restorations[1:]
        tasks = [self.context.model.config.task.name, *(one.task.name for one in others)]
        return {"tasks": ", ".join(tasks)} if others else {}

    def restored(self, network: nn.Module, pair: Pair) -> Tensor:
        """x_syn."""
        image: Tensor = network(self.context.model.restoration(pair.degraded).image).image
        return image

    def pictures(self, network: nn.Module, pair: Pair) -> list[Tensor]:
        """x_reg and x_syn."""
        regression = self.context.model.restoration(pair.degraded).image
        return [regression, network(regression).image]


def _add(values: Losses, losses: dict[str, Tensor], count: int) -> None:
    for name, loss in losses.items():
        values[name] = values.get(name, 0.0) + float(loss.detach()) / count
