"""The brightness of RGB images."""

from __future__ import annotations

import torch
from torch import Tensor

WEIGHTS = (0.299, 0.587, 0.114)


def luma(x: Tensor) -> Tensor:
    """The luma of Rec. 601, 0.299 R + 0.587 G + 0.114 B, of (..., 3, H, W) as (..., 1, H, W).

    It is linear: that of a difference is the difference of the two.
    """
    weights = torch.tensor(WEIGHTS, dtype=x.dtype, device=x.device).view(3, 1, 1)
    return (x * weights).sum(-3, keepdim=True)
