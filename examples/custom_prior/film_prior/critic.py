"""The discriminator: strided convolutions down to the base size, then one number for an image."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2


class Critic(nn.Module):
    """Maps images (N, 3, r, r) in [0, 1] to logits (N, 1), high for photographs.

    Made from the decoder's options; ``style_dim`` means nothing to it.
    """

    def __init__(
        self, resolution: int = 64, base_size: int = 8, width: int = 48, style_dim: int = 48
    ) -> None:
        super().__init__()
        del style_dim
        halvings = (resolution // base_size).bit_length() - 1
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.halves = nn.ModuleList(
            nn.Conv2d(width, width, 4, 2, padding=1) for _ in range(halvings)
        )
        self.last = nn.Linear(width, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Map (N, 3, r, r) to (N, 1)."""
        x = F.leaky_relu(self.first(2 * image - 1), SLOPE)
        for half in self.halves:
            x = F.leaky_relu(half(x), SLOPE)
        logits: Tensor = self.last(x.mean((2, 3)))
        return logits
