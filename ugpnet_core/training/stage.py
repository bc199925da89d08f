"""What the loop needs from a stage."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.utils.data import Dataset

from ugpnet_core.config import StageConfig
from ugpnet_core.degradations import rng_for
from ugpnet_core.factory import create_task_at
from ugpnet_core.protocols import Task
from ugpnet_core.training.batch_norm import synchronise_batch_norm
from ugpnet_core.training.context import TrainingContext
from ugpnet_core.training.data import Pair, Pairs
from ugpnet_core.training.processes import broadcast_weights, shares
from ugpnet_core.training.stage_definition import StageDefinition

Losses = dict[str, float]


class Stage(StageDefinition):
    """One stage: which networks learn, from which losses, and which of them is averaged.

    Attributes:
        networks: everything whose weights belong to the stage's state; the first is its result.
        optimizers: with the learning rate each starts from.
        keeps: "best" weights by PSNR on the validation set, or the "last".
    """

    keeps: ClassVar[Literal["best", "last"]] = "best"
    networks: dict[str, nn.Module]
    optimizers: dict[str, tuple[Optimizer, float]]

    def __init__(self, context: TrainingContext, settings: StageConfig) -> None:
        self.context = context
        self.settings = settings

    @classmethod
    @abstractmethod
    def from_config(cls, context: TrainingContext) -> Stage:
        """Make the stage with its networks, optimisers and losses, and say where the networks of
        the losses come from.

        Raises:
            WeightsError: the weights of a perceptual network are missing, or a discriminator does
                not fit.
        """

    def pairs(self) -> Dataset[Any]:
        """What it learns from: the photographs, degraded by the model's task."""
        config = self.context.config
        return self.degraded_by(create_task_at(config.model.task, config.data.resolution))

    def degraded_by(self, task: Task, crop: int | None = None) -> Pairs:
        """The photographs, or crops of them, as a task degrades them."""
        config, photographs = self.context.config, self.context.data.photographs
        flip = config.data.flip
        return Pairs(photographs, task, config.seed, self.name, flip=flip, crop=crop)

    @property
    def trained(self) -> nn.Module:
        """The network that is the stage's result (and that is averaged, with ``ema``)."""
        return next(iter(self.networks.values()))

    @abstractmethod
    def update(self, batches: Sequence[Pair], step: int) -> Losses:
        """Make one step of every optimiser from ``accumulate`` batches; returns the losses.

        All processes come here with torch's generators in the same state. What they must agree on
        is drawn first, for all images of the update; then they part ways (:meth:`part`).
        """

    @abstractmethod
    def restored(self, network: nn.Module, pair: Pair) -> Tensor | None:
        """What the stage makes of a validation batch with these weights, (N, 3, r, r); None where
        there is nothing to compare with the clean image."""

    def pictures(self, network: nn.Module, pair: Pair) -> list[Tensor]:
        """Rows of sample pictures, each (N, 3, r, r), besides the degraded and clean ones."""
        restored = self.restored(network, pair)
        return [] if restored is None else [restored]

    def send(self, network: nn.Module, pair: Pair) -> None:
        """Send a batch of training through the network, as it will be used once it is trained."""
        self.restored(network, pair)

    def is_measured(self, done: int) -> bool:
        """Whether :meth:`measure` has figures after ``done`` iterations."""
        return False

    def measure(self, network: nn.Module, check: Callable[[], None]) -> Mapping[str, float]:
        """Figures, by name, of these weights; in the main process only.

        Args:
            check: to be called now and then; it raises where there is no time to go on.
        """
        return {}

    def conclude(self, network: nn.Module) -> None:
        """Put right, at the end, what follows from the weights that were chosen."""

    def state_dict(self) -> Mapping[str, Tensor]:
        """What the stage remembers from step to step besides networks and optimisers."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up what :meth:`state_dict` gave before an interruption."""
        del state

    def describe(self) -> Mapping[str, str]:
        """What the record of the stage should say besides its settings."""
        return {}

    def prepare(self, network: nn.Module, learning_rate: float) -> tuple[nn.Module, Optimizer]:
        """The network, ready for the device, the precision and the processes, and its optimiser:
        Adam, with decoupled weight decay where asked for, over what learns."""
        accelerator = self.context.accelerator
        # With their names, by which a checkpoint finds them where others learn later.
        optimizer = AdamW(
            [(name, p) for name, p in network.named_parameters() if p.requires_grad],
            lr=learning_rate,
            betas=self.settings.betas,
            weight_decay=self.settings.weight_decay,
        )
        if accelerator.device.type == "cuda":
            # Batches of a stage have one size, so it pays to try which convolution is the fastest.
            torch.backends.cudnn.benchmark = True
        synchronise_batch_norm(network, accelerator)
        # No wrapper of several processes: `optimizer_step` averages the gradients. A wrapper allows
        # one backward pass for each forward pass, and the turns of G and D have others.
        prepared: nn.Module = accelerator.prepare_model(network, evaluation_mode=True)
        broadcast_weights(accelerator, [prepared])
        return prepared, accelerator.prepare_optimizer(optimizer)

    def release(self) -> None:
        """Give the networks back as they were before :meth:`prepare`, so that what comes next
        computes the same as after an interruption, which would have made them anew."""
        for network in self.networks.values():
            self.context.accelerator.unwrap_model(network, keep_fp32_wrapper=False)

    def shares(self, drawn: Tensor, batches: Sequence[Pair]) -> list[Tensor]:
        """For each of these batches, what belongs to it of something drawn for all images of an
        update."""
        return shares(drawn, len(batches), self.context.accelerator)

    def images(self, batches: Sequence[Pair]) -> int:
        """How many images an update has, in all processes, of which these are one's batches."""
        processes: int = self.context.accelerator.num_processes
        return sum(len(pair.clean) for pair in batches) * processes

    def part(self, step: int) -> None:
        """Let each process draw numbers of its own for the rest of a step: for dropout, or the
        noise of a prior."""
        process = self.context.accelerator.process_index
        if process:
            rng = rng_for(self.context.config.seed, self.name, "step", step, process)
            torch.manual_seed(int(rng.integers(2**62)))

    def learning_rate_factor(self, step: int, spent: float = 0.0) -> float:
        """The schedule: what the learning rates are multiplied with at a step.

        Args:
            spent: the part of the stage's minutes that is over, where it has such a limit.
        """
        settings = self.settings
        warmup = min(1.0, (step + 1) / settings.warmup) if settings.warmup else 1.0
        if settings.schedule == "cosine":
            progress = min(max(step / settings.iterations, spent), 1.0)
            return warmup * (1 + math.cos(math.pi * progress)) / 2
        if settings.schedule == "step" and settings.decay_at is not None:
            return warmup * (0.1 if step >= settings.decay_at else 1.0)
        return warmup
