"""HINet.

L. Chen, X. Lu, J. Zhang, X. Chu, C. Chen: HINet: Half Instance Normalization Network for Image
Restoration, CVPR Workshops 2021, https://arxiv.org/abs/2105.06086; original code MIT. The attention
and the fusion between the stages are those of MPRNet: S. W. Zamir et al., CVPR 2021,
https://arxiv.org/abs/2102.02808. This is an independent implementation, in the key layout of the
published checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ugpnet_core.plugins import ConfigError, RegressionNetwork, conv3x3

EPS = 1e-5


class HINet(RegressionNetwork):
    """A residual backbone of two U-Nets in a row (Fig. 2); feature_channels is ``wf``.

    The first stage's image is supervised too in training, and guides the second stage through
    the attention module. With ``shared_conv`` both begin with the same convolution.
    """

    kind: Literal["direct", "residual"] = "residual"

    def __init__(
        self,
        in_chn: int = 3,
        wf: int = 64,
        depth: int = 5,
        relu_slope: float = 0.2,
        hin_position_left: int = 0,
        hin_position_right: int = 4,
        shared_conv: bool = False,
    ) -> None:
        super().__init__()
        widths = [wf * 2**level for level in range(depth)]
        normalised = [hin_position_left <= level <= hin_position_right for level in range(depth)]
        if normalised[0] and wf % 2:
            raise ConfigError(
                f"Half of {wf} channels cannot be normalised; make wf even, or hin_position_left "
                "at least 1."
            )
        self.feature_channels = wf
        self.size_multiple = 2 ** (depth - 1)

        def encoder(fused: bool) -> nn.ModuleList:
            return nn.ModuleList(
                EncoderBlock(
                    widths[max(level - 1, 0)],
                    widths[level],
                    relu_slope,
                    half_norm=normalised[level],
                    downsample=level < depth - 1,
                    fuse=fused and level < depth - 1,
                )
                for level in range(depth)
            )

        upper = list(reversed(widths[:-1]))
        self.conv_01 = conv3x3(in_chn, wf)
        self.conv_02 = None if shared_conv else conv3x3(in_chn, wf)
        self.down_path_1, self.down_path_2 = encoder(fused=False), encoder(fused=True)
        self.up_path_1 = nn.ModuleList(UpBlock(2 * width, width, relu_slope) for width in upper)
        self.up_path_2 = nn.ModuleList(UpBlock(2 * width, width, relu_slope) for width in upper)
        self.skip_conv_1 = nn.ModuleList(conv3x3(width, width) for width in upper)
        self.skip_conv_2 = nn.ModuleList(conv3x3(width, width) for width in upper)
        self.sam12 = SupervisedAttention(wf)
        self.cat12 = nn.Conv2d(2 * wf, wf, 1)
        self.last = conv3x3(wf, in_chn)
        self._initialise(relu_slope)

    def forward_features(self, x: Tensor) -> Tensor:
        """Map x (N, 3, H, W) to what enters the last convolution of stage 2 (N, wf, H, W); H and W
        are multiples of 2 ** (depth - 1)."""
        return self.forward_supervised(x)[0]

    def forward_supervised(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Map x to the features (N, wf, H, W) and to the restored image of stage 1 (N, 3, H, W),
        on which the published training takes the loss as well (eq. 1)."""
        first = [None] * (len(self.down_path_1) - 1)
        f, encoded = _encode(self.down_path_1, self.conv_01(x), first)
        decoded = _decode(self.up_path_1, self.skip_conv_1, f, encoded)
        attended, image = self.sam12(decoded[0], x)
        first_of_second = self.conv_01 if self.conv_02 is None else self.conv_02
        f = self.cat12(torch.cat([first_of_second(x), attended], 1))
        f, encoded = _encode(self.down_path_2, f, list(zip(encoded, decoded[:-1], strict=True)))
        return _decode(self.up_path_2, self.skip_conv_2, f, encoded)[0], (image,)

    def head(self, f: Tensor) -> Tensor:
        """Map the feature map (N, wf, H, W) to the residual of stage 2 (N, 3, H, W)."""
        residual: Tensor = self.last(f)
        return residual

    def translate_published_keys(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Leave out the second stage's own convolution where it has none: the copy in the published
        UGPNet keeps one that it never calls."""
        unused = () if self.conv_02 is not None else ("conv_02.weight", "conv_02.bias")
        return {key: value for key, value in tensors.items() if key not in unused}

    def _initialise(self, relu_slope: float) -> None:
        """Orthogonal weights and no biases, as in the published training."""
        gain = nn.init.calculate_gain("leaky_relu", relu_slope)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.orthogonal_(module.weight, gain)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


class UNetBlock(nn.Module):
    """Two 3x3 convolutions with LeakyReLU, beside a 1x1 convolution; with ``half_norm`` the HIN
    block (Fig. 3 a)."""

    def __init__(
        self, in_channels: int, channels: int, relu_slope: float, half_norm: bool = False
    ) -> None:
        super().__init__()
        self.relu_slope = relu_slope
        self.identity = nn.Conv2d(in_channels, channels, 1)
        self.conv_1 = conv3x3(in_channels, channels)
        self.conv_2 = conv3x3(channels, channels)
        self.norm = InstanceNorm(channels // 2) if half_norm else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, channels, H, W)."""
        f = self.conv_1(x)
        if self.norm is not None:
            first, second = f.chunk(2, dim=1)
            f = torch.cat([self.norm(first), second], 1)
        f = F.leaky_relu(f, self.relu_slope)
        f = F.leaky_relu(self.conv_2(f), self.relu_slope)
        return f + self.identity(x)  # type: ignore[no-any-return]


class EncoderBlock(UNetBlock):
    """A level of an encoder: a UNetBlock, then what stage 1 had at this level (cross-stage feature
    fusion), then a convolution that halves the size."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        relu_slope: float,
        *,
        half_norm: bool,
        downsample: bool,
        fuse: bool,
    ) -> None:
        super().__init__(in_channels, channels, relu_slope, half_norm)
        if fuse:
            self.csff_enc = conv3x3(channels, channels)
            self.csff_dec = conv3x3(channels, channels)
        if downsample:
            self.downsample = nn.Conv2d(channels, channels, 4, stride=2, padding=1, bias=False)

    def forward(self, x: Tensor, previous: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Map x (N, in_channels, H, W) to (N, channels, H, W), before it is halved; ``previous``
        are the maps of this shape in the encoder and the decoder of stage 1."""
        f = super().forward(x)
        if previous is not None:
            f = f + self.csff_enc(previous[0]) + self.csff_dec(previous[1])
        return f


class UpBlock(nn.Module):
    """A level of a decoder: enlarge, append the skip connection, merge."""

    def __init__(self, in_channels: int, channels: int, relu_slope: float) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(in_channels, channels, 2, stride=2)
        self.conv_block = UNetBlock(in_channels, channels, relu_slope)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) and (N, channels, 2H, 2W) to the shape of the latter."""
        f: Tensor = self.conv_block(torch.cat([self.up(x), skip], 1))
        return f


class SupervisedAttention(nn.Module):
    """Make the image of stage 1, and weigh the features by it (MPRNet, Fig. 4)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(channels, channels)
        self.conv2 = conv3x3(channels, 3)
        self.conv3 = conv3x3(3, channels)

    def forward(self, f: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map features (N, C, H, W) and the degraded image (N, 3, H, W) to weighted features and
        the restored image."""
        image = self.conv2(f) + x
        return self.conv1(f) * self.conv3(image).sigmoid() + f, image


class InstanceNorm(nn.Module):
    """Normalise each channel of each image over its pixels, then scale and shift.

    A single pixel, which torch refuses to normalise, is its own mean and leaves the shift.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (N, channels, H, W)."""
        if x.shape[2] * x.shape[3] == 1:
            return (x - x) * self.weight[:, None, None] + self.bias[:, None, None]
        return F.instance_norm(x, weight=self.weight, bias=self.bias, eps=EPS)


def _encode(
    blocks: nn.ModuleList, f: Tensor, previous: Sequence[tuple[Tensor, Tensor] | None]
) -> tuple[Tensor, list[Tensor]]:
    """The lowest map, and those above it from fine to coarse; ``previous`` are the maps of the
    stage before at each level but the lowest."""
    skips = []
    for block, maps in zip(blocks[:-1], previous, strict=True):
        f = block(f, maps)
        skips.append(f)
        f = block.downsample(f)  # type: ignore[operator]
    return blocks[-1](f), skips


def _decode(
    blocks: nn.ModuleList, convs: nn.ModuleList, f: Tensor, skips: list[Tensor]
) -> list[Tensor]:
    """The maps of a decoder from fine to coarse; the lowest map itself is the last."""
    maps = [f]
    for block, conv, skip in zip(blocks, convs, reversed(skips), strict=True):
        maps.append(block(maps[-1], conv(skip)))
    return maps[::-1]
