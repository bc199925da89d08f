"""The synthesis module: an encoder E into F/W+ space, and the generator G (paper 3.2, S.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ugpnet_core.errors import ConfigError, PluginError, SizeError
from ugpnet_core.networks.blocks import LEAKY_SLOPE
from ugpnet_core.protocols import LatentCode, Prior, PriorOutput

FIRST_WIDTH = 16
MAP2STYLE_SLOPE = 0.01
GROUP = 8

Norm = Literal["batch", "group", "none"]


class EncoderBlock(nn.Module):
    """Three times a 3x3 convolution, BatchNorm and LeakyReLU(0.2) (Tab. S.1 a).

    Instead of BatchNorm there may be GroupNorm in groups of 8 channels (or of all of them), or no
    normalisation, neither of which depends on the other images of a batch.
    """

    def __init__(self, in_channels: int, channels: int, norm: Norm = "batch") -> None:
        super().__init__()
        self.conv = nn.ModuleList(
            nn.Conv2d(in_channels if i == 0 else channels, channels, 3, padding=1) for i in range(3)
        )
        self.bn = nn.ModuleList(_norm(norm, channels) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, channels, H, W)."""
        for conv, norm in zip(self.conv, self.bn, strict=True):
            x = F.leaky_relu(norm(conv(x)), LEAKY_SLOPE, inplace=True)
        return x


class Encoder(nn.Module):
    """E: image to base code, and to the shallower map from which map2style takes the styles.

    Blocks of ``widths`` with 2x2 average pooling between them and a 1x1 convolution at the end.
    The map that enters the last-but-one resolution (32x32 for a 16x16 base code) is what the
    styles are read from.
    """

    def __init__(self, widths: Sequence[int], base_channels: int, norm: Norm = "batch") -> None:
        super().__init__()
        inputs = [3, *widths[:-1]]
        self.downblocks = nn.ModuleList(
            EncoderBlock(i, o, norm) for i, o in zip(inputs, widths, strict=True)
        )
        self.conv1x1 = nn.Conv2d(widths[-1], base_channels, 1)
        self.style_channels = inputs[-2]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (N, 3, r, r) to the base code (N, base_channels, b, b) and the style map
        (N, style_channels, 2b, 2b)."""
        style_map = x
        last = len(self.downblocks) - 1
        for index, block in enumerate(self.downblocks):
            if index == last - 1:
                style_map = x
            x = block(x)
            if index != last:
                x = F.avg_pool2d(x, 2)
        return self.conv1x1(x), style_map


class Map2Style(nn.Module):
    """Stride-2 convolutions down to one pixel, shared by all styles, then one linear layer for
    each (Tab. S.1 b; the shared network is the paper's change to pSp)."""

    def __init__(
        self, in_channels: int, channels: int, size: int, num_styles: int, style_dim: int
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index in range((size - 1).bit_length()):
            layers += [
                nn.Conv2d(in_channels if index == 0 else channels, channels, 3, 2, padding=1),
                nn.LeakyReLU(MAP2STYLE_SLOPE),
            ]
        self.convs = nn.Sequential(*layers)
        self.linear = nn.ModuleList(nn.Linear(channels, style_dim) for _ in range(num_styles))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, size, size) to styles (N, num_styles, style_dim)."""
        code = self.convs(x).flatten(1)
        return torch.stack([linear(code) for linear in self.linear], dim=1)


class SynthesisModule(nn.Module):
    """E and G: x_reg to x_syn and f_syn."""

    def __init__(
        self,
        prior: Prior,
        encoder_channels: Sequence[int] | None = None,
        map2style_channels: int | None = None,
        encoder_norm: Norm = "batch",
    ) -> None:
        super().__init__()
        if not isinstance(prior, nn.Module):
            raise PluginError(f"{type(prior).__name__} is no torch.nn.Module; derive it from that.")
        widths = encoder_widths(prior) if encoder_channels is None else list(encoder_channels)
        if len(widths) != halvings(prior) + 1:
            raise ConfigError(
                f"encoder_channels has {len(widths)} widths; a prior of resolution "
                f"{prior.resolution} with base size {prior.base_size} takes {halvings(prior) + 1}."
            )
        self.encoder = Encoder(widths, prior.base_channels, encoder_norm)
        self.map2style = Map2Style(
            self.encoder.style_channels,
            map2style_channels or prior.style_dim,
            2 * prior.base_size,
            prior.num_styles,
            prior.style_dim,
        )
        self.generator = prior
        self.resolution = prior.resolution
        self.feature_channels = prior.feature_channels

    def encode(self, x: Tensor) -> LatentCode:
        """Map x (N, 3, r, r) to its latent code in F/W+ space.

        Raises:
            SizeError: x is not as large as the prior's resolution.
        """
        size = (3, self.resolution, self.resolution)
        if x.dim() != 4 or tuple(x.shape[1:]) != size:
            raise SizeError(
                f"The synthesis module takes images (N, 3, {size[1]}, {size[2]}), not "
                f"{tuple(x.shape)}; ugpnet_core.Restorer tiles and pads images of any size."
            )
        base, style_map = self.encoder(x)
        return LatentCode(base, self.map2style(style_map))

    def forward(self, x: Tensor) -> PriorOutput:
        """Map x_reg (N, 3, r, r) to x_syn (N, 3, r, r) and f_syn (N, C, r, r)."""
        return self.generator.synthesize(*self.encode(x))


def _norm(kind: Norm, channels: int) -> nn.Module:
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "group":
        return nn.GroupNorm(channels // GROUP if channels % GROUP == 0 else 1, channels)
    return nn.Identity()


def halvings(prior: Prior) -> int:
    """How many times the encoder halves the prior's resolution to reach its base size.

    Raises:
        ConfigError: no number of halvings does, or none is needed, which leaves no map for the
            styles.
    """
    count = (prior.resolution // prior.base_size).bit_length() - 1
    if count < 1 or prior.base_size << count != prior.resolution:
        raise ConfigError(
            f"The encoder halves {prior.resolution} pixels until {prior.base_size} are left, which "
            f"cannot be; choose a base size of {prior.resolution} / 2, / 4, / 8, ..."
        )
    return count


def encoder_widths(prior: Prior) -> list[int]:
    """The widths of the encoder's blocks by the paper's rule: 16, doubled at each halving, and
    no wider than the base code. At 512 pixels: 16, 32, 64, 128, 256, 512."""
    return [min(FIRST_WIDTH * 2**i, prior.base_channels) for i in range(halvings(prior) + 1)]
