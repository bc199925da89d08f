"""Regression networks: a base class for backbones, and how the core calls any of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn

from ugpnet_core.errors import PluginError, SizeError
from ugpnet_core.image import pad_reflect, pad_to_multiple

if TYPE_CHECKING:
    from ugpnet_core.protocols import Backbone


class RegressionNetwork(nn.Module):
    """Base for backbones: a subclass sets the attributes that its entry declares, and writes
    ``forward_features`` and ``head`` for sizes that are multiples of ``size_multiple``.

    Attributes:
        kind: What ``head`` gives: "direct" is the clean image, "residual" what is added to x.
        feature_channels: The channels C of the feature map.
        scale: How many times the network enlarges.
        size_multiple: The number of pixels that H and W must be multiples of.
        fixed_size: The one side of images that the network takes, in pixels, or None.
    """

    kind: Literal["direct", "residual"]
    feature_channels: int
    scale: int = 1
    size_multiple: int = 1
    fixed_size: int | None = None

    def forward_features(self, x: Tensor) -> Tensor:
        """Map images to the feature map that enters the last layer.

        Args:
            x: The degraded images (N, 3, H, W), RGB in [0, 1].

        Returns:
            The feature map (N, C, H * scale, W * scale).
        """
        raise NotImplementedError(f"{type(self).__name__} lacks forward_features(x)")

    def head(self, f: Tensor) -> Tensor:
        """Map the feature map to an image or a residual.

        Args:
            f: The feature map (N, C, H * scale, W * scale).

        Returns:
            The image, or what is added to x, (N, 3, H * scale, W * scale).
        """
        raise NotImplementedError(f"{type(self).__name__} lacks head(f)")

    def forward(self, x: Tensor) -> Tensor:
        """Restore images of any size.

        Args:
            x: The degraded images (N, 3, H, W), RGB in [0, 1].

        Returns:
            The restored images (N, 3, H * scale, W * scale), which may leave [0, 1] a little.

        Raises:
            SizeError: This is no batch of RGB images, or it is larger than ``fixed_size``.
        """
        image = cropped(self.head(self.forward_features(padded(self, x))), x, self.scale)
        return x + image if self.kind == "residual" else image


def check_images(x: Tensor) -> None:
    """Refuse what is no batch of RGB images.

    Args:
        x: The images, which should be (N, 3, H, W).

    Raises:
        SizeError: They have another shape, or no pixels.

    Examples:
        >>> import torch
        >>> from ugpnet_core.plugins import check_images
        >>> check_images(torch.rand(1, 3, 8, 8))
        >>> check_images(torch.rand(3, 8, 8))
        Traceback (most recent call last):
        ...
        ugpnet_core.errors.SizeError: A backbone takes images (N, 3, H, W), not (3, 8, 8).
    """
    if x.dim() != 4 or x.shape[1] != 3 or 0 in x.shape:
        raise SizeError(f"A backbone takes images (N, 3, H, W), not {tuple(x.shape)}.")


def padded(backbone: Backbone, x: Tensor) -> Tensor:
    """Pad x (N, 3, H, W) by reflection to a size that the backbone takes; :func:`cropped` undoes
    it.

    Raises:
        SizeError: x is no batch of RGB images, or larger than the backbone's ``fixed_size``.
    """
    check_images(x)
    side = getattr(backbone, "fixed_size", None)
    if side is None:
        return pad_to_multiple(x, backbone.size_multiple)
    height, width = x.shape[2:]
    if height > side or width > side:
        raise SizeError(
            f"{type(backbone).__name__} takes images of {side}x{side} pixels and this one has "
            f"{height}x{width}; cut it into tiles, or build the network for that size."
        )
    return pad_reflect(x, 0, side - width, 0, side - height)


def cropped(map_of_padded: Tensor, x: Tensor, scale: int = 1) -> Tensor:
    """What of a map that was computed from padded images belongs to the images.

    Args:
        map_of_padded: The map (N, C, ...) of the padded images.
        x: The images (N, 3, H, W), before they were padded.
        scale: How many times larger the map is than the padded images.

    Returns:
        The map (N, C, H * scale, W * scale).
    """
    return map_of_padded[..., : x.shape[2] * scale, : x.shape[3] * scale]


def checked_features(backbone: Backbone, features: Tensor, x: Tensor) -> Tensor:
    """The feature map of a padded x, if it is what the backbone declares.

    Raises:
        PluginError: it has another shape.
    """
    scale = backbone.scale
    expected = (x.shape[0], backbone.feature_channels, x.shape[2] * scale, x.shape[3] * scale)
    if tuple(features.shape) != expected:
        raise PluginError(
            f"{type(backbone).__name__}.forward_features returned {tuple(features.shape)} where "
            f"its declaration promises {expected}."
        )
    return features
