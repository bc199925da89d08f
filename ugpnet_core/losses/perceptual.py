"""Perceptual networks: LPIPS, features for the contextual loss, features for a Fréchet distance.

LPIPS: Zhang, Isola, Efros, Shechtman, Wang: The Unreasonable Effectiveness of Deep Features as a
Perceptual Metric, CVPR 2018, https://github.com/richzhang/PerceptualSimilarity (BSD-2-Clause);
linear layers of version 0.1. VGG: Simonyan, Zisserman, ICLR 2015. SqueezeNet 1.1: Iandola et al.,
2016. The layers are torchvision's, the weights come from a file (``perceptual_weights``).

Every network here takes RGB images (N, 3, H, W) in [0, 1], is frozen, and lets gradients through
to its first input.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ugpnet_core.config import PerceptualConfig
from ugpnet_core.losses.perceptual_weights import (
    PerceptualNames,
    TrunkName,
    check_perceptual,
    describe,
    empty_trunk,
    optional_perceptual,
    perceptual_config,
    read_lpips_weights,
    read_trunk,
)

__all__ = [
    "LPIPS",
    "PerceptualNames",
    "Trunk",
    "build_contextual_features",
    "build_frechet_features",
    "build_lpips",
    "check_perceptual",
    "describe",
    "optional_perceptual",
    "perceptual_config",
]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Below this side a pooling layer of some trunk would have nothing left to pool.
SMALLEST_SIDE = 32
# The layers whose outputs LPIPS compares: relu1_2 ... relu5_3; conv1, then the fire modules.
LPIPS_TAPS = {
    "vgg": (3, 8, 15, 22, 29),
    "squeeze": (1, 4, 7, 9, 10, 11, 12),
    "alex": (1, 4, 7, 9, 11),
}
LPIPS_TRUNKS: dict[str, TrunkName] = {"vgg": "vgg16", "squeeze": "squeeze", "alex": "alex"}
# relu3_4 of VGG19: 256 channels, stride 4. The second fire module (fire3) of SqueezeNet is the
# deepest map of that stride: 128 channels.
CONTEXTUAL_TAP = {"vgg": 17, "squeeze": 4}


Filter = Literal["antialiased", "bicubic"]


class Trunk(nn.Module):
    """The convolutions of a classifier, up to the last of the wanted layers.

    Images with a side under 32 pixels are enlarged to it by repeating their border.

    Args:
        layers: torchvision's ``features``.
        taps: indices of the layers whose outputs are wanted, ascending.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, layers: nn.Sequential, taps: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = layers[: taps[-1] + 1]
        self.taps = taps
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))
        self.requires_grad_(False).eval()
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map x (N, 3, H, W) in [0, 1] to the tapped feature maps, shallow to deep."""
        height, width = x.shape[-2:]
        if min(height, width) < SMALLEST_SIDE:
            right, below = max(SMALLEST_SIDE - width, 0), max(SMALLEST_SIDE - height, 0)
            x = F.pad(x, (0, right, 0, below), mode="replicate")
        x = ((x - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        features = []
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in self.taps:
                features.append(x)
        return features


class LPIPS(nn.Module):
    """Learned perceptual image patch similarity, L_per of supplement S.3; 0 at equality.

    The second image is the target: no gradient reaches it. The trunk follows an autocast around
    it; the comparison is float32.

    Args:
        trunk: with the taps of LPIPS.
        weights: one (1, C, 1, 1) for each tap.
        resize: the shorter side that images are resized to first; None: as they are.
        resize_filter: how, see :func:`resized`.
    """

    def __init__(
        self,
        trunk: Trunk,
        weights: list[Tensor],
        resize: int | None,
        resize_filter: Filter = "antialiased",
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.resize = resize
        self.resize_filter: Filter = resize_filter
        self.weights = nn.ParameterList(
            nn.Parameter(weight, requires_grad=False) for weight in weights
        )

    def forward(
        self, x: Tensor, target: Tensor, reduction: Literal["mean", "none"] = "mean"
    ) -> Tensor:
        """Compare x with target, both (N, 3, H, W) in [0, 1].

        Returns:
            The mean over the batch, or with reduction "none" one distance per image (N,).
        """
        x_features = self.trunk(resized(x, self.resize, self.resize_filter))
        with torch.no_grad():
            target_features = self.trunk(resized(target, self.resize, self.resize_filter))
        distance = torch.zeros(len(x), device=x.device)
        with torch.autocast(x.device.type, enabled=False):
            for f, g, weight in zip(x_features, target_features, self.weights, strict=True):
                difference = (_unit(f) - _unit(g)).square()
                distance = distance + F.conv2d(difference, weight).mean(dim=(1, 2, 3))
        return distance.mean() if reduction == "mean" else distance


class ContextualFeatures(nn.Module):
    """The feature map phi that the contextual loss compares."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, x: Tensor) -> Tensor:
        """Map x (N, 3, H, W) in [0, 1] to features of stride 4."""
        features: list[Tensor] = self.trunk(x)
        return features[-1]


