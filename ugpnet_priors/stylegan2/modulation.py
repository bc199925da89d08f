"""Layers of the generator that a style drives: modulated convolution, style layer, to-RGB.

Karras et al., CVPR 2020, arXiv:1912.04958, section 2.2 (equations 1 to 3) and figure 2d.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ugpnet_priors.stylegan2.ops import (
    EPSILON,
    GAIN,
    ChannelBias,
    EqualLinear,
    FIRFilter,
    leaky_relu_,
    normal,
    upsample,
)


class StyleConv(nn.Module):
    """Modulated convolution, noise, bias, sqrt(2) * LeakyReLU(0.2) (the paper's figure 2d)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        style_dim: int,
        *,
        enlarge: bool = False,
        unscaled_epsilon: bool = False,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.modulated_conv = ModulatedConv(
            in_channels,
            out_channels,
            3,
            style_dim,
            enlarge=enlarge,
            unscaled_epsilon=unscaled_epsilon,
        )
        self.clamp = clamp
        self.weight = nn.Parameter(torch.zeros(1))  # strength of the noise
        self.activate = ChannelBias(out_channels)

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        """Map (N, in, h, w), style (N, style_dim) and noise (1 or N, 1, H, W) to (N, out, H, W)."""
        # The gain moves inside the homogeneous LeakyReLU.
        bias = GAIN * self.activate.bias
        if x.shape[0] == 1 and not torch.is_grad_enabled():
            y = self.modulated_conv.of_one_image(x, style, GAIN, bias)
            y = leaky_relu_(y.add_((GAIN * self.weight * noise).to(y.dtype)))
        else:
            y, demodulation = self.modulated_conv(x, style)
            # One pass over the maps of all images instead of five.
            shift = GAIN * self.weight * noise + bias.view(1, -1, 1, 1)
            if y.is_contiguous(memory_format=torch.channels_last):
                shift = shift.contiguous(memory_format=torch.channels_last)  # else y is transposed
            factors = GAIN * demodulation.to(y.dtype)
            y = leaky_relu_(torch.addcmul(shift.to(y.dtype), y, factors))
        return y if self.clamp is None else y.clamp(-self.clamp, self.clamp)


class ModulatedConv(nn.Module):
    """Convolution whose weights a style scales per input channel, without the demodulation.

    Equation 1 scales the weights w_ijk by s_i and equation 3 divides by the norm
    sqrt(sum_ik (s_i w_ijk)^2 + eps). Both factors are constant over the image, so scaling the
    input by s_i and the output by the inverse norm is the same, with one set of weights for the
    whole batch. With ``enlarge``, doubles the size: transposed convolution, then FIR filter.

    w_ijk of the equations are the weights times ``scale`` (equalised learning rate). With
    ``unscaled_epsilon``, as in stylegan2-ada, eps stands beside the norm of the bare weights.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        style_dim: int,
        *,
        enlarge: bool = False,
        unscaled_epsilon: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(normal(1, out_channels, in_channels, kernel_size, kernel_size))
        self.modulation = EqualLinear(style_dim, in_channels, bias_init=1.0)
        self.scale = 1 / math.sqrt(in_channels * kernel_size**2)
        self.epsilon = EPSILON * self.scale**2 if unscaled_epsilon else EPSILON
        self.smooth = FIRFilter(padding=1, gain=4.0) if enlarge else None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ModulatedConv:
        # The published shape has five dimensions, which ``module.to(memory_format=channels_last)``
        # refuses; convert the four that matter.
        def convert(t: Tensor) -> Tensor:
            return fn(t[0]).unsqueeze(0) if t.ndim == 5 else fn(t)

        super()._apply(convert, recurse)  # type: ignore[no-untyped-call]
        return self

    def forward(self, x: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        """Return the map and the factors (N, out, 1, 1) of equation 3 that demodulate it."""
        weight = self.weight[0]
        s = self.modulation(style) * self.scale
        x = x * s.to(x.dtype)[:, :, None, None]
        return self._convolved(x, weight), self._demodulation(s)[:, :, None, None]

    def of_one_image(self, x: Tensor, style: Tensor, gain: float, bias: Tensor) -> Tensor:
        """Map x (1, in, h, w) to the demodulated map times ``gain``, plus a bias per channel.

        All factors are in the weights then, as in equations 1 and 3, which costs less than passes
        over the map; for several images the weights would be several.
        """
        s = self.modulation(style) * self.scale
        factors = (gain * self._demodulation(s))[0][:, None] * s
        return self._convolved(x, self.weight[0] * factors[:, :, None, None], bias)

    def _demodulation(self, s: Tensor) -> Tensor:
        """The factors (N, out) of equation 3, of the factors (N, in) of equation 1."""
        norm = F.linear(s.square(), self.weight[0].square().sum((2, 3)))
        return torch.rsqrt(norm + self.epsilon)

    def _convolved(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        if self.smooth is None:
            return F.conv2d(x, weight, bias, padding=1)
        return self.smooth(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), bias)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to the raw image, without demodulation, plus the skip."""

    def __init__(self, in_channels: int, style_dim: int, clamp: float | None = None) -> None:
        super().__init__()
        self.modulated_conv = ModulatedConv(in_channels, 3, 1, style_dim)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))
        self.clamp = clamp

    def forward(self, x: Tensor, style: Tensor, skip: Tensor | None = None) -> Tensor:
        """Map (N, C, H, W) to (N, 3, H, W); the skip (N, 3, H / 2, W / 2) is enlarged."""
        conv = self.modulated_conv
        # Three output channels: weights of each image's own are cheaper than scaling its map.
        weight = conv.weight[:, :, :, 0, 0] * (conv.modulation(style) * conv.scale)[:, None]
        n, _, h, w = x.shape
        if x.is_contiguous(memory_format=torch.channels_last):  # flattening would copy it
            pixels = x.permute(0, 2, 3, 1).reshape(n, h * w, -1)
            rgb = torch.bmm(pixels, weight.mT).view(n, h, w, 3).permute(0, 3, 1, 2) + self.bias
        else:
            rgb = torch.bmm(weight, x.flatten(2)).view(n, 3, h, w) + self.bias
        if self.clamp is not None:
            rgb = rgb.clamp(-self.clamp, self.clamp)
        return rgb if skip is None else rgb + upsample(skip)

