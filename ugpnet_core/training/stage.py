"""What the loop needs from a stage, and the part that stages of one loss share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from ugpnet_core.config import StageConfig, TrainConfig
from ugpnet_core.networks.ugpnet import UGPNet
from ugpnet_core.prior_weights import PriorWeights
from ugpnet_core.training.data import Pair

Losses = dict[str, float]


@dataclass(frozen=True)
class Bench:
    """What all stages work with: the settings, the model under training, the device, and the
    weights that its prior began with, where these came from a file."""

    config: TrainConfig
    model: UGPNet
    accelerator: Accelerator
    pretrained: PriorWeights | None = None

    def to_device(self, pair: Pair) -> Pair:
        """Bring a batch to the device and into the memory format of the networks."""
        layout = torch.channels_last if self.config.channels_last else torch.contiguous_format
        clean, degraded = (
            image.to(self.accelerator.device, non_blocking=True).contiguous(memory_format=layout)
            for image in pair
        )
        return Pair(clean, degraded)


class Stage(ABC):
    """One stage: which networks learn, from which losses, and which of them is averaged.

    Attributes:
        name: of the stage, and of its files.
        networks: everything whose weights belong to the stage's state; the first is its result.
        optimizers: with the learning rate each starts from.
        keeps: "best" weights by PSNR on the validation set, or the "last".
    """

    name: ClassVar[str]
    keeps: ClassVar[Literal["best", "last"]] = "best"
    networks: dict[str, nn.Module]
    optimizers: dict[str, tuple[Optimizer, float]]

    def __init__(self, bench: Bench, settings: StageConfig) -> None:
        self.bench = bench
        self.settings = settings

    @property
    def trained(self) -> nn.Module:
        """The network that is the stage's result (and that is averaged, with ``ema``)."""
        return next(iter(self.networks.values()))

    @abstractmethod
    def update(self, batches: Sequence[Pair], step: int) -> Losses:
        """Make one step of every optimiser from ``accumulate`` batches; returns the losses."""

    @abstractmethod
    def restored(self, network: nn.Module, pair: Pair) -> Tensor | None:
        """What the stage makes of a validation batch with these weights, (N, 3, r, r); None where
        there is nothing to compare with the clean image."""

    def pictures(self, network: nn.Module, pair: Pair) -> list[Tensor]:
        """Rows of sample pictures, each (N, 3, r, r), besides the degraded and clean ones."""
        restored = self.restored(network, pair)
        return [] if restored is None else [restored]

    def measure(self, network: nn.Module, done: int) -> Mapping[str, float]:
        """Figures, by name, of these weights after ``done`` iterations; often there are none."""
        return {}

    def memory(self) -> Mapping[str, Tensor]:
        """What the stage remembers from step to step besides networks and optimisers."""
        return {}

    def recall(self, memory: Mapping[str, Tensor]) -> None:
        """Take up what :meth:`memory` gave before an interruption."""
        del memory

    def describe(self) -> Mapping[str, str]:
        """What the record of the stage should say besides its settings."""
        return {}

    def optimizer(self, network: nn.Module, learning_rate: float) -> Optimizer:
        """Adam, with decoupled weight decay where asked for, over what learns in a network."""
        return AdamW(
            (p for p in network.parameters() if p.requires_grad),
            lr=learning_rate,
            betas=self.settings.betas,
            weight_decay=self.settings.weight_decay,
        )

    def learning_rate_factor(self, step: int) -> float:
        """The schedule: what the learning rates are multiplied with at a step."""
        settings = self.settings
        warmup = min(1.0, (step + 1) / settings.warmup) if settings.warmup else 1.0
        if settings.schedule == "cosine":
            progress = step / settings.iterations
            return warmup * (1 + math.cos(math.pi * progress)) / 2
        if settings.schedule == "step" and settings.decay_at is not None:
            return warmup * (0.1 if step >= settings.decay_at else 1.0)
        return warmup


class SingleLossStage(Stage):
    """A stage with one network, one optimiser, and a weighted sum of losses."""

    def __init__(self, bench: Bench, settings: StageConfig, network: nn.Module) -> None:
        super().__init__(bench, settings)
        accelerator = bench.accelerator
        network.requires_grad_(True)
        optimizer = self.optimizer(network, settings.learning_rate)
        self.network, prepared = accelerator.prepare(network, optimizer)
        self.networks = {"network": accelerator.unwrap_model(self.network)}
        self.optimizers = {"network": (prepared, settings.learning_rate)}

    @abstractmethod
    def losses(self, pair: Pair) -> dict[str, tuple[float, Tensor]]:
        """Named losses of a batch, each with its weight."""

    def update(self, batches: Sequence[Pair], step: int) -> Losses:
        """Add up the gradients of the batches, then make one step."""
        optimizer, _ = self.optimizers["network"]
        self.network.train()
        optimizer.zero_grad(set_to_none=True)
        values: Losses = {}
        for pair in batches:
            terms = self.losses(pair)
            total = torch.stack([weight * loss for weight, loss in terms.values()]).sum()
            self.bench.accelerator.backward(total / len(batches))
            for name, (_, loss) in terms.items():
                values[name] = values.get(name, 0.0) + float(loss.detach()) / len(batches)
        clip(self.bench.accelerator, self.network, self.settings.clip_gradient)
        optimizer.step()
        return values


def clip(accelerator: Accelerator, network: nn.Module, norm: float | None) -> None:
    """Limit the norm of the gradient of a whole network, where a limit is set."""
    if norm is not None:
        accelerator.clip_grad_norm_(network.parameters(), norm)
