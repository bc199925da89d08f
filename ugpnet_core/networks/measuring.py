"""What a wrapped network is like, found by running it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch.nn.functional as F
from torch import Tensor

from ugpnet_core.errors import PluginError, UGPNetError
from ugpnet_core.networks.capture import image_of, undisturbed
from ugpnet_core.networks.last_layer import candidates, relation
from ugpnet_core.networks.probe import (
    Fit,
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
from ugpnet_core.plugins.discovery import describe_error

if TYPE_CHECKING:
    from ugpnet_core.networks.wrapping import WrappedBackbone


# How a network may have padded what enters its last layer.
PADDINGS = ("replicate", "reflect", "constant")


class Measured(NamedTuple):
    """What the probe of a wrapped network found; see ``WrappedBackbone``."""

    channels: int
    scale: int
    fit: Fit
    padding: str
    copies: bool
    copies_input: bool
    adds_input: bool


def measure(backbone: WrappedBackbone) -> Measured:
    """Run a wrapped network and verify that its last layer makes its image of the feature map.

    Raises:
        PluginError: it does not; the message says what would be right.
    """
    with undisturbed(backbone):
        return with_fitting_size(
            lambda size: _measure(backbone, size), backbone.size_multiple, backbone.fixed_size
        )


def _measure(backbone: WrappedBackbone, size: Size) -> Measured:
    network, name = backbone.network, backbone.last_layer
    x = probe_images(network, size)
    # What the network does to its input must not reach the probe's.
    backbone.copies, backbone.copies_input = True, False
    try:
        spare = x.clone()
        f, returned = backbone.capture(spare)
        copies_input = backbone.copies_input = spare._version > 0
        # Whether the layer, or what runs after it, changes the map that entered.
        backbone.copies = False
        changed = not same(backbone.capture(x)[0], f)
    except UGPNetError:
        raise
    except Exception as error:
        raise ProbeSizeError(failure(network, size, error)) from error
    image = checked_image(image_of(returned, backbone.output), x)
    scale = ratio(image, x)
    if not scale:
        raise ProbeSizeError(
            f"The network makes {pixels(image)} pixels of {pixels(x)}, which is no whole multiple"
        )
    check_kind(backbone.kind, image, x)
    given = f.clone()
    try:
        fitting = fit(image, f, network.get_submodule(name)(given))
        if fitting is None:
            raise ProbeSizeError(
                f"What enters layer {name!r} has {pixels(f)} pixels for an image of "
                f"{pixels(image)}, of which that is no whole multiple"
            )
        backbone.fit = fitting
        inner = fitting.inner(f)
        backbone.padding = _padding(f, inner, fitting.margin)
        y = backbone.apply_last_layer(inner.clone())
    except UGPNetError:
        raise
    except Exception as error:
        raise PluginError(
            f"Layer {name!r} cannot be run by itself on what enters it ({describe_error(error)}); "
            "name another layer."
        ) from error
    how = relation(backbone.kind, x, image, y) if y.shape == image.shape else None
    if how is None and not (backbone.carry_remainder and y.shape == image.shape):
        raise PluginError(_mismatch(backbone, size, x, image, y))
    copies = changed or given._version > 0
    adds_input = how == "x + y"
    return Measured(
        f.shape[1], scale, backbone.fit, backbone.padding, copies, copies_input, adds_input
    )


def _padding(f: Tensor, inner: Tensor, margin: int) -> str:
    """How a network pads what enters its last layer; where none is known, it does not matter."""
    for padding in PADDINGS if margin else ():
        if close(F.pad(inner, (margin,) * 4, mode=padding), f):
            return padding
    return PADDINGS[0]


def _mismatch(backbone: WrappedBackbone, size: Size, x: Tensor, image: Tensor, y: Tensor) -> str:
    network, name = backbone.network, backbone.last_layer
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
    others = candidates(network, size, backbone.kind, backbone.output, backbone.call)
    better = [each.name for each in others if each.exact and each.after is None]
    advice = f"name {better[0]!r} instead" if better else "name a later layer"
    shape = "" if y.shape == image.shape else f", which gives {tuple(y.shape[1:])},"
    return (
        f"Something follows layer {name!r}{shape} before the output {tuple(image.shape[1:])} of "
        f"{type(network).__name__} is complete; {advice}, give what follows with after=, or set "
        "carry_remainder=True."
    )
