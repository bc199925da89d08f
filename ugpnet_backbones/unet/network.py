"""U-Net.

O. Ronneberger, P. Fischer, T. Brox: U-Net: Convolutional Networks for Biomedical Image
Segmentation, MICCAI 2015, https://arxiv.org/abs/1505.04597; original code, for Caffe, at
https://lmb.informatik.uni-freiburg.de/people/ronneber/u-net. Section 2 and Fig. 1 describe the
network, section 3 its initialisation. As in most later work, convolutions are padded, so that the
output has the size of the input and skipped maps need no cropping; there is no dropout. This is an
independent implementation.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from ugpnet_core.plugins import RegressionNetwork, TwoConvolutions


class UNet(RegressionNetwork):
    """A backbone of either kind; feature_channels is ``width``.

    ``depth`` poolings halve the size and ``width`` channels double at each, so that sides must be
    multiples of 2 ** depth.
    """

    def __init__(
        self, width: int = 64, depth: int = 4, kind: Literal["direct", "residual"] = "direct"
    ) -> None:
        super().__init__()
        self.kind = kind
        self.feature_channels = width
        self.size_multiple = 2**depth
        widths = [width * 2**level for level in range(depth + 1)]
        self.encoders = nn.ModuleList(
            TwoConvolutions(3 if level == 0 else widths[level - 1], widths[level])
            for level in range(depth)
        )
        self.pool = nn.MaxPool2d(2)
        self.bottom = TwoConvolutions(widths[-2], widths[-1])
        # Ups and decoders run from the coarsest level to full resolution.
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(2 * channels, channels, 2, stride=2)
            for channels in reversed(widths[:-1])
        )
        self.decoders = nn.ModuleList(
            TwoConvolutions(2 * channels, channels) for channels in reversed(widths[:-1])
        )
        self.to_image = nn.Conv2d(width, 3, 1)
        self.apply(_initialise)

    def forward_features(self, x: Tensor) -> Tensor:
        """Map x (N, 3, H, W) to what enters the last convolution (N, width, H, W); H and W are
        multiples of ``size_multiple``."""
        skips = []
        for encoder in self.encoders:
            x = encoder(x)
            skips.append(x)
            x = self.pool(x)
        x = self.bottom(x)
        for up, decoder, skip in zip(self.ups, self.decoders, reversed(skips), strict=True):
            x = decoder(torch.cat([skip, up(x)], dim=1))
        return x

    def head(self, f: Tensor) -> Tensor:
        """Map the feature map (N, width, H, W) to the image or the residual (N, 3, H, W)."""
        image: Tensor = self.to_image(f)
        return image


def _initialise(module: nn.Module) -> None:
    """Draw weights from a Gaussian of deviation sqrt(2 / N), N being the number of values that
    each output is computed from (section 3)."""
    if isinstance(module, nn.ConvTranspose2d):
        inputs = module.in_channels  # the windows of a 2x2 up-convolution do not overlap
    elif isinstance(module, nn.Conv2d):
        inputs = module.weight[0].numel()
    else:
        return
    nn.init.normal_(module.weight, std=math.sqrt(2 / inputs))
    if module.bias is not None:
        nn.init.zeros_(module.bias)
