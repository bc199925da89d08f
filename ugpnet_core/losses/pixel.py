"""Losses on pixel values: what regression networks are trained with.

Images are RGB (N, 3, H, W) in about [0, 1]; every loss is a scalar, in float32 whatever the
precision of its inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

CHARBONNIER_EPSILON = 1e-3
PSNR_FLOOR = 80.0  # dB


def l1_loss(x: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference, L_1 of supplement S.3."""
    return (x.float() - target.float()).abs().mean()


def psnr_loss(x: Tensor, target: Tensor, floor: float = PSNR_FLOOR) -> Tensor:
    """Mean over the batch of 10 log10(mse + 10^(-floor / 10)), mse of each image: minus the PSNR.

    The loss of NAFNet and HINet (Chen et al., ECCV 2022; CVPRW 2021), whose floor is 80 dB: the
    loss is -floor at equality.
    """
    error = (x.float() - target.float()).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(error + 10 ** (-floor / 10)).mean()


def charbonnier_loss(x: Tensor, target: Tensor) -> Tensor:
    """Mean of sqrt(difference^2 + 1e-3^2), the loss of Uformer. 1e-3 at equality."""
    difference = x.float() - target.float()
    return (difference.square() + CHARBONNIER_EPSILON**2).sqrt().mean()


PIXEL_LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": l1_loss,
    "psnr": psnr_loss,
    "charbonnier": charbonnier_loss,
}
