"""What all stages of a training work with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor

from ugpnet_core.config import TrainConfig
from ugpnet_core.networks.ugpnet import UGPNet
from ugpnet_core.training.data import P
from ugpnet_core.training.mixture import Restoration


@dataclass(frozen=True)
class TrainingContext:
    """What all stages work with: the settings, the model under training, the device, and the state
    dict of the discriminator that came with the prior's weights, where one did.

    Attributes:
        others: restoration modules of other models, which the synthesis stage learns from, too.
    """

    config: TrainConfig
    model: UGPNet
    accelerator: Accelerator
    discriminator: Mapping[str, Tensor] | None = None
    others: Sequence[Restoration] = ()

    def to_device(self, pair: P) -> P:
        """Bring a batch to the device and into the memory format of the networks."""
        return type(pair)(*map(self._moved, pair))

    def _moved(self, x: Tensor) -> Tensor:
        moved = x.to(self.accelerator.device, non_blocking=True)
        is_image = self.config.channels_last and x.dim() == 4
        layout = torch.channels_last if is_image else torch.contiguous_format
        return moved.contiguous(memory_format=layout)
