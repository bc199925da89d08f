"""Padding, cropping and resizing of image tensors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ugpnet_core.errors import SizeError


def pad_reflect(
    x: Tensor, left: int, right: int, top: int, bottom: int, *, edge: bool = False
) -> Tensor:
    """Pad (..., H, W) by mirroring about the border pixels.

    Works for any amount: where it exceeds the image, the mirroring goes on; a side of one pixel
    is repeated.

    Args:
        edge: whether the border pixels themselves are repeated: what is in the outermost row alone
            is then two rows wide, and no line that a network takes for noise.

    Raises:
        SizeError: the image has no pixels.
    """
    height, width = x.shape[-2:]
    if not height or not width:
        raise SizeError(f"An image of {height}x{width} pixels cannot be padded.")
    if top or bottom:
        x = x.index_select(-2, mirrored(height, top, bottom, edge).to(x.device))
    if left or right:
        x = x.index_select(-1, mirrored(width, left, right, edge).to(x.device))
    return x


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Pad (..., H, W) at the right and the bottom, by reflection, to multiples of ``multiple``.

    Take the first H rows and W columns of a result to undo it.
    """
    height, width = x.shape[-2:]
    return pad_reflect(x, 0, -width % multiple, 0, -height % multiple)


def center_square(x: Tensor, size: int) -> Tensor:
    """The largest centred square of (3, H, W) or (N, 3, H, W), resized to ``size``."""
    height, width = x.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return resize(x[..., top : top + side, left : left + side], (size, size))


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Antialiased bicubic resizing of (C, H, W) or (N, C, H, W) to (H', W'), clamped to [0, 1]."""
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    batch = x if x.dim() == 4 else x.unsqueeze(0)
    resized = F.interpolate(
        batch, size=list(size), mode="bicubic", antialias=True, align_corners=False
    ).clamp(0, 1)
    return resized if x.dim() == 4 else resized[0]


def mirrored(size: int, before: int, after: int, edge: bool = False) -> Tensor:
    """Indices -before .. size + after - 1, folded into 0 .. size - 1, as :func:`pad_reflect` does
    along one side."""
    index = torch.arange(-before, size + after)
    if size == 1:
        return torch.zeros_like(index)
    if edge:
        index = index.remainder(2 * size)
        return torch.minimum(index, 2 * size - 1 - index)
    period = 2 * (size - 1)
    index = index.remainder(period)
    return torch.minimum(index, period - index)
