"""The restoration module: a backbone and the adapter that fits its kind (paper 3.1, S.1).

    direct      x_reg = head(f)                                f_reg = f
    residual    x_reg = ToImage(R_mg(R'(x) + R_se(x)))         f_reg = what enters ToImage
    skip        x_reg = x + Conv(R_mg(R'(x) + R_se(x)))        f_reg = what enters Conv
    plain       x_reg = x + head(f)                            f_reg = f     (ablation, Table 3 a)

Where a task enlarges and the backbone does not, the input is enlarged bicubically first.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from ugpnet_core.errors import PluginError
from ugpnet_core.networks.blocks import LEAKY_SLOPE, ConvBlock
from ugpnet_core.networks.regression import check_images, checked_features, cropped, padded
from ugpnet_core.protocols import Backbone, RestorationOutput, SupervisedBackbone


class DirectAdapter(nn.Module):
    """A direct backbone, untouched: its image is x_reg, its last feature map f_reg."""

    def __init__(self, backbone: Backbone, enlarge: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.enlarge = enlarge
        self.feature_channels = backbone.feature_channels

    def forward(self, x: Tensor) -> RestorationOutput:
        """Restore x (N, 3, H, W) to image (N, 3, sH, sW) and features (N, C, sH, sW)."""
        x = _enlarged(x, self.enlarge)
        features, intermediate = _features(self, x)
        scale = self.backbone.scale
        image = cropped(_head(self.backbone, features, x), x, scale)
        return RestorationOutput(image, cropped(features, x, scale), intermediate)


class MergingNetwork(nn.Module):
    """R_mg: two ConvBlocks, and ToImage (a 3x3 convolution and LeakyReLU(0.2)) on top.

    With ``skip`` the convolution alone is on top, and its result is added to the degraded image.
    """

    def __init__(self, in_channels: int, channels: int, skip: bool = False) -> None:
        super().__init__()
        self.skip = skip
        self.blocks = nn.Sequential(ConvBlock(in_channels, channels), ConvBlock(channels, channels))
        self.to_image = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, f: Tensor, x: Tensor) -> RestorationOutput:
        """Merge f (N, in_channels, H, W) into x_reg and its feature map f_reg.

        Args:
            x: the degraded image (N, 3, H, W), which ``skip`` adds to.
        """
        features = self.blocks(f)
        if self.skip:
            return RestorationOutput(x + self.to_image(features), features)
        return RestorationOutput(F.leaky_relu(self.to_image(features), LEAKY_SLOPE), features)


class ResidualAdapter(nn.Module):
    """A residual backbone whose addition is moved from the image to the feature domain.

    With ``skip`` the degraded image itself is added once more at the end. An image that needs no
    restoration then passes as it is, which the paper's form has to learn to copy through R_se,
    R_mg and a LeakyReLU; f_reg carries structure as before.
    """

    def __init__(
        self,
        backbone: Backbone,
        merging_channels: int = 64,
        enlarge: int = 1,
        skip: bool = False,
    ) -> None:
        super().__init__()
        _check_residual(backbone)
        self.backbone = backbone
        self.enlarge = enlarge
        self.structure_encoder = ConvBlock(3, backbone.feature_channels)
        self.merging = MergingNetwork(backbone.feature_channels, merging_channels, skip)
        self.feature_channels = merging_channels

    def forward(self, x: Tensor) -> RestorationOutput:
        """Restore x (N, 3, H, W) to image (N, 3, sH, sW) and features
        (N, merging_channels, sH, sW)."""
        x = _enlarged(x, self.enlarge)
        features, intermediate = _features(self, x)
        structure = cropped(features, x) + self.structure_encoder(x)
        merged: RestorationOutput = self.merging(structure, x)
        return merged._replace(intermediate=intermediate)


class PlainAdapter(nn.Module):
    """A residual backbone as it is, without R_se and R_mg: its addition stays in the image domain,
    and f_reg carries the residual only (the ablation of Table 3 a)."""

    def __init__(self, backbone: Backbone, enlarge: int) -> None:
        super().__init__()
        _check_residual(backbone)
        self.backbone = backbone
        self.enlarge = enlarge
        self.feature_channels = backbone.feature_channels

    def forward(self, x: Tensor) -> RestorationOutput:
        """Restore x (N, 3, H, W) to image (N, 3, sH, sW) and features (N, C, sH, sW)."""
        x = _enlarged(x, self.enlarge)
        features, intermediate = _features(self, x)
        residual = cropped(_head(self.backbone, features, x), x)
        return RestorationOutput(x + residual, cropped(features, x), intermediate)


Adapter = DirectAdapter | ResidualAdapter | PlainAdapter


def restoration_module(
    backbone: Backbone,
    merging_channels: int = 64,
    enlarge: int = 1,
    adapter: Literal["merging", "skip", "plain"] = "merging",
) -> Adapter:
    """Wrap a backbone in the adapter for its kind.

    Args:
        adapter: of a residual backbone: the paper's, that with the degraded image added at the
            end, or none of its networks.

    Raises:
        PluginError: the backbone lacks something of :class:`ugpnet_core.protocols.Backbone`.
    """
    missing = [name for name in _MEMBERS if not hasattr(backbone, name)]
    if missing:
        raise PluginError(
            f"{type(backbone).__name__} is no backbone: it lacks {', '.join(missing)}; "
            "see ugpnet_core.protocols.Backbone."
        )
    if not isinstance(backbone, nn.Module):
        raise PluginError(f"{type(backbone).__name__} is no torch.nn.Module; derive it from that.")
    if backbone.kind == "direct":
        return DirectAdapter(backbone, enlarge)
    if backbone.kind == "residual":
        if adapter == "plain":
            return PlainAdapter(backbone, enlarge)
        return ResidualAdapter(backbone, merging_channels, enlarge, skip=adapter == "skip")
    raise PluginError(
        f"{type(backbone).__name__}.kind is {backbone.kind!r}; make it 'direct' or 'residual'."
    )


_MEMBERS = ("kind", "feature_channels", "scale", "size_multiple", "forward_features", "head")


def _check_residual(backbone: Backbone) -> None:
    if backbone.scale != 1:
        raise PluginError(
            f"A residual backbone adds to its input, so its scale must be 1, not "
            f"{backbone.scale}; declare it direct."
        )


def _head(backbone: Backbone, features: Tensor, x: Tensor) -> Tensor:
    """What the head makes of the feature map of the padded x. The head sees the padded map, as it
    would inside the backbone, so cropping comes after it."""
    image = backbone.head(features)
    expected = (x.shape[0], 3, *features.shape[2:])
    if tuple(image.shape) != expected:
        raise PluginError(
            f"{type(backbone).__name__}.head returned {tuple(image.shape)} where an image "
            f"{expected} belongs."
        )
    return image


def _enlarged(x: Tensor, factor: int) -> Tensor:
    check_images(x)
    if factor == 1:
        return x
    return F.interpolate(x, scale_factor=factor, mode="bicubic", align_corners=False)


def _features(adapter: Adapter, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The feature map of x, padded to what the backbone takes; in training also the intermediate
    images, of the size of the image."""
    backbone = adapter.backbone
    fitting = padded(backbone, x)
    if adapter.training and isinstance(backbone, SupervisedBackbone):
        features, images = backbone.forward_supervised(fitting)
    else:
        features, images = backbone.forward_features(fitting), ()
    intermediate = tuple(cropped(image, x, backbone.scale) for image in images)
    return checked_features(backbone, features, fitting), intermediate
