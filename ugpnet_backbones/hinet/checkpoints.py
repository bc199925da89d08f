"""What the tensors of an HINet say about the network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ugpnet_core.plugins import count_numbered

# The first level with half instance normalisation of the network that was published for denoising.
SIDD_LEFT = 0


def options_of(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The options that the shapes and names of a state dict determine; a checkpoint without
    ``conv_02`` is of the copy in the published UGPNet.

    Raises:
        KeyError: a layer is missing.
    """
    depth = count_numbered(tensors, r"down_path_1\.(\d+)\.")
    found = (re.match(r"down_path_1\.(\d+)\.norm\.weight", key) for key in tensors)
    levels = [int(match[1]) for match in found if match]
    return {
        "wf": tensors["conv_01.weight"].shape[0],
        "depth": depth,
        "hin_position_left": min(levels, default=depth),
        "hin_position_right": max(levels, default=depth - 1),
        **({} if "conv_02.weight" in tensors else {"shared_conv": True}),
    }


def published(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Any], str]:
    """Options and task of the restoration module of a published UGPNet, whose copy of the network
    has one convolution before both stages."""
    options = {**options_of(tensors), "shared_conv": True}
    return options, "denoise" if options["hin_position_left"] == SIDD_LEFT else "deblur"
