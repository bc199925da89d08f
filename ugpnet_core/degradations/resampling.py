"""Resampling: by whole factors for super-resolution, and to any size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from ugpnet_core.image import pad_to_multiple, resize

Method = Literal["bilinear", "bicubic", "area"]


def downsample(image: Tensor, factor: int, method: Method = "bicubic") -> Tensor:
    """Downsample (3, H, W) to (3, ceil(H / factor), ceil(W / factor)).

    The default is antialiased bicubic: the kernel (a = -1/2) is widened by the factor, as Pillow's
    and MATLAB's are; weights that fall outside the image are left out, as Pillow does.

    A size that the factor does not divide is first padded by reflection, at the right and the
    bottom. The result is clipped to [0, 1], as bicubic overshoots.
    """
    padded = pad_to_multiple(image, factor)
    return resample(padded, (padded.shape[-2] // factor, padded.shape[-1] // factor), method)


def resample(image: Tensor, size: Sequence[int], method: Method) -> Tensor:
    """Resample (3, H, W) in [0, 1] to (3, *size), in [0, 1] but for rounding (1e-6).

    ``bicubic`` and ``area`` are antialiased; ``bilinear`` is not, as OpenCV's INTER_LINEAR.
    """
    if method == "bicubic":
        return resize(image, size)
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    batch = image.unsqueeze(0)
    if method == "area":
        return F.interpolate(batch, size=list(size), mode="area")[0]
    return F.interpolate(batch, size=list(size), mode="bilinear", align_corners=False)[0]
