"""Published weights in a network of twice the resolution, whose new layers lie on top."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ugpnet_core.plugins import PriorWeights
from ugpnet_priors.stylegan2.options import channel_widths

State = dict[str, Tensor]


def grow(weights: PriorWeights) -> PriorWeights:
    """The options of a network of twice the resolution, and what it takes over of a generator and,
    where there is one, its discriminator. What is missing in the state dicts begins anew.

    The new to-RGB layer begins with zeros, so that at first the generator makes what it made
    before, enlarged. The first layer of the discriminator, which sees the pixels, is new.
    """
    side: int = weights.options["resolution"]
    options: dict[str, Any] = {**weights.options, "resolution": 2 * side}
    if options.get("channels"):
        options["channels"] = _wider(options["channels"], side)
    own = dict(options.get("discriminator") or {})
    if own.get("channels"):
        options["discriminator"] = {**own, "channels": _wider(own["channels"], side)}
    keys = ("channel_multiplier", "narrow", "channels")
    given = {key: options[key] for key in keys if options.get(key) is not None}
    width = channel_widths(2 * side, **given)[2 * side]
    level = side.bit_length() - 3
    generator = dict(weights.generator)
    last = generator[f"to_rgbs.{level - 1}.modulated_conv.weight"]
    shape = [width if dim == 2 else size for dim, size in enumerate(last.shape)]
    generator[f"to_rgbs.{level}.modulated_conv.weight"] = torch.zeros(shape)
    bias = generator[f"to_rgbs.{level - 1}.bias"]
    generator[f"to_rgbs.{level}.bias"] = torch.zeros_like(bias)
    taken = None if weights.discriminator is None else _grown_discriminator(weights.discriminator)
    return replace(weights, options=options, generator=generator, discriminator=taken)


def _wider(channels: Mapping[Any, int], side: int) -> dict[int, int]:
    """Widths by resolution with one more: half of the last, as in the published networks."""
    widths = {int(key): value for key, value in channels.items()}
    return {**widths, 2 * side: max(1, widths.get(side, widths[max(widths)]) // 2)}


def _grown_discriminator(state: Mapping[str, Tensor]) -> State:
    grown: State = {}
    for key, value in state.items():
        found = re.match(r"conv_body\.(\d+)\.(.*)", key)
        if found is None:
            grown[key] = value
        elif int(found[1]) > 0:
            grown[f"conv_body.{int(found[1]) + 1}.{found[2]}"] = value
    return grown
