"""What all stages of a training work with."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from ugpnet_core.config import TrainConfig
from ugpnet_core.networks.ugpnet import UGPNet
from ugpnet_core.training.data import P
from ugpnet_core.training.training_data import TrainingData

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingContext:
    """What all stages work with: the settings, the model under training, the device, what is
    learned from, and how to say something to who trains.

    Attributes:
        discriminator: its state dict, where one came with the prior's weights.
        without: why none came, for the end of a sentence; nothing where nobody knows.
    """

    config: TrainConfig
    model: UGPNet
    accelerator: Accelerator
    discriminator: Mapping[str, Tensor] | None = None
    data: TrainingData = field(default_factory=TrainingData)
    say: Callable[[str], None] = logger.info
    without: str = ""

    def say_untrained(self, weights: Path) -> None:
        """Say that D begins with nothing beside a G that does not."""
        self.say(
            f"The discriminator starts untrained: {weights} holds a generator without one that can "
            f"be read{self.without}."
        )

    def to_device(self, pair: P) -> P:
        """Bring a batch to the device and into the memory format of the networks."""
        return type(pair)(*map(self._moved, pair))

    def _moved(self, x: Tensor) -> Tensor:
        moved = x.to(self.accelerator.device, non_blocking=True)
        is_image = self.config.channels_last and x.dim() == 4
        layout = torch.channels_last if is_image else torch.contiguous_format
        return moved.contiguous(memory_format=layout)
