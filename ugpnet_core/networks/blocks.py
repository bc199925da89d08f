"""Layers that more than one network, or more than one plugin, is built from."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAKY_SLOPE = 0.2


def conv3x3(in_channels: int, channels: int) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size, with zeros around the map."""
    return nn.Conv2d(in_channels, channels, 3, padding=1)


class ConvBlock(nn.Module):
    """Three 3x3 convolutions, each followed by LeakyReLU(0.2) (supplement S.1)."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.ModuleList(
            conv3x3(in_channels if i == 0 else channels, channels) for i in range(3)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, channels, H, W)."""
        for conv in self.conv:
            x = F.leaky_relu(conv(x), LEAKY_SLOPE, inplace=True)
        return x


class TwoConvolutions(nn.Sequential):
    """Two 3x3 convolutions, each followed by a ReLU: what a level of a U-Net is made of
    (Ronneberger et al., arXiv:1505.04597, section 2)."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
        )


class ResidualBlock(nn.Module):
    """ReLU(x + Conv(ReLU(Conv(x)))) with 3x3 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv3x3(channels, channels), nn.ReLU(inplace=True), conv3x3(channels, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (N, channels, H, W)."""
        return F.relu_(x + self.body(x))


class ChannelLayerNorm(nn.Module):
    """Layer normalisation over the channels of each pixel (Ba et al., arXiv:1607.06450)."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (N, channels, H, W)."""
        # For channels_last tensors the permutation is free, and the fused kernel applies.
        x = x.permute(0, 2, 3, 1)
        x = F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)
