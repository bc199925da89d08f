"""StyleGAN2's layers as the papers write them, to measure ours against.

Convolutions grouped by image, with weights of each image's own; FIR filters by zero insertion and
a full 2-D convolution. Nothing is measured here: other benchmarks import this.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor

from ugpnet_priors.stylegan2.discriminator import ConvLayer, EqualConv
from ugpnet_priors.stylegan2.modulation import ModulatedConv, StyleConv, ToRGB
from ugpnet_priors.stylegan2.ops import fir_kernel


def filtered(x: Tensor, up: int, pad: tuple[int, int]) -> Tensor:
    """Zero insertion by ``up``, padding, FIR filter as one single-channel convolution."""
    n, c, h, w = x.shape
    if up > 1:
        inserted = x.new_zeros(n, c, h, up, w, up)
        inserted[:, :, :, 0, :, 0] = x
        x = inserted.view(n, c, h * up, w * up)
    x = F.pad(x, (*pad, *pad))
    y = F.conv2d(x.reshape(n * c, 1, *x.shape[2:]), fir_kernel(float(up * up))[None, None])
    return y.view(n, c, *y.shape[2:])


def modulated(conv: ModulatedConv, x: Tensor, style: Tensor, *, demodulate: bool) -> Tensor:
    """The convolution with a weight of its own for every image (equations 1 and 3)."""
    n, c, h, w = x.shape
    weight = conv.scale * conv.weight * conv.modulation(style).view(n, 1, c, 1, 1)
    if demodulate:
        weight = weight * torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + 1e-8)
    out, side = weight.shape[1], weight.shape[-1]
    x = x.reshape(1, n * c, h, w)
    if conv.smooth is None:
        y = F.conv2d(x, weight.reshape(n * out, c, side, side), padding=side // 2, groups=n)
        return y.view(n, out, h, w)
    weight = weight.transpose(1, 2).reshape(n * c, out, side, side)
    y = F.conv_transpose2d(x, weight, stride=2, groups=n)
    return 4 * filtered(y.view(n, out, 2 * h + 1, 2 * w + 1), 1, (1, 1))


def style_conv(layer: StyleConv, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
    """Modulated convolution, noise, bias, activation: one step after the other."""
    y = modulated(layer.modulated_conv, x, style, demodulate=True)
    y = y + layer.weight * noise + layer.activate.bias.view(1, -1, 1, 1)
    return F.leaky_relu(y, 0.2) * 2**0.5


def to_rgb(layer: ToRGB, x: Tensor, style: Tensor, skip: Tensor | None = None) -> Tensor:
    """The raw image, plus the enlarged skip."""
    rgb = modulated(layer.modulated_conv, x, style, demodulate=False) + layer.bias
    return rgb if skip is None else rgb + filtered(skip, 2, (2, 1))


def conv_layer(layer: ConvLayer, x: Tensor) -> Tensor:
    """The discriminator's filter, convolution, bias and activation."""
    conv = cast(EqualConv, layer[layer.filters])
    if layer.filters:
        pad = 2 if conv.weight.shape[-1] == 3 else 1
        x = filtered(x, 1, (pad, pad))
    # Where ours filters only the samples that are kept, the plain 1x1 convolution skips them.
    stride = 2 if layer.filters else 1
    y = F.conv2d(x, conv.weight * conv.scale, stride=stride, padding=conv.padding)
    if not layer.activate:
        return y * layer.gain
    y = y + layer[-1].get_parameter("bias").view(1, -1, 1, 1)
    activated: Tensor = F.leaky_relu(y, 0.2) * layer.gain
    return activated


@contextmanager
def plain_layers() -> Iterator[None]:
    """Let every generator and discriminator compute in the plain way while this is open."""
    with (
        patch.object(StyleConv, "forward", style_conv),
        patch.object(ToRGB, "forward", to_rgb),
        patch.object(ConvLayer, "forward", conv_layer),
    ):
        yield
