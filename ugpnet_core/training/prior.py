"""The prior stage: G and D learn from photographs alone, as a StyleGAN2.

T. Karras et al.: Analyzing and Improving the Image Quality of StyleGAN, CVPR 2020,
https://arxiv.org/abs/1912.04958: non-saturating and logistic losses, lazy R1 and path length
regularisation, style mixing, averaged weights. Against small data sets, what D sees is augmented
(:mod:`ugpnet_core.training.adaptive_augmentation`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from ugpnet_core.checkpoints.state_dict import load_weights
from ugpnet_core.config import PriorStageConfig, StageConfig, TrainConfig
from ugpnet_core.degradations import rng_for
from ugpnet_core.errors import ConfigError, TrainingError
from ugpnet_core.factory import make_discriminator, require_discriminator
from ugpnet_core.losses.adversarial import (
    discriminator_loss,
    generator_loss,
    path_length_penalty,
    path_lengths,
    r1_penalty,
)
from ugpnet_core.model_files.prior_weights import PriorWeights
from ugpnet_core.networks.ugpnet import UGPNet
from ugpnet_core.protocols import TrainablePrior
from ugpnet_core.training.adaptive_augmentation import AdaptiveAugmentation
from ugpnet_core.training.context import TrainingContext
from ugpnet_core.training.data import Pair
from ugpnet_core.training.fine_tuning import fit_part, kept_layers
from ugpnet_core.training.prior_quality import PriorQuality, make_quality
from ugpnet_core.training.processes import optimizer_step
from ugpnet_core.training.stage import Losses, Stage
from ugpnet_core.training.stage_definition import States
from ugpnet_core.training.trained_prior import prior_file_path, write_trained_prior

PATH_LENGTH_DECAY = 0.01  # how fast the running mean follows (StyleGAN2's published value)
TRUNCATION_CODES = 4096


class PriorStage(Stage):
    """Non-saturating loss for G, with style mixing; logistic loss and lazy R1 for D.

    Args:
        quality: measures the Fréchet distance where that is asked for.
    """

    name: ClassVar[str] = "prior"
    settings_class: ClassVar[type[StageConfig]] = PriorStageConfig
    depends_on: ClassVar[frozenset[str]] = frozenset({"prior"})
    keeps: ClassVar[Literal["best", "last"]] = "last"

    def __init__(
        self,
        context: TrainingContext,
        settings: PriorStageConfig,
        quality: PriorQuality | None = None,
    ) -> None:
        super().__init__(context, settings)
        self.options = settings
        self.quality = quality
        model = context.model
        found: object = model.synthesis.generator
        if not isinstance(found, TrainablePrior):
            raise TrainingError(
                f"Prior {model.config.prior.name!r} does not generate from random codes "
                "(ugpnet_core.protocols.TrainablePrior), so it cannot be trained here; remove the "
                "section 'prior'."
            )
        generator = cast(nn.Module, found)
        discriminator = make_discriminator(model.config.prior.name, **model.config.prior.options)
        taken = context.discriminator if settings.weights is not None else None
        if taken is not None:
            fit_part(discriminator, taken, f"The discriminator in {settings.weights}")
        self.kept = kept_layers(discriminator, taken or {}, settings.freeze_d)
        if context.config.channels_last:
            discriminator.to(memory_format=torch.channels_last)
        generator.requires_grad_(True)
        self._let_discriminator_learn(discriminator)
        self.generator, generator_steps = self.prepare(generator, settings.learning_rate)
        self.discriminator, discriminator_steps = self.prepare(
            discriminator, settings.discriminator_learning_rate
        )
        self.networks = {"network": self.generator, "discriminator": self.discriminator}
        self.optimizers = {
            "network": (generator_steps, settings.learning_rate),
            "discriminator": (discriminator_steps, settings.discriminator_learning_rate),
        }
        strength = 0.0 if settings.augmentation == "none" else settings.augmentation_probability
        target = settings.augmentation_target if settings.augmentation == "adaptive" else None
        self.augment = AdaptiveAugmentation(strength, target, settings.augmentation_images)
        self.mean_length = torch.zeros((), dtype=torch.float64)

    @classmethod
    def from_config(cls, context: TrainingContext) -> PriorStage:
        """With the Fréchet distance, where that is asked for; and the discriminator of the file of
        weights, where that has one."""
        settings = cast(PriorStageConfig, cls.settings_in(context.config))
        if settings.weights is not None and context.discriminator is None:
            context.say_untrained(settings.weights)
        return cls(context, settings, make_quality(context, settings))

    @classmethod
    def load_pretrained(
        cls,
        model: UGPNet,
        path: Path,
        prior: PriorWeights | None = None,
        key: str | None = None,
    ) -> str:
        """G from a file of a prior; layers that it lacks, because it was made for fewer pixels,
        stay new.

        Returns:
            what was taken, "prior".
        """
        if prior is not None:
            fit_part(cls.module_in(model), prior.generator, str(path))
        else:
            load_weights(cls.module_in(model), path, key)
        return cls.name

    def _let_discriminator_learn(self, discriminator: nn.Module) -> None:
        """All of it, but for the layers that are kept."""
        discriminator.requires_grad_(True)
        for layer in self.kept:
            layer.requires_grad_(False)

    @classmethod
    def has_discriminator(cls, config: TrainConfig) -> bool:
        """Always."""
        return True

    @classmethod
    def module_in(cls, model: UGPNet) -> nn.Module:
        """G."""
        return cast(nn.Module, model.synthesis.generator)

    @classmethod
    def check_settings(cls, config: TrainConfig) -> None:
        """A prior is trained here or read for the synthesis stage, and needs a discriminator."""
        require_discriminator(config.model.prior.name)
        if config.synthesis.weights is not None:
            raise ConfigError(
                "The prior is trained (section 'prior') and also read from synthesis.weights; "
                "remove one of them, or train that one on (prior.weights)."
            )

    @classmethod
    def perceptual_networks(cls, config: TrainConfig) -> frozenset[str]:
        """That of the Fréchet distance, where it is measured."""
        is_measured = config.prior is not None and config.prior.frechet_every
        return frozenset({"frechet"} if is_measured else ())

    @classmethod
    def write_more(
        cls, context: TrainingContext, states: States, record: Mapping[str, Any], *, is_new: bool
    ) -> None:
        """The prior file. Written once: other trainings know it by its bytes, which safetensors
        does not repeat."""
        path = prior_file_path(context.config)
        if is_new or not path.exists():
            write_trained_prior(context.config, states, record)
        context.say(f"The prior, for other trainings: {path}")

    def update(self, batches: Sequence[Pair], step: int) -> Losses:
        """One step of G, then one of D on what G made."""
        codes, mixing = self._draw_codes(batches)
        self.part(step)
        values, fakes = self._update_generator(codes, mixing, step)
        values |= self._update_discriminator(batches, fakes, step)
        values["augmentation"] = self.augment.probability
        return values

    def _update_generator(
        self, codes: Sequence[Sequence[Tensor]], mixing: int | None, step: int
    ) -> tuple[Losses, Sequence[Tensor]]:
        accelerator, count = self.context.accelerator, len(codes)
        self.generator.train()
        self.discriminator.requires_grad_(False)
        optimizer, _ = self.optimizers["network"]
        optimizer.zero_grad(set_to_none=True)
        values: Losses = {"adversarial": 0.0}
        fakes = []
        for one in codes:
            fake = self._generate(one, mixing)
            loss = generator_loss(self.discriminator(self.augment(fake)))
            accelerator.backward(loss / count)
            values["adversarial"] += float(loss.detach()) / count
            fakes.append(fake.detach())
        if self.options.path_length_weight > 0 and step % self.options.path_length_every == 0:
            values["path_length"] = self._regularise_paths(len(codes[0][0]))
        optimizer_step(accelerator, self.generator, optimizer, self.settings.clip_gradient)
        return values, fakes

    def _update_discriminator(
        self, batches: Sequence[Pair], fakes: Sequence[Tensor], step: int
    ) -> Losses:
        accelerator, count = self.context.accelerator, len(batches)
        self._let_discriminator_learn(self.discriminator)
        optimizer, _ = self.optimizers["discriminator"]
        optimizer.zero_grad(set_to_none=True)
        regularise = self.options.r1_weight > 0 and step % self.options.r1_every == 0
        values: Losses = {"discriminator": 0.0, "sign_of_real": 0.0}
        for pair, fake in zip(batches, fakes, strict=True):
            # The penalty is taken where D stands: on the augmented photographs.
            real = self.augment(pair.clean).detach().requires_grad_(regularise)
            logits = self.discriminator(real)
            loss = discriminator_loss(logits, self.discriminator(self.augment(fake)))
            values["discriminator"] += float(loss.detach()) / count
            sign = accelerator.reduce(logits.detach().float().sign().mean(), "mean")
            values["sign_of_real"] += float(sign) / count
            if regularise:
                penalty = r1_penalty(real, logits, self.options.r1_weight, self.options.r1_every)
                values["r1"] = values.get("r1", 0.0) + float(penalty.detach()) / count
                loss = loss + penalty
            accelerator.backward(loss / count)
        optimizer_step(accelerator, self.discriminator, optimizer, self.settings.clip_gradient)
        self.augment.adapt(values["sign_of_real"], self.images(batches))
        return values

    def _draw_codes(self, batches: Sequence[Pair]) -> tuple[list[list[Tensor]], int | None]:
        """Two codes z for each image, by batch, and from which layer on the second one counts, or
        None where styles are not mixed."""
        generator = cast(TrainablePrior, self.networks["network"])
        device, count = self.context.accelerator.device, self.images(batches)
        drawn = [torch.randn(count, generator.style_dim).to(device) for _ in range(2)]
        mixing = int(torch.randint(1, generator.num_latents, ()))
        is_mixed = float(torch.rand(())) < self.options.mixing
        parts = (self.shares(one, batches) for one in drawn)
        return [list(both) for both in zip(*parts, strict=True)], mixing if is_mixed else None

    def _generate(self, codes: Sequence[Tensor], mixing: int | None) -> Tensor:
        if mixing is not None:
            output = self.generator(codes, mixing_index=mixing, randomize_noise=True)
        else:
            output = self.generator(codes[0], randomize_noise=True)
        image: Tensor = output.image
        return image

    def _regularise_paths(self, count: int) -> float:
        """Add the penalty's gradient to that of G; returns the mean length. On half a batch, as
        published: second derivatives cost as much again."""
        accelerator, network = self.context.accelerator, self.networks["network"]
        generator = cast(TrainablePrior, network)
        codes = torch.randn(max(count // 2, 1), generator.style_dim).to(accelerator.device)
        styles = generator.map_styles(codes)[:, None].repeat(1, generator.num_latents, 1)
        lengths = path_lengths(generator.generate(styles, randomize_noise=True).image, styles)
        now = accelerator.reduce(lengths.detach().mean(), "mean").double().cpu()
        self.mean_length = torch.lerp(self.mean_length, now, PATH_LENGTH_DECAY)
        penalty = path_length_penalty(
            lengths,
            self.mean_length.to(lengths),
            self.options.path_length_weight,
            self.options.path_length_every,
        )
        learning = [p for p in network.parameters() if p.requires_grad]
        gradients = torch.autograd.grad(penalty, learning, allow_unused=True)
        for parameter, gradient in zip(learning, gradients, strict=True):
            if gradient is not None:
                parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        return float(now)

    def restored(self, network: nn.Module, pair: Pair) -> None:
        """Nothing: a generated image has no counterpart."""

    def send(self, network: nn.Module, pair: Pair) -> None:
        """Generate from as many codes as there are photographs."""
        style_dim = cast(TrainablePrior, network).style_dim
        network(torch.randn(len(pair.clean), style_dim).to(self.context.accelerator.device))

    def pictures(self, network: nn.Module, pair: Pair) -> list[Tensor]:
        """Rows of images from codes that are the same at every call: truncated, and as they are."""
        generator = cast(TrainablePrior, network)
        device = self.context.accelerator.device
        # A stream of its own: from the bare seed come the numbers that the weights began as.
        seed = rng_for(self.context.config.seed, self.name, "pictures").integers(2**62)
        rng = torch.Generator().manual_seed(int(seed))
        codes = torch.randn(len(pair.clean), generator.style_dim, generator=rng).to(device)
        centre = generator.mean_latent(TRUNCATION_CODES, rng)
        truncated = network(
            codes, truncation=self.options.sample_truncation, truncation_latent=centre
        )
        return [truncated.image, network(codes).image]

    def is_measured(self, done: int) -> bool:
        """At the intervals that were asked for, and at the end."""
        every = self.options.frechet_every
        if self.quality is None or every is None:
            return False
        return done % every == 0 or done == self.options.iterations

    def measure(self, network: nn.Module, check: Callable[[], None]) -> Mapping[str, float]:
        """The Fréchet distance to the training photographs."""
        return {} if self.quality is None else {"frechet": self.quality.distance(network, check)}

    def state_dict(self) -> Mapping[str, Tensor]:
        """The augmentation's probability and the mean path length."""
        return {**self.augment.state_dict(), "mean_length": self.mean_length}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from both."""
        self.augment.load_state_dict(state)
        self.mean_length = state["mean_length"]

    @torch.no_grad()
    def conclude(self, network: nn.Module) -> None:
        """Let the mean of w, where G holds one for truncation, be that of the trained network."""
        centre = getattr(network, "w_avg", None)
        if isinstance(centre, Tensor):
            seed = rng_for(self.context.config.seed, self.name, "mean").integers(2**62)
            rng = torch.Generator().manual_seed(int(seed))
            centre.copy_(cast(TrainablePrior, network).mean_latent(TRUNCATION_CODES, rng)[0])

    def describe(self) -> Mapping[str, str]:
        """Where the augmentation ended, and what the distance was measured with."""
        described = {"augmentation": f"{self.options.augmentation}, {self.augment.probability:.3f}"}
        if self.quality is not None:
            described["frechet"] = self.quality.name
        return described
