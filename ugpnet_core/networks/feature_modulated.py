"""A generative baseline: the regression's features modulate the prior, without fusion.

After the idea of X. Wang, Y. Li, H. Zhang, Y. Shan: Towards Real-World Blind Face Restoration with
Generative Facial Prior (GFP-GAN), CVPR 2021, https://arxiv.org/abs/2101.04061: a regression network
gives a latent code and maps of several sizes, and each map scales and shifts half of the channels
of the generator's features of that size (its channel-split spatial feature transform). Regression
network, encoder and generator are UGPNet's own, so that what a table compares is the idea. Left out
are GFP-GAN's losses of facial parts and of identity, and its restoration loss at each size.

It is a UGPNet whose x_reg is the degraded image itself and whose x_hat is x_syn; its one stage is
the synthesis stage, in which the regression network learns together with the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ugpnet_core.config import ModelConfig
from ugpnet_core.errors import ConfigError, PluginError
from ugpnet_core.networks.blocks import LEAKY_SLOPE, conv3x3
from ugpnet_core.networks.restoration import restoration_module
from ugpnet_core.networks.synthesis import SynthesisModule
from ugpnet_core.protocols import Backbone, ModulatedPrior, Prior, PriorOutput

NARROWEST, WIDEST = 8, 64


class ChannelSplit(nn.Module):
    """Scales and shifts the second half of the channels of a feature map by another map.

    Begins by changing little: the scale is 1 and the shift 0, plus what the convolutions make.
    """

    def __init__(self, condition_channels: int, channels: int) -> None:
        super().__init__()
        self.kept = channels // 2
        changed = channels - self.kept
        self.scale = _branch(condition_channels, changed)
        self.shift = _branch(condition_channels, changed)

    def forward(self, f: Tensor, condition: Tensor) -> Tensor:
        """Modulate f (N, channels, H, W) by a condition (N, condition_channels, H, W)."""
        changed = f[:, self.kept :] * (1 + self.scale(condition)) + self.shift(condition)
        return torch.cat([f[:, : self.kept], changed], 1)


class Pyramid(nn.Module):
    """f_reg, and smaller maps made of it, each half as large as the one before."""

    def __init__(self, in_channels: int, widths: Mapping[int, int]) -> None:
        super().__init__()
        self.sides = sorted(widths, reverse=True)
        inputs = [in_channels, *(widths[side] for side in self.sides[:-1])]
        self.convs = nn.ModuleList(
            nn.Conv2d(channels, widths[side], 3, 1 if index == 0 else 2, padding=1)
            for index, (channels, side) in enumerate(zip(inputs, self.sides, strict=True))
        )

    def forward(self, f: Tensor) -> dict[int, Tensor]:
        """Map f_reg (N, in_channels, r, r) to maps (N, width, side, side), by their side."""
        maps = {}
        for side, conv in zip(self.sides, self.convs, strict=True):
            f = F.leaky_relu(conv(f), LEAKY_SLOPE)
            maps[side] = f
        return maps


class FeatureModulatedSynthesis(SynthesisModule):
    """Regression network, encoder, and a generator that is modulated: a degraded image, as large as
    the prior's, to x_syn and f_syn.

    Raises:
        PluginError: the prior cannot be modulated (:class:`ugpnet_core.protocols.ModulatedPrior`).
        ConfigError: the backbone enlarges.
    """

    def __init__(self, backbone: Backbone, prior: Prior, config: ModelConfig) -> None:
        super().__init__(
            prior, config.encoder_channels, config.map2style_channels, config.encoder_norm
        )
        if not isinstance(prior, ModulatedPrior):
            raise PluginError(
                f"Prior {config.prior.name!r} cannot be modulated "
                "(ugpnet_core.protocols.ModulatedPrior), as baseline feature-modulated does; "
                "choose another prior."
            )
        if backbone.scale != 1:
            raise ConfigError(
                f"Backbone {config.backbone.name!r} enlarges {backbone.scale} times, and baseline "
                "feature-modulated restores what is enlarged already; give it scale 1."
            )
        self.regression = restoration_module(
            backbone, config.merging_channels, adapter=config.adapter
        )
        channels = prior.modulated_channels
        widths = {side: min(max(c, NARROWEST), WIDEST) for side, c in channels.items()}
        self.pyramid = Pyramid(self.regression.feature_channels, widths)
        self.modulations = nn.ModuleDict(
            {str(side): ChannelSplit(widths[side], channels[side]) for side in sorted(channels)}
        )

    def forward(self, x: Tensor) -> PriorOutput:
        """Map x (N, 3, r, r) to x_syn (N, 3, r, r) and f_syn (N, C, r, r)."""
        regression = self.regression(x)
        conditions = self.pyramid(regression.features)

        def modulate(side: int, f: Tensor) -> Tensor:
            modulated: Tensor = self.modulations[str(side)](f, conditions[side])
            return modulated

        generator = cast(ModulatedPrior, self.generator)
        return generator.synthesize(*self.encode(regression.image), modulate=modulate)


def _branch(in_channels: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        conv3x3(in_channels, in_channels),
        nn.LeakyReLU(LEAKY_SLOPE),
        conv3x3(in_channels, channels),
    )
