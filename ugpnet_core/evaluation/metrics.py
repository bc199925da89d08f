"""Figures that compare a restored image with the true one, pixel by pixel.

Images are RGB (N, 3, H, W) in [0, 1]; every figure is one number per image, (N,).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ugpnet_core.errors import SizeError

SSIM_WINDOW = 11


def quantised(image: Tensor) -> Tensor:
    """Clamp to [0, 1] and round to the 256 levels that an 8-bit file holds."""
    return (image.float().clamp(0, 1) * 255).round() / 255


def psnr(x: Tensor, target: Tensor) -> Tensor:
    """10 log10(1 / mse) in dB, mse over the pixels and channels of one image; inf at equality."""
    error = (x.double() - target.double()).square().mean(dim=(1, 2, 3))
    return -10 * torch.log10(error)


def ssim(x: Tensor, target: Tensor) -> Tensor:
    """Structural similarity (Wang et al., 2004), mean over the three channels; 1 at equality.

    Gaussian window of 11 pixels, sigma 1.5, K1 = 0.01, K2 = 0.03, without the border that the
    window does not cover.

    Raises:
        SizeError: a side is smaller than the window.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    if min(x.shape[-2:]) < SSIM_WINDOW:
        raise SizeError(
            f"SSIM needs images of at least {SSIM_WINDOW}x{SSIM_WINDOW} pixels, not "
            f"{x.shape[-2]}x{x.shape[-1]}; leave it out for smaller ones."
        )
    # Releases of torchmetrics differ in whether their mean covers the mirrored border; the map of
    # all positions is the same in each, so the border is cut off here.
    _, similarity = structural_similarity_index_measure(
        x.double(), target.double(), data_range=1.0, reduction="none", return_full_image=True
    )
    border = SSIM_WINDOW // 2
    return torch.as_tensor(similarity)[..., border:-border, border:-border].mean(dim=(1, 2, 3))
