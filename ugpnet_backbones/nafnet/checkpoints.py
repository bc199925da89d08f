"""What the tensors of a NAFNet say about the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ugpnet_core.plugins import count_numbered

# The published UGPNet deblurs with pooling over windows of 1.5 times its 256-pixel training crops.
TRAIN_SIZE = 256
SIDD_DEPTHS = [2, 2, 4, 8]
MOST_LEVELS = 16


def options_of(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The options that the shapes and names of a state dict determine.

    Raises:
        KeyError: a layer is missing.
    """
    levels = min(count_numbered(tensors, r"encoders\.(\d+)\."), MOST_LEVELS)

    def depths(part: str) -> list[int]:
        return [count_numbered(tensors, rf"{part}\.{level}\.(\d+)\.") for level in range(levels)]

    return {
        "width": tensors["intro.weight"].shape[0],
        "middle_blk_num": count_numbered(tensors, r"middle_blks\.(\d+)\."),
        "enc_blk_nums": depths("encoders"),
        "dec_blk_nums": depths("decoders"),
    }


def published(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Any], str]:
    """Options and task of the restoration module of a published UGPNet: the paper denoised with
    the depths of NAFNet's SIDD model, which pools globally there, and deblurred with those of its
    GoPro model, which pools locally."""
    options = options_of(tensors)
    if options["enc_blk_nums"] == SIDD_DEPTHS:
        return {**options, "local_pooling": False}, "denoise"
    return {**options, "local_pooling": True, "train_size": TRAIN_SIZE}, "deblur"