class FrechetFeatures(nn.Module):
    """The last feature map of a trunk, averaged over positions."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk = trunk

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Map x (N, 3, H, W) in [0, 1] to vectors (N, C)."""
        features: list[Tensor] = self.trunk(x)
        return features[-1].float().mean(dim=(2, 3))


def build_lpips(config: PerceptualConfig) -> LPIPS:
    """Build LPIPS-VGG (VGG16), LPIPS-Alex, or LPIPS with the SqueezeNet trunk.

    Raises:
        WeightsError: the trunk's weights are missing or do not fit.
    """
    name = LPIPS_TRUNKS[config.network]
    trunk = _trunk(config, name, LPIPS_TAPS[config.network])
    return LPIPS(trunk, read_lpips_weights(config.network), config.resize, config.resize_filter)


def build_contextual_features(config: PerceptualConfig) -> ContextualFeatures:
    """Build the extractor of the contextual loss: VGG19 relu3_4, or SqueezeNet's fire3.

    Raises:
        WeightsError: the trunk's weights are missing or do not fit.
    """
    name: TrunkName = "vgg19" if config.network == "vgg" else "squeeze"
    return ContextualFeatures(_trunk(config, name, (CONTEXTUAL_TAP[config.network],)))


def build_frechet_features(config: PerceptualConfig) -> FrechetFeatures:
    """Build the features of the Fréchet distance: the deepest tap of LPIPS, 512 channels, or
    256 of AlexNet.

    Raises:
        WeightsError: the trunk's weights are missing or do not fit.
    """
    name = LPIPS_TRUNKS[config.network]
    return FrechetFeatures(_trunk(config, name, LPIPS_TAPS[config.network][-1:]))


def resized(image: Tensor, side: int | None, resize_filter: Filter = "antialiased") -> Tensor:
    """Resize (N, C, H, W) so that its shorter side is ``side``; box filter where that divides.

    The box filter is much faster than antialiased bilinear and does the same for halvings.

    Args:
        resize_filter: "bicubic" is interpolation between the nearest 4x4 pixels, whatever lies
            between those that are asked for, as in the published training of UGPNet.
    """
    height, width = image.shape[-2:]
    shorter = min(height, width)
    if side is None or shorter == side:
        return image
    size = (max(round(height * side / shorter), 1), max(round(width * side / shorter), 1))
    if resize_filter == "bicubic":
        return F.interpolate(image.float(), size=size, mode="bicubic", align_corners=False)
    factor = shorter // side
    if shorter % side == 0 and height % factor == 0 and width % factor == 0:
        return F.avg_pool2d(image, factor)
    return F.interpolate(
        image.float(), size=size, mode="bilinear", align_corners=False, antialias=True
    )


def _trunk(config: PerceptualConfig, name: TrunkName, taps: tuple[int, ...]) -> Trunk:
    layers = empty_trunk(name)
    layers.load_state_dict(read_trunk(config, name), assign=True)
    return Trunk(layers, taps)


def _unit(features: Tensor) -> Tensor:
    """Scale each position's vector to length 1. The root never sees 0, where its slope is inf."""
    features = features.float()
    squared = features.square().sum(dim=1, keepdim=True)
    return features / ((squared + 1e-20).sqrt() + 1e-10)
