"""What the tensors of a Uformer say about the network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ugpnet_core.plugins import count_numbered

STAGES = (
    *(f"encoderlayer_{level}" for level in range(4)),
    "conv",
    *(f"decoderlayer_{level}" for level in range(4)),
)
BIASES = "attn.relative_position_bias_table"


def options_of(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The options that the shapes and names of a state dict determine. The side of the training
    crops is among them only where it made windows smaller than elsewhere.

    Raises:
        KeyError: a layer is missing.
    """
    tables = [tensors[f"{stage}.blocks.0.{BIASES}"] for stage in STAGES]
    windows = [(math.isqrt(table.shape[0]) + 1) // 2 for table in tables]
    width = tensors["input_proj.proj.0.weight"].shape[0]
    first = "encoderlayer_0.blocks.0."
    is_leff = f"{first}mlp.linear1.0.weight" in tensors
    hidden = tensors[f"{first}mlp.{'linear1.0' if is_leff else 'fc1'}.weight"].shape[0]
    options: dict[str, Any] = {
        "embed_dim": width,
        "depths": [count_numbered(tensors, rf"{stage}\.blocks\.(\d+)\.") for stage in STAGES],
        "num_heads": [table.shape[1] for table in tables],
        "win_size": windows[0],
        "mlp_ratio": hidden / width,
        "token_mlp": "leff" if is_leff else "ffn",
        "qkv_bias": f"{first}attn.qkv.to_q.bias" in tensors,
        "modulator": "decoderlayer_0.blocks.0.modulator.weight" in tensors,
    }
    if windows[4] < windows[0]:
        options["img_size"] = windows[4] * 2**4
    return options
