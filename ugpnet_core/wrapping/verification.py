"""Whether a layer alone makes a network's image of what enters it, found by running it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from ugpnet_core.errors import PluginError, UGPNetError
from ugpnet_core.plugins.discovery import describe_error
from ugpnet_core.wrapping.capture import image_of, undisturbed
from ugpnet_core.wrapping.last_layer import candidates, relation
from ugpnet_core.wrapping.layer import NamedLayer, find_layer
from ugpnet_core.wrapping.probe import (
    ProbeSizeError,
    Size,
    check_kind,
    checked_image,
    close,
    failure,
    fit,
    pixels,
    probe_images,
    ratio,
    same,
    with_fitting_size,
)

# How a network may have padded what enters its last layer.
PADDINGS = ("replicate", "reflect", "constant")


Kind = Literal["direct", "residual"]


@dataclass(frozen=True)
class Verification:
    """What running a network showed.

    Attributes:
        layer: as given, with its fit, its padding, and what has to be copied.
        channels: of the map that enters the layer.
        scale: how many times the network enlarges.
        adds_input: whether the network's own output is x plus what the layer gives.
    """

    layer: NamedLayer
    channels: int
    scale: int
    adds_input: bool


def verify(
    layer: NamedLayer,
    kind: Kind = "direct",
    *,
    size_multiple: int = 1,
    fixed_size: int | None = None,
    carry_remainder: bool = False,
) -> Verification:
    """Run a network and verify that its last layer makes its image of the feature map. The network
    is afterwards as it was.

    Args:
        carry_remainder: what the layer leaves out of the image is allowed.

    Raises:
        ConfigError: there is no such layer.
        PluginError: it does not; the message says what would be right.
    """
    find_layer(layer.network, layer.name)
    after = [layer.after] if isinstance(layer.after, nn.Module) else []
    with undisturbed(nn.ModuleList([layer.network, *after])):
        return with_fitting_size(
            lambda size: _verified(layer, kind, size, carry_remainder), size_multiple, fixed_size
        )


def _verified(layer: NamedLayer, kind: Kind, size: Size, carry_remainder: bool) -> Verification:
    network, name = layer.network, layer.name
    x = probe_images(network, size)
    # What the network does to its input must not reach the probe's.
    layer = replace(layer, copies=True, copies_input=False)
    try:
        spare = x.clone()
        f, returned = layer.capture(spare)
        # Whether the layer, or what runs after it, changes the map that entered.
        layer = replace(layer, copies=False, copies_input=spare._version > 0)
        changed = not same(layer.capture(x)[0], f)
    except UGPNetError:
        raise
    except Exception as error:
        raise ProbeSizeError(failure(network, size, error)) from error
    image = checked_image(image_of(returned, layer.output), x)
    scale = ratio(image, x)
    if not scale:
        raise ProbeSizeError(
            f"The network makes {pixels(image)} pixels of {pixels(x)}, which is no whole multiple"
        )
    check_kind(kind, image, x)
    given = f.clone()
    try:
        fitting = fit(image, f, network.get_submodule(name)(given))
        if fitting is None:
            raise ProbeSizeError(
                f"What enters layer {name!r} has {pixels(f)} pixels for an image of "
                f"{pixels(image)}, of which that is no whole multiple"
            )
        inner = fitting.inner(f)
        layer = replace(layer, fit=fitting, padding=_padding(f, inner, fitting.margin))
        y = layer.apply(inner.clone())
    except UGPNetError:
        raise
    except Exception as error:
        raise PluginError(
            f"Layer {name!r} cannot be run by itself on what enters it ({describe_error(error)}); "
            "name another layer."
        ) from error
    how = relation(kind, x, image, y) if y.shape == image.shape else None
    if how is None and not (carry_remainder and y.shape == image.shape):
        raise PluginError(_mismatch(layer, kind, size, x, image, y))
    layer = replace(layer, copies=changed or given._version > 0)
    return Verification(layer, f.shape[1], scale, adds_input=how == "x + y")


def _padding(f: Tensor, inner: Tensor, margin: int) -> str:
    """How a network pads what enters its last layer; where none is known, it does not matter."""
    for padding in PADDINGS if margin else ():
        if close(F.pad(inner, (margin,) * 4, mode=padding), f):
            return padding
    return PADDINGS[0]


def _mismatch(
    layer: NamedLayer, kind: Kind, size: Size, x: Tensor, image: Tensor, y: Tensor
) -> str:
    network, name = layer.network, layer.name
    if x.shape == y.shape == image.shape and close(image, x + y):
        return (
            f"The output of {type(network).__name__} is x plus what layer {name!r} gives: declare "
            "kind='residual'."
        )
    if x.shape == y.shape == image.shape and close(image, x - y):
        return (
            f"The output of {type(network).__name__} is x minus what layer {name!r} gives: declare "
            "kind='residual' with after=torch.neg."
        )
    others = candidates(network, size, kind, layer.output, layer.call)
    better = [each.name for each in others if each.exact and each.after is None]
    advice = f"name {better[0]!r} instead" if better else "name a later layer"
    shape = "" if y.shape == image.shape else f", which gives {tuple(y.shape[1:])},"
    return (
        f"Something follows layer {name!r}{shape} before the output {tuple(image.shape[1:])} of "
        f"{type(network).__name__} is complete; {advice}, give what follows with after=, or set "
        "carry_remainder=True."
    )
