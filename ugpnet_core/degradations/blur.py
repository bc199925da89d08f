"""Blur: the convolution of images with kernels, and Gaussian kernels.

Kernels of camera shakes: :mod:`ugpnet_core.degradations.kernels`.
"""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np
import torch
from torch import Tensor

from ugpnet_core.image import pad_reflect


def blur(image: Tensor, kernel: Tensor) -> Tensor:
    """x = kernel * x_gt, the same kernel for each channel, the image mirrored at its borders.

    As in the paper, the values are convolved as they are stored (sRGB), not as linear light.

    Args:
        image: (3, H, W), float32, of any size.
        kernel: (K, K), K odd; the result's brightness is the image's times the kernel's sum.

    Returns:
        (3, H, W), not clipped.
    """
    height, width = image.shape[-2:]
    radius = kernel.shape[-1] // 2
    padded = pad_reflect(image, radius, radius, radius, radius)
    # Circular convolution is the wanted one where the kernel has not wrapped around.
    size = [_fast_length(side) for side in padded.shape[-2:]]
    spectrum = torch.fft.rfft2(padded, s=size) * torch.fft.rfft2(kernel, s=size)
    full: Tensor = torch.fft.irfft2(spectrum, s=size)
    valid = full[..., 2 * radius : 2 * radius + height, 2 * radius : 2 * radius + width]
    return valid.contiguous()


@functools.cache
def _fast_length(least: int) -> int:
    """The next length with no prime factor above 7: others make an FFT several times slower."""
    for length in itertools.count(least):
        rest = length
        for prime in (2, 3, 5, 7):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
    raise AssertionError(least)


def scaled_kernel_size(size: int, resolution: int) -> int:
    """The odd size next to ``size * resolution / 512`` (71 becomes 17 at 128), at least 3."""
    return max(3, 2 * round((size * resolution / 512 - 1) / 2) + 1)


def disk_kernel(radius: float) -> Tensor:
    """What a point out of focus leaves: a disk of sum 1 with the radius in pixels, its rim
    antialiased; (K, K) with K the next odd size that holds it."""
    half = max(1, math.ceil(radius))
    axis = np.arange(-half, half + 1)
    distance = np.hypot(axis[:, None], axis[None, :])
    density = np.clip(radius + 0.5 - distance, 0, 1)
    return torch.from_numpy((density / density.sum()).astype(np.float32))


def gaussian_kernel(size: int, sigma_x: float, sigma_y: float, angle: float) -> Tensor:
    """A Gaussian (size, size) of sum 1 with the standard deviations, in pixels, along axes that
    are turned by ``angle`` radians."""
    axis = np.arange(size) - (size - 1) / 2
    x = math.cos(angle) * axis[None, :] + math.sin(angle) * axis[:, None]
    y = -math.sin(angle) * axis[None, :] + math.cos(angle) * axis[:, None]
    density = np.exp(-0.5 * ((x / sigma_x) ** 2 + (y / sigma_y) ** 2))
    return torch.from_numpy((density / density.sum()).astype(np.float32))
