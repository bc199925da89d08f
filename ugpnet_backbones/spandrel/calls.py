"""How networks of spandrel are run that want more than the image, or give more than one.

spandrel itself knows this too, but only as functions that cannot be pickled, and that take one
image at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ugpnet_core.plugins import Call

# The noise level that the published code assumes where the user gives none.
NOISE_LEVEL = 15 / 255


def with_noise_level(network: nn.Module, x: Tensor) -> Any:
    """DRUNet and FDnCNN: a map of the noise level follows the image's channels."""
    if getattr(network, "mode", "FDnCNN") != "FDnCNN":
        return network(x)
    return network(torch.cat([x, torch.full_like(x[:, :1], NOISE_LEVEL)], 1))


def to_unit_range(network: nn.Module, x: Tensor) -> Any:
    """MixDehazeNet gives images in [-1, 1]."""
    return network(x) * 0.5 + 0.5


def in_signed_range(network: nn.Module, x: Tensor) -> Any:
    """Face restorers take and give images in [-1, 1], and give their codes too. spandrel itself
    scales for RestoreFormer only, where the published code does it for all of them."""
    return (network((x - 0.5) / 0.5)[0] + 1) / 2


CALLS: Mapping[str, Call] = {
    "DRUNet": with_noise_level,
    "DnCNN": with_noise_level,
    "MixDehazeNet": to_unit_range,
    "RestoreFormer": in_signed_range,
    "GFPGAN": in_signed_range,
    "CodeFormer": in_signed_range,
}
# Networks that return several things, of which the first is the image.
FIRST_OF_SEVERAL = frozenset({"FBCNN", "MMRealSR", "MPRNet"})
