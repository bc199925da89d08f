"""Figures that compare a restored image with the true one, pixel by pixel.

Images are RGB (N, 3, H, W) in [0, 1]; every figure is one number per image, (N,). A target of one
image is compared with every x. Everything is computed in float64.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ugpnet_core.errors import SizeError

SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
SSIM_CONSTANTS = 0.01**2, 0.03**2


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
    window does not cover. Equal to torchmetrics' and scikit-image's, which tests hold it to. The
    window is applied along rows and then along columns: torchmetrics' two-dimensional convolution
    takes 40 times as long in float64, and in float32 it is off by up to 7e-4 on flat bright images.

    Raises:
        SizeError: a side is smaller than the window.
    """
    if min(x.shape[-2:]) < SSIM_WINDOW:
        raise SizeError(
            f"SSIM needs images of at least {SSIM_WINDOW}x{SSIM_WINDOW} pixels, not "
            f"{x.shape[-2]}x{x.shape[-1]}; leave it out for smaller ones."
        )
    x, target = x.double(), target.double()
    mean_x, mean_target = _windowed(x), _windowed(target)
    variance_x = _windowed(x.square()) - mean_x.square()
    variance_target = _windowed(target.square()) - mean_target.square()
    covariance = _windowed(x * target) - mean_x * mean_target
    c1, c2 = SSIM_CONSTANTS
    luminance = (2 * mean_x * mean_target + c1) / (mean_x.square() + mean_target.square() + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_target + c2)
    return (luminance * structure).mean(dim=(1, 2, 3))


def _windowed(x: Tensor) -> Tensor:
    """Means under the Gaussian window, (..., H - 10, W - 10)."""
    middle = SSIM_WINDOW // 2
    weights = [math.exp(-0.5 * ((i - middle) / SSIM_SIGMA) ** 2) for i in range(SSIM_WINDOW)]
    for axis in (-2, -1):
        length = x.shape[axis] - SSIM_WINDOW + 1
        mean = torch.zeros_like(x.narrow(axis, 0, length))
        for start, weight in enumerate(weights):
            mean.add_(x.narrow(axis, start, length), alpha=weight / sum(weights))
        x = mean
    return x
