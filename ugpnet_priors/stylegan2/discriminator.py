"""StyleGAN2 discriminator (residual), for training a prior or the synthesis module.

Karras et al., Analyzing and Improving the Image Quality of StyleGAN, CVPR 2020,
arXiv:1912.04958, figure 7c. Written from the paper; the names of the parameters are those of the
FFHQ checkpoints in the layout of BasicSR (Apache-2.0).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ugpnet_core.plugins import SizeError
from ugpnet_priors.stylegan2.ops import (
    EPSILON,
    GAIN,
    ChannelBias,
    EqualLinear,
    FIRFilter,
    leaky_relu_,
    normal,
)
from ugpnet_priors.stylegan2.options import DiscriminatorOptions, channel_widths, check_sizes


def discriminator_for(
    resolution: int = 512,
    style_dim: int = 512,
    num_mlp: int = 8,
    channel_multiplier: int = 2,
    narrow: float = 1.0,
    base_size: int = 16,
    channels: dict[int, int] | None = None,
    discriminator_narrow: float | None = None,
    discriminator: DiscriminatorOptions | None = None,
    w_avg: bool = False,
    conv_clamp: float | None = None,
    unscaled_epsilon: bool = False,
) -> StyleGAN2Discriminator:
    """Make the discriminator that goes with a generator, from the generator's options.

    ``style_dim``, ``num_mlp``, ``base_size`` and what concerns styles mean nothing to it. With
    ``discriminator_narrow`` the widths are the rule's times that, and ``channels`` is the
    generator's alone, as it is with ``discriminator.channels``.
    """
    del style_dim, num_mlp, base_size, w_avg, conv_clamp, unscaled_epsilon
    own = discriminator or DiscriminatorOptions()
    if discriminator_narrow is not None:
        narrow, channels = discriminator_narrow, None
    return StyleGAN2Discriminator(
        resolution,
        channel_multiplier,
        narrow,
        own.channels or channels,
        own.stddev_group,
        own.stddev_feat,
        own.conv_clamp,
    )


class StyleGAN2Discriminator(nn.Module):
    """Discriminator D: images (N, 3, r, r) in [0, 1] to logits (N, 1), high for real ones.

    Twice differentiable, as the R1 penalty needs. That penalty is defined for images in [-1, 1]:
    a gradient with respect to images in [0, 1] is twice as large, its square four times.

    Args:
        resolution: side of the image, a power of two >= 8.
        channel_multiplier: factor on the widths at 64 pixels and above.
        narrow: factor on every width.
        channels: widths by resolution that replace those of the rule.
        stddev_group: images among which the minibatch standard deviation is taken, at most.
        stddev_feat: how many maps of it are appended.
        conv_clamp: limit of what each convolution gives (not the 1x1 ones beside), None for none.

    Raises:
        ConfigError: a size or width is impossible.
    """

    def __init__(
        self,
        resolution: int = 512,
        channel_multiplier: int = 2,
        narrow: float = 1.0,
        channels: dict[int, int] | None = None,
        stddev_group: int = 4,
        stddev_feat: int = 1,
        conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        check_sizes(resolution)
        widths = channel_widths(resolution, channel_multiplier, narrow, channels)
        self.resolution = resolution
        self.stddev_group = stddev_group
        self.stddev_feat = stddev_feat
        blocks: list[nn.Module] = [ConvLayer(3, widths[resolution], 1, clamp=conv_clamp)]
        side = resolution
        while side > 4:
            blocks.append(ResidualBlock(widths[side], widths[side // 2], conv_clamp))
            side //= 2
        self.conv_body = nn.Sequential(*blocks)
        self.final_conv = ConvLayer(widths[4] + stddev_feat, widths[4], 3, clamp=conv_clamp)
        self.final_linear = nn.Sequential(
            EqualLinear(widths[4] * 16, widths[4], activate=True), EqualLinear(widths[4], 1)
        )

    @property
    def layers(self) -> list[nn.Module]:
        """All of it in the order in which it runs, for keeping the first ones as they are."""
        return [*self.conv_body, self.final_conv, *self.final_linear]

    def forward(self, image: Tensor) -> Tensor:
        """Map images (N, 3, r, r) in [0, 1] to logits (N, 1).

        Raises:
            SizeError: the images have another shape.
        """
        if tuple(image.shape[1:]) != (3, self.resolution, self.resolution):
            raise SizeError(
                f"Resize images to (N, 3, {self.resolution}, {self.resolution}) for this "
                f"discriminator, not {tuple(image.shape)}."
            )
        x = self.conv_body(image * 2 - 1)
        x = torch.cat([x, minibatch_stddev(x, self.stddev_group, self.stddev_feat)], 1)
        logits: Tensor = self.final_linear(self.final_conv(x).flatten(1))
        return logits


def minibatch_stddev(x: Tensor, group: int, features: int) -> Tensor:
    """Standard deviation over groups of images, averaged over channels and pixels.

    Karras et al., ICLR 2018, arXiv:1710.10196, section 3. The group is the largest divisor of N
    up to ``group``, so any batch will do. Maps (N, C, H, W) to (N, features, H, W).
    """
    n, c, h, w = x.shape
    group = next(size for size in range(min(group, n), 0, -1) if n % size == 0)
    grouped = x.reshape(group, n // group, features, c // features, h, w)
    deviation = (grouped.var(0, unbiased=False) + EPSILON).sqrt().mean((2, 3, 4))
    return deviation[:, :, None, None].expand(-1, -1, h, w).repeat(group, 1, 1, 1)


class ResidualBlock(nn.Module):
    """Two convolutions, the second halving the size, beside a 1x1 one; their sum / sqrt(2)."""

    def __init__(self, in_channels: int, out_channels: int, clamp: float | None = None) -> None:
        super().__init__()
        gain = 1 / math.sqrt(2)
        self.conv1 = ConvLayer(in_channels, in_channels, 3, clamp=clamp)
        self.conv2 = ConvLayer(in_channels, out_channels, 3, halve=True, gain=gain, clamp=clamp)
        self.skip = ConvLayer(in_channels, out_channels, 1, halve=True, activate=False, gain=gain)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in, H, W) to (N, out, H / 2, W / 2)."""
        y: Tensor = self.conv2(self.conv1(x)) + self.skip(x)
        return y


