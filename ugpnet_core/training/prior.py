"""The prior stage: G and D learn from photographs alone, as a StyleGAN2.

T. Karras et al.: Analyzing and Improving the Image Quality of StyleGAN, CVPR 2020,
https://arxiv.org/abs/1912.04958. Without path length regularisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from ugpnet_core.config import PriorStageConfig
from ugpnet_core.errors import TrainingError
from ugpnet_core.factory import create_discriminator
from ugpnet_core.losses.adversarial import discriminator_loss, generator_loss, r1_penalty
from ugpnet_core.training.data import Pair
from ugpnet_core.training.stage import Bench, Losses, Stage, clip

MIXING_PROBABILITY = 0.9


class PriorStage(Stage):
    """Non-saturating loss for G, with style mixing; logistic loss and lazy R1 for D."""

    name: ClassVar[str] = "prior"
    keeps: ClassVar[Literal["best", "last"]] = "last"

    def __init__(self, bench: Bench, settings: PriorStageConfig) -> None:
        super().__init__(bench, settings)
        self.options = settings
        accelerator, model = bench.accelerator, bench.model
        generator = cast(nn.Module, model.synthesis.generator)
        if not hasattr(generator, "map_styles"):
            raise TrainingError(
                f"Prior {model.config.prior.name!r} does not generate from random codes, so it "
                "cannot be trained here; remove the section 'prior'."
            )
        discriminator = create_discriminator(model.config.prior.name, **model.config.prior.options)
        if bench.config.channels_last:
            discriminator.to(memory_format=torch.channels_last)
        generator.requires_grad_(True)
        self.generator, generator_steps = accelerator.prepare(
            generator, self.optimizer(generator, settings.learning_rate)
        )
        self.discriminator, discriminator_steps = accelerator.prepare(
            discriminator, self.optimizer(discriminator, settings.discriminator_learning_rate)
        )
        self.networks = {
            "network": accelerator.unwrap_model(self.generator),
            "discriminator": accelerator.unwrap_model(self.discriminator),
        }
        self.optimizers = {
            "network": (generator_steps, settings.learning_rate),
            "discriminator": (discriminator_steps, settings.discriminator_learning_rate),
        }

    def update(self, batches: Sequence[Pair], step: int) -> Losses:
        """One step of G, then one of D on what G made."""
        accelerator, count = self.bench.accelerator, len(batches)
        self.generator.train()
        self.discriminator.requires_grad_(False)
        optimizer, _ = self.optimizers["network"]
        optimizer.zero_grad(set_to_none=True)
        values = {"adversarial": 0.0, "discriminator": 0.0}
        fakes = []
        for pair in batches:
            fake = self._generate(len(pair.clean))
            loss = generator_loss(self.discriminator(fake))
            accelerator.backward(loss / count)
            values["adversarial"] += float(loss.detach()) / count
            fakes.append(fake.detach())
        clip(accelerator, self.generator, self.settings.clip_gradient)
        optimizer.step()

        self.discriminator.requires_grad_(True)
        optimizer, _ = self.optimizers["discriminator"]
        optimizer.zero_grad(set_to_none=True)
        regularise = step % self.options.r1_every == 0
        for pair, fake in zip(batches, fakes, strict=True):
            real = pair.clean.detach().requires_grad_(regularise)
            logits = self.discriminator(real)
            loss = discriminator_loss(logits, self.discriminator(fake))
            values["discriminator"] += float(loss.detach()) / count
            if regularise:
                penalty = r1_penalty(real, logits, self.options.r1_weight, self.options.r1_every)
                values["r1"] = values.get("r1", 0.0) + float(penalty.detach()) / count
                loss = loss + penalty
            accelerator.backward(loss / count)
        clip(accelerator, self.discriminator, self.settings.clip_gradient)
        optimizer.step()
        return values

    def _generate(self, count: int) -> Tensor:
        generator: Any = self.networks["network"]
        device = self.bench.accelerator.device
        codes = [torch.randn(count, generator.style_dim, device=device) for _ in range(2)]
        mixing = int(torch.randint(1, generator.num_latents, ()))
        if float(torch.rand(())) < MIXING_PROBABILITY:
            output = self.generator(codes, mixing_index=mixing, randomize_noise=True)
        else:
            output = self.generator(codes[0], randomize_noise=True)
        image: Tensor = output.image
        return image

    def restored(self, network: nn.Module, pair: Pair) -> None:
        """Nothing: a generated image has no counterpart."""

    def pictures(self, network: nn.Module, pair: Pair) -> list[Tensor]:
        """Images generated from codes that are the same at every call."""
        rng = torch.Generator().manual_seed(self.bench.config.seed)
        style_dim = cast(int, network.style_dim)
        codes = torch.randn(len(pair.clean), style_dim, generator=rng)
        image: Tensor = network(codes.to(self.bench.accelerator.device)).image
        return [image]
