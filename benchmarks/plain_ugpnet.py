"""A UGPNet with a NAFNet as the papers write it, to measure ours against: channels first, float32,
every factor a pass of its own over the map. Nothing is measured here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ugpnet_backbones.nafnet.network as nafnet
from benchmarks.plain_stylegan2 import plain_layers
from ugpnet_core.networks.blocks import ChannelLayerNorm


def layer_norm(layer: ChannelLayerNorm, x: Tensor) -> Tensor:
    """Mean and variance over the channels, one step after the other."""
    mean = x.mean(1, keepdim=True)
    variance = (x - mean).pow(2).mean(1, keepdim=True)
    y = (x - mean) / (variance + layer.eps).sqrt()
    return layer.weight.view(1, -1, 1, 1) * y + layer.bias.view(1, -1, 1, 1)


def scaled(conv: nn.Conv2d, scale: Tensor, x: Tensor) -> Tensor:
    """A convolution, and its map times a factor per channel."""
    made: Tensor = conv(x) * scale
    return made


def relu(layer: nn.ReLU, x: Tensor) -> Tensor:
    """Into a map of its own."""
    return F.relu(x)


@contextmanager
def plain_networks() -> Iterator[None]:
    """Let every NAFNet and StyleGAN2 compute in the plain way while this is open."""
    with (
        plain_layers(),
        patch.object(ChannelLayerNorm, "forward", layer_norm),
        patch.object(nafnet, "_scaled", scaled),
        patch.object(nn.ReLU, "forward", relu),
        torch.inference_mode(),
    ):
        yield
