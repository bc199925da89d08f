"""The synthesis stage: E and G learn against D (paper eq. 2, supplement S.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from ugpnet_core.config import SynthesisStageConfig
from ugpnet_core.factory import create_discriminator
from ugpnet_core.losses.adversarial import discriminator_loss, generator_loss, r1_penalty
from ugpnet_core.losses.perceptual import LPIPS
from ugpnet_core.losses.pixel import l1_loss
from ugpnet_core.training.augmentation import move_together
from ugpnet_core.training.data import Pair
from ugpnet_core.training.stage import Bench, Losses, Stage, clip
from ugpnet_core.weights import fit


class SynthesisStage(Stage):
    """L_syn = L_1 + weight L_per + weight L_adv for E and G; logistic loss and lazy R1 for D.

    Starts adversarial learning at ``adversarial_from``, D included: a discriminator that has met
    nothing but a half-trained generator only learns to tell blur from sharpness.
    """

    name: ClassVar[str] = "synthesis"
    keeps: ClassVar[Literal["best", "last"]] = "last"

    def __init__(
        self,
        bench: Bench,
        settings: SynthesisStageConfig,
        lpips: LPIPS | None,
        discriminator_state: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__(bench, settings)
        self.options = settings
        self.lpips = lpips
        model, accelerator = bench.model, bench.accelerator
        model.synthesis.requires_grad_(True)
        model.restoration.requires_grad_(False).eval()
        rate = settings.learning_rate
        self.synthesis, optimizer = accelerator.prepare(
            model.synthesis, self.optimizer(model.synthesis, rate)
        )
        self.networks = {"network": accelerator.unwrap_model(self.synthesis)}
        self.optimizers = {"network": (optimizer, rate)}
        self.discriminator: nn.Module | None = None
        # A prior that brings no discriminator can still be trained without L_adv.
        if settings.adversarial_weight > 0:
            discriminator = create_discriminator(
                model.config.prior.name, **model.config.prior.options
            )
            if discriminator_state is not None:
                fit(discriminator, discriminator_state, "The discriminator of the prior")
            if bench.config.channels_last:
                discriminator.to(memory_format=torch.channels_last)
            rate = settings.discriminator_learning_rate
            self.discriminator, optimizer = accelerator.prepare(
                discriminator, self.optimizer(discriminator, rate)
            )
            self.networks["discriminator"] = accelerator.unwrap_model(self.discriminator)
            self.optimizers["discriminator"] = (optimizer, rate)

    def update(self, batches: Sequence[Pair], step: int) -> Losses:
        """One step of E and G, then one of D on what they made."""
        discriminator = self.discriminator if step >= self.options.adversarial_from else None
        self.synthesis.train()
        if discriminator is not None:
            discriminator.requires_grad_(False)
        optimizer, _ = self.optimizers["network"]
        optimizer.zero_grad(set_to_none=True)
        values: Losses = {}
        made: list[tuple[Tensor, Tensor]] = []
        for pair in batches:
            regression, clean = self._inputs(pair)
            fake = self.synthesis(regression).image
            terms = {"l1": (self.options.pixel_weight, l1_loss(fake, clean))}
            if self.lpips is not None and self.options.perceptual_weight > 0:
                terms["perceptual"] = (self.options.perceptual_weight, self.lpips(fake, clean))
            if discriminator is not None:
                loss = generator_loss(discriminator(fake))
                terms["adversarial"] = (self.options.adversarial_weight, loss)
            total = torch.stack([weight * loss for weight, loss in terms.values()]).sum()
            self.bench.accelerator.backward(total / len(batches))
            _add(values, {name: loss for name, (_, loss) in terms.items()}, len(batches))
            made.append((fake.detach(), clean))
        clip(self.bench.accelerator, self.synthesis, self.settings.clip_gradient)
        optimizer.step()
        if discriminator is not None:
            _add(values, self._update_discriminator(discriminator, made, step), 1)
        return values

    def _update_discriminator(
        self, discriminator: nn.Module, made: Sequence[tuple[Tensor, Tensor]], step: int
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
            self.bench.accelerator.backward(loss / len(made))
        clip(self.bench.accelerator, discriminator, self.settings.clip_gradient)
        optimizer.step()
        return losses

    def _inputs(self, pair: Pair) -> tuple[Tensor, Tensor]:
        """x_reg and x_gt, moved together where asked for."""
        with torch.no_grad(), self.bench.accelerator.autocast():
            regression = self.bench.model.restoration(pair.degraded).image.float()
        if self.options.augment:
            return move_together(regression, pair.clean)
        return regression, pair.clean

    def restored(self, network: nn.Module, pair: Pair) -> Tensor:
        """x_syn."""
        image: Tensor = network(self.bench.model.restoration(pair.degraded).image).image
        return image

    def pictures(self, network: nn.Module, pair: Pair) -> list[Tensor]:
        """x_reg and x_syn."""
        regression = self.bench.model.restoration(pair.degraded).image
        return [regression, network(regression).image]


def _add(values: Losses, losses: dict[str, Tensor], count: int) -> None:
    for name, loss in losses.items():
        values[name] = values.get(name, 0.0) + float(loss.detach()) / count
