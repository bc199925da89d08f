"""Make a backbone of any ``nn.Module`` by naming its last layer (paper 3.1: plug and play).

    wrap_backbone(Net(), "conv_last")                       image = conv_last(f)
    wrap_backbone(Net(), "conv_last", kind="residual")      image = x + conv_last(f)

What enters the layer is the feature map f. A probe at construction finds its channels, its
resolution and the scale, and verifies that f and the layer alone give the network's own image.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from ugpnet_core.errors import ConfigError, PluginError
from ugpnet_core.networks.regression import RegressionNetwork
from ugpnet_core.wrapping.capture import Call, image_of, plain_call
from ugpnet_core.wrapping.last_layer import find_last_layer
from ugpnet_core.wrapping.layer import After, NamedLayer
from ugpnet_core.wrapping.verification import verify


class WrappedBackbone(RegressionNetwork):
    """A foreign network as a backbone; made by :func:`wrap_backbone`.

    The state dict has the network's own keys, so that its checkpoints are read as they are.

    Attributes:
        fit: How the map that enters the last layer lies on the output. Where it is ``repeat``
            times smaller, each of its values stands ``repeat`` x ``repeat`` times in the feature
            map, and the head takes one of them. The head makes a margin by ``padding``.
        copies: Whether the last layer changes what enters it, and so gets a copy.
        copies_input: Whether the network changes its images, and so gets copies.
        rebuild_options: Options of factories that read files, see
            :class:`ugpnet_core.protocols.Backbone`.
        adds_input: Whether the network's own output is x plus what the head gives.
    """

    rebuild_options: dict[str, Any] | None = None

    def __init__(
        self,
        network: nn.Module,
        last_layer: str,
        *,
        kind: Literal["direct", "residual"] = "direct",
        output: int | str | None = None,
        after: After | None = None,
        call: Call = plain_call,
        size_multiple: int = 1,
        fixed_size: int | None = None,
        carry_remainder: bool = False,
    ) -> None:
        super().__init__()
        found = verify(
            NamedLayer(network, last_layer, output, after, call),
            kind,
            size_multiple=size_multiple,
            fixed_size=fixed_size,
            carry_remainder=carry_remainder,
        )
        self.network = network
        self.last_layer = last_layer
        self.kind = kind
        self.output = output
        self.after_last_layer = after
        self.call = call
        self.size_multiple = size_multiple
        self.fixed_size = fixed_size
        self.carry_remainder = carry_remainder
        self.feature_channels = found.channels + (3 if carry_remainder else 0)
        self.scale = found.scale
        self.fit = found.layer.fit
        self.padding = found.layer.padding
        self.copies, self.copies_input = found.layer.copies, found.layer.copies_input
        self.adds_input = found.adds_input

    def forward_features(self, x: Tensor) -> Tensor:
        """Map images to what enters the last layer, at the resolution of the output.

        Args:
            x: The degraded images (N, 3, H, W), RGB in [0, 1].

        Returns:
            The feature map (N, C, H * scale, W * scale), whose last 3 channels are the remainder,
            if it is carried.
        """
        layer = self.layer
        f, returned = layer.capture(x)
        whole = f = self.fit.inner(f)
        if self.fit.repeat != 1:
            whole = f.repeat_interleave(self.fit.repeat, 2).repeat_interleave(self.fit.repeat, 3)
        if self.carry_remainder:
            remainder = image_of(returned, self.output) - layer.apply(f)
            whole = torch.cat([whole, remainder], 1)
        return whole

    def head(self, f: Tensor) -> Tensor:
        """Map the feature map to an image or a residual.

        Args:
            f: The feature map (N, C, H * scale, W * scale).

        Returns:
            The image, or what is added to x, (N, 3, H * scale, W * scale).
        """
        remainder = f[:, -3:] if self.carry_remainder else None
        if self.carry_remainder:
            f = f[:, :-3]
        if self.fit.repeat != 1:
            f = f[:, :, :: self.fit.repeat, :: self.fit.repeat]
        image = self.layer.apply(f)
        return image if remainder is None else image + remainder

    @property
    def layer(self) -> NamedLayer:
        """The last layer, as it was verified."""
        return NamedLayer(
            self.network,
            self.last_layer,
            self.output,
            self.after_last_layer,
            self.call,
            self.fit,
            self.padding,
            self.copies,
            self.copies_input,
        )

    def state_dict(self, *args: Any, prefix: str = "", **kwargs: Any) -> Any:
        """The tensors of the network under its own keys."""
        state = super().state_dict(*args, prefix=prefix, **kwargs)
        inner = f"{prefix}network."
        for key in [key for key in state if key.startswith(inner)]:
            state[prefix + key.removeprefix(inner)] = state.pop(key)
        return state

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        # What torch offers for keys that a file has and the module has not.
        kept = f"{prefix}after_last_layer."
        for key in [key for key in state_dict if key.startswith(prefix)]:
            if not key.startswith(kept):
                inner = f"{prefix}network.{key.removeprefix(prefix)}"
                state_dict[inner] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def wrap_backbone(
    network: nn.Module,
    last_layer: str | None = None,
    *,
    kind: Literal["direct", "residual"] = "direct",
    output: int | str | None = None,
    after: After | None = None,
    call: Call = plain_call,
    scale: int | None = None,
    size_multiple: int = 1,
    fixed_size: int | None = None,
    carry_remainder: bool = False,
) -> WrappedBackbone:
    """Make a backbone of a network that knows nothing of this toolkit.

    Args:
        network: The network, which maps images (N, 3, H, W), RGB in [0, 1], to images
            (N, 3, H * s, W * s).
        last_layer: The dotted name of the layer whose input is the feature map, as
            ``network.named_modules()`` has it; None finds it.
        kind: What the layer gives: "direct" is the image, and "residual" what is added to x,
            whether the network adds x itself or leaves that to its caller.
        output: The index or key of the restored image, if the network returns several things.
        after: What follows the last layer before the image (or residual) is complete: a module,
            or a function of a module, so that the backbone can be pickled.
        call: A function ``call(network, x)``, if ``network(x)`` is not how to run it; it is one of
            a module, too.
        scale: How many times the network enlarges; the probe finds it, and checks it if given.
        size_multiple: The number of pixels that H and W must be multiples of.
        fixed_size: The one side of images that the network takes, in pixels.
        carry_remainder: Whether to append what the last layer leaves out of the image (an enlarged
            input that is added, a clamp, ...) to the feature map as 3 channels, which the head
            adds. The kind is direct then.

    Returns:
        A backbone that shares the network's weights and has its keys.

    Raises:
        ConfigError: An argument is impossible, or there is no such layer.
        PluginError: The layer's input alone does not give the network's image; the message says
            what would be right.

    Examples:
        >>> import ugpnet_core as ug
        >>> from torch import nn
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1))
        >>> backbone = ug.wrap_backbone(network, "1")
        >>> backbone.feature_channels, backbone.scale
        (8, 1)
    """
    if not isinstance(network, nn.Module):
        raise ConfigError(f"{type(network).__name__} is no torch.nn.Module; wrap one.")
    if kind not in ("direct", "residual"):
        raise ConfigError(f"kind is {kind!r}; make it 'direct' or 'residual'.")
    if size_multiple < 1 or (fixed_size is not None and fixed_size < 1):
        raise ConfigError("size_multiple and fixed_size are numbers of pixels, 1 or more.")
    if carry_remainder and kind == "residual":
        raise ConfigError("carry_remainder is for kind='direct': the remainder contains x already.")
    if last_layer is None:
        if after is not None:
            raise ConfigError("after= follows a layer; name it with last_layer=.")
        last_layer, after = find_last_layer(
            network,
            kind=kind,
            output=output,
            call=call,
            size_multiple=size_multiple,
            fixed_size=fixed_size,
            carry_remainder=carry_remainder,
        )
    backbone = WrappedBackbone(
        network,
        last_layer,
        kind=kind,
        output=output,
        after=after,
        call=call,
        size_multiple=size_multiple,
        fixed_size=fixed_size,
        carry_remainder=carry_remainder,
    )
    if scale is not None and scale != backbone.scale:
        raise PluginError(f"The network enlarges {backbone.scale} times, not {scale} times.")
    return backbone
