"""PhotonNet: dilated residual blocks at half resolution, for the noise of photons.

Photons arrive by chance, so bright places are noisier than dark ones: n photons vary by sqrt(n).
The square root of the image has the same noise everywhere (F. J. Anscombe: The Transformation of
Poisson, Binomial and Negative-Binomial Data, Biometrika 1948), so the network sees that, too.
Dilation widens what a pixel sees without further layers (F. Yu, V. Koltun: Multi-Scale Context
Aggregation by Dilated Convolutions, ICLR 2016, https://arxiv.org/abs/1511.07122).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from ugpnet_core.plugins import RegressionNetwork


class DilatedBlock(nn.Module):
    """x + Conv(GELU(DilatedConv(x)))."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.wide = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.narrow = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (N, channels, H, W)."""
        y: Tensor = x + self.narrow(F.gelu(self.wide(x)))
        return y


class PhotonNet(RegressionNetwork):
    """A residual backbone; feature_channels is ``width``, and sizes are multiples of 2.

    Args:
        width: channels of the feature map, and of the blocks.
        dilations: of the blocks at half resolution, one each.
    """

    kind: Literal["direct", "residual"] = "residual"
    size_multiple = 2

    def __init__(self, width: int = 48, dilations: Sequence[int] = (1, 2, 4, 8, 4, 2, 1)) -> None:
        super().__init__()
        self.feature_channels = width
        self.fine = nn.Conv2d(6, width, 3, padding=1)
        self.down = nn.Conv2d(width, width, 2, 2)
        self.coarse = nn.Sequential(*(DilatedBlock(width, dilation) for dilation in dilations))
        self.up = nn.Sequential(nn.Conv2d(width, 4 * width, 1), nn.PixelShuffle(2))
        self.merge = nn.Conv2d(width, width, 3, padding=1)
        self.last = nn.Conv2d(width, 3, 3, padding=1)

    def forward_features(self, x: Tensor) -> Tensor:
        """Map x (N, 3, H, W), RGB in [0, 1], to what enters the last layer (N, width, H, W)."""
        # The gradient of a square root has no bound at 0.
        fine = self.fine(torch.cat([x, x.clamp(min=1e-4).sqrt()], 1))
        coarse = self.up(self.coarse(self.down(F.gelu(fine))))
        f: Tensor = F.gelu(self.merge(fine + coarse))
        return f

    def head(self, f: Tensor) -> Tensor:
        """Map the feature map (N, width, H, W) to the residual (N, 3, H, W)."""
        residual: Tensor = self.last(f)
        return residual
