"""Downsampling, by whole factors for super-resolution and by any factor for blind restoration."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from ugpnet_core.image import pad_to_multiple, resize

Method = Literal["area", "bilinear", "bicubic"]
METHODS: tuple[Method, ...] = ("area", "bilinear", "bicubic")


def downsample(image: Tensor, factor: int) -> Tensor:
    """Antialiased bicubic downsampling of (3, H, W) to (3, ceil(H / factor), ceil(W / factor)).

    A size that the factor does not divide is first padded by reflection, at the right and the
    bottom. The result is clipped to [0, 1], as bicubic overshoots.
    """
    padded = pad_to_multiple(image, factor)
    return resize(padded, (padded.shape[-2] // factor, padded.shape[-1] // factor))


def coarsen(image: Tensor, factor: float, method: Method) -> Tensor:
    """Shrink (3, H, W) by any factor of at least 1, to a pixel at least; clipped to [0, 1]."""
    size = [max(1, round(side / factor)) for side in image.shape[-2:]]
    batch = image.unsqueeze(0)
    if method == "area":
        small = F.interpolate(batch, size=size, mode="area")
    else:
        small = F.interpolate(batch, size=size, mode=method, antialias=True, align_corners=False)
    return small[0].clamp(0, 1)