class ConvLayer(nn.Sequential):
    """[FIR filter,] convolution [, bias and LeakyReLU * sqrt(2)] [, clamp], all times ``gain``."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        halve: bool = False,
        activate: bool = True,
        gain: float = 1.0,
        clamp: float | None = None,
    ) -> None:
        filters: list[FIRFilter] = []
        stride, padding = 1, kernel_size // 2
        if halve and kernel_size == 1:
            # A 1x1 convolution needs only the samples that are kept, so the filter skips.
            filters = [FIRFilter(padding=1, stride=2)]
        elif halve:
            filters, stride, padding = [FIRFilter(padding=2)], 2, 0
        conv = EqualConv(in_channels, out_channels, kernel_size, stride=stride, padding=padding)
        super().__init__(*filters, conv, *([ChannelBias(out_channels)] if activate else []))
        self.filters = len(filters)
        self.activate = activate
        self.gain = gain * GAIN if activate else gain
        self.clamp = None if clamp is None else clamp * gain

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in, H, W) to (N, out, H', W')."""
        if self.filters:
            x = self[0](x)
        bias = self[-1].get_parameter("bias") * self.gain if self.activate else None
        y: Tensor = self[self.filters](x, self.gain, bias)
        y = leaky_relu_(y) if self.activate else y
        return y if self.clamp is None else y.clamp(-self.clamp, self.clamp)


class EqualConv(nn.Module):
    """A convolution with equalised learning rate: weights times 1 / sqrt(in * k * k)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int,
        padding: int,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(normal(out_channels, in_channels, kernel_size, kernel_size))
        self.scale = 1 / math.sqrt(in_channels * kernel_size**2)
        self.stride = stride
        self.padding = padding

    def forward(self, x: Tensor, gain: float, bias: Tensor | None) -> Tensor:
        """Convolve with the weights times ``gain`` and add the bias as it is."""
        return F.conv2d(x, self.weight * (self.scale * gain), bias, self.stride, self.padding)
