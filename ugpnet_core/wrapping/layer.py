"""A layer of a network, by its name: what enters it, and what it makes of that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ugpnet_core.errors import ConfigError, PluginError
from ugpnet_core.near import did_you_mean
from ugpnet_core.wrapping.capture import Call, plain_call, run_to
from ugpnet_core.wrapping.probe import Fit

After = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class NamedLayer:
    """The last layer of a network, and what is known of both.

    Attributes:
        name: dotted, as ``network.named_modules()`` has it.
        output: index or key of the restored image, if the network returns several things.
        after: what follows the layer before the image (or residual) is complete.
        call: how to run the network.
        fit: how the map that enters the layer lies on the output.
        padding: how a margin of that map is made.
        copies: whether the layer changes what enters it, and so gets a copy.
        copies_input: the same of the network and its images.
    """

    network: nn.Module
    name: str
    output: int | str | None = None
    after: After | None = None
    call: Call = plain_call
    fit: Fit = field(default_factory=Fit)
    padding: str = "replicate"
    copies: bool = False
    copies_input: bool = False

    def capture(self, x: Tensor) -> tuple[Tensor, Any]:
        """Run the network on x: what entered the layer at its last call, as it is, and what the
        network returned.

        Raises:
            PluginError: the layer was not called with one tensor (N, C, H, W) alone.
        """
        layer = self.network.get_submodule(self.name)
        x = x.clone() if self.copies_input else x
        entered, returned = run_to(self.network, layer, x, self.call, self.copies)
        if not entered:
            raise PluginError(
                f"The network never calls its layer {self.name!r}; name one that it calls."
            )
        if len(entered) != 1 or not isinstance(entered[0], Tensor) or entered[0].dim() != 4:
            given = ", ".join(
                str(tuple(each.shape)) if isinstance(each, Tensor) else type(each).__name__
                for each in entered
            )
            raise PluginError(
                f"Layer {self.name!r} gets {given} where one map (N, C, H, W) belongs; name "
                "another layer."
            )
        return entered[0], returned

    def apply(self, f: Tensor) -> Tensor:
        """The layer, and what follows it, on the inner part of a map (N, C, ...)."""
        layer = self.network.get_submodule(self.name)
        if self.fit.margin:
            padded = F.pad(f, (self.fit.margin,) * 4, mode=self.padding)
            image = self.fit.trimmed(layer(padded), f)
        else:
            image = layer(f.clone() if self.copies else f)
        return image if self.after is None else self.after(image)


def find_layer(network: nn.Module, name: str) -> nn.Module:
    """The layer of a dotted name.

    Raises:
        ConfigError: there is none; the message has near names.
    """
    layers = dict(network.named_modules(remove_duplicate=False))
    if name and name in layers:
        layer: nn.Module = layers[name]
        return layer
    names = [each for each in layers if each]
    ends = f"it ends with {', '.join(names[-3:])}."
    hint = did_you_mean(name, names, ends, count=3, cutoff=0.5)
    raise ConfigError(f"{type(network).__name__} has no layer {name!r}; {hint}")
