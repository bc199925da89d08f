"""What the tensors of a U-Net say about the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ugpnet_core.plugins import count_numbered


def options_of(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The options that the shapes and names of a state dict determine; whether it makes the image
    or what to add to it is not among them.

    Raises:
        KeyError: a layer is missing.
    """
    return {
        "width": tensors["encoders.0.0.weight"].shape[0],
        "depth": count_numbered(tensors, r"encoders\.(\d+)\."),
    }
