"""Tell the options of the backbones that the paper's models use from the shapes of their weights.

The paper trained with NAFNet (denoising: the depths of its SIDD model; deblurring: those of its
GoPro model, pooling locally) and with RRDBNet (eight times enlarging).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

# The published model pools locally, over windows of 1.5 times its 256-pixel training crops.
TRAIN_SIZE = 256
SIDD_DEPTHS = [2, 2, 4, 8]


def backbone_options(tensors: Mapping[str, Tensor]) -> tuple[str, dict[str, Any]] | None:
    """Name and options of the backbone that a state dict belongs to, or None for others than
    NAFNet and RRDBNet.

    Raises:
        KeyError: a layer is missing.
    """
    if "intro.weight" in tensors and "ending.weight" in tensors:
        return "nafnet", _nafnet(tensors)
    if "conv_first.weight" in tensors and "conv_body.weight" in tensors:
        return "rrdbnet", _rrdbnet(tensors)
    return None


def task_of(backbone: str, options: Mapping[str, Any]) -> str:
    """The task that the paper trained such a backbone for."""
    if backbone == "rrdbnet":
        return f"sr{options['scale']}"
    return "denoise" if options["enc_blk_nums"] == SIDD_DEPTHS else "deblur"


def count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    """One more than the largest index that a pattern finds among the keys."""
    found = (re.match(pattern, key) for key in tensors)
    return max((int(match[1]) for match in found if match), default=-1) + 1


def _nafnet(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    levels = min(count(tensors, r"encoders\.(\d+)\."), 16)

    def depths(part: str) -> list[int]:
        return [count(tensors, rf"{part}\.{level}\.(\d+)\.") for level in range(levels)]

    return {
        "width": tensors["intro.weight"].shape[0],
        "middle_blk_num": count(tensors, r"middle_blks\.(\d+)\."),
        "enc_blk_nums": depths("encoders"),
        "dec_blk_nums": depths("decoders"),
    }


def _rrdbnet(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    features, inputs = tensors["conv_first.weight"].shape[:2]
    # For 2 and 1 times, the image enters as 12 or 48 channels of a half or a quarter of its size.
    scale = {12: 2, 48: 1}.get(inputs, 8 if "conv_up3.weight" in tensors else 4)
    return {
        "scale": scale,
        "num_feat": features,
        "num_block": count(tensors, r"body\.(\d+)\."),
        "num_grow_ch": tensors["body.0.rdb1.conv1.weight"].shape[0],
    }
