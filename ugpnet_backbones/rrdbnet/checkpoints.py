"""What the tensors of an RRDBNet say about the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ugpnet_core.plugins import count_numbered


def options_of(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The options that the shapes and names of a state dict in BasicSR's layout determine.

    Raises:
        KeyError: a layer is missing.
    """
    features, inputs = tensors["conv_first.weight"].shape[:2]
    # For 2 and 1 times, the image enters as 12 or 48 channels of a half or a quarter of its size.
    scale = {12: 2, 48: 1}.get(inputs, 8 if "conv_up3.weight" in tensors else 4)
    return {
        "scale": scale,
        "num_feat": features,
        "num_block": count_numbered(tensors, r"body\.(\d+)\."),
        "num_grow_ch": tensors["body.0.rdb1.conv1.weight"].shape[0],
    }


def published(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Any], str]:
    """Options and task of the restoration module of a published UGPNet."""
    options = options_of(tensors)
    return options, f"sr{options['scale']}"
