"""What the reader of a prior makes of a checkpoint: options for the factory, and state dicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class PriorWeights:
    """A prior's weights in the keys of its own networks, read from whatever layout.

    Args:
        layout: Whose layout the file has, in words ("rosinality's").
        options: The options that the weights determine, named as the prior's options.
        generator: The generator's state dict; empty where the file holds a discriminator only.
        discriminator: The discriminator's state dict, or None where the file has none.
        facts: What ``ugpnet inspect`` shows beside the options, as anything that JSON can hold.
            ``discriminator`` there says why that of the file was left out, which a training
            repeats.
    """

    layout: str
    options: Mapping[str, Any]
    generator: Mapping[str, Tensor]
    discriminator: Mapping[str, Tensor] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
