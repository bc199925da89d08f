"""Tell the options of a prior from the shapes of its weights, in our keys."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from ugpnet_core.plugins import WeightsError
from ugpnet_priors.stylegan2.options import channel_widths

State = dict[str, Tensor]


def generator_sizes(state: State) -> tuple[dict[str, Any], dict[int, int]]:
    """Options and widths by resolution of a generator.

    Raises:
        KeyError: a layer is missing.
        WeightsError: the mapping network changes the width of its codes.
    """
    levels = _count(state, r"to_rgbs\.(\d+)\.")
    resolution = 4 << levels
    if state[f"noises.noise{2 * levels}"].shape[-1] != resolution:
        raise WeightsError("The noise maps do not fit the layers; get the checkpoint again.")
    widths = {4: state["style_conv1.activate.bias"].numel()}
    side = 8
    while side <= resolution:
        layer = 2 * side.bit_length() - 7
        widths[side] = state[f"style_convs.{layer}.activate.bias"].numel()
        side *= 2
    num_mlp = _count(state, r"style_mlp\.(\d+)\.") - 1
    style_dim = state["style_conv1.modulated_conv.modulation.weight"].shape[1]
    for layer in range(1, num_mlp + 1):
        shape = tuple(state[f"style_mlp.{layer}.weight"].shape)
        if shape != (style_dim, style_dim):
            raise WeightsError(
                f"Layer {layer} of the mapping network maps {shape[-1]} numbers to {shape[0]}; "
                f"only networks with {style_dim} throughout, as in w, can be read."
            )
    options: dict[str, Any] = {"resolution": resolution, "style_dim": style_dim}
    options |= {"num_mlp": num_mlp, **width_options(widths)}
    if resolution < 16:
        options["base_size"] = resolution
    return options, widths


def discriminator_widths(state: State) -> dict[int, int]:
    """Widths by resolution of a discriminator.

    Raises:
        KeyError: a layer is missing.
    """
    blocks = _count(state, r"conv_body\.(\d+)\.") - 1
    widths = {4: state["final_conv.0.weight"].shape[0]}
    for block in range(blocks, 0, -1):
        side = 4 << (blocks - block + 1)
        widths[side] = state[f"conv_body.{block}.conv1.0.weight"].shape[0]
    return widths


def width_options(widths: dict[int, int]) -> dict[str, Any]:
    """The options that give these widths: by the published rule where it fits."""
    narrow = widths[4] / 512
    if max(widths) <= 32 and channel_widths(max(widths), 1, narrow) == widths:
        return {"narrow": narrow}  # the multiplier concerns larger sizes only
    for multiplier in (2, 1):
        if channel_widths(max(widths), multiplier, narrow) == widths:
            return {"channel_multiplier": multiplier, "narrow": narrow}
    return {"channels": widths}


def _count(state: State, pattern: str) -> int:
    """One more than the largest index that a pattern finds among the keys."""
    found = (re.match(pattern, key) for key in state)
    return min(max((int(match[1]) for match in found if match), default=-1) + 1, 64)
