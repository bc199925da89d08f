"""Blur: camera shake as random trajectories, Gaussian kernels, and the convolution with them.

A camera shake is modelled as in G. Boracchi and A. Foi, "Modeling the performance of image
restoration from motion blur" (IEEE TIP 2012), which J. Rim et al., "Real-world blur dataset for
learning and benchmarking deblurring algorithms" (ECCV 2020), use for their synthetic set: a
particle with inertia, a pull back to the middle, a random force, and now and then a jerk that
turns it around; the kernel is the time it spends over each pixel.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ugpnet_core.image import pad_reflect

_STEPS = 600


def blur(image: Tensor, kernel: Tensor) -> Tensor:
    """x = kernel * x_gt per channel, the image mirrored at its borders.

    Args:
        image: (3, H, W), float32, of any size.
        kernel: (K, K), K odd; the result's brightness is the image's times the kernel's sum.

    Returns:
        (3, H, W), not clipped.
    """
    height, width = image.shape[-2:]
    radius = kernel.shape[-1] // 2
    padded = pad_reflect(image, radius, radius, radius, radius)
    size = padded.shape[-2:]
    # Circular convolution is the wanted one where the kernel has not wrapped around.
    spectrum = torch.fft.rfft2(padded) * torch.fft.rfft2(kernel, s=size)
    full: Tensor = torch.fft.irfft2(spectrum, s=size)
    valid = full[..., 2 * radius : 2 * radius + height, 2 * radius : 2 * radius + width]
    return valid.contiguous()


def scaled_kernel_size(size: int, resolution: int) -> int:
    """The odd size next to ``size * resolution / 512`` (71 becomes 17 at 128), at least 3."""
    return max(3, 2 * round((size * resolution / 512 - 1) / 2) + 1)


def gaussian_kernel(size: int, sigma_x: float, sigma_y: float, angle: float) -> Tensor:
    """A Gaussian (size, size) of sum 1 with the standard deviations, in pixels, along axes that
    are turned by ``angle`` radians."""
    axis = np.arange(size) - (size - 1) / 2
    x = math.cos(angle) * axis[None, :] + math.sin(angle) * axis[:, None]
    y = -math.sin(angle) * axis[None, :] + math.cos(angle) * axis[:, None]
    density = np.exp(-0.5 * ((x / sigma_x) ** 2 + (y / sigma_y) ** 2))
    return torch.from_numpy((density / density.sum()).astype(np.float32))


def camera_shake_kernel(size: int, rng: np.random.Generator) -> Tensor:
    """The kernel (size, size) of a random camera shake: non-negative, sum 1, centred.

    The same ``rng`` state gives the same movement at every size.
    """
    path = _trajectory(rng)
    path = path - path.mean()
    reach = max(np.abs(path.real).max(), np.abs(path.imag).max(), 1e-9)
    extent = rng.uniform(0.25, 1.0)  # part of the kernel that the movement fills
    path = path / reach * extent * (size - 1) / 2 + complex(1, 1) * (size - 1) / 2
    return torch.from_numpy(_exposure(path, size))


def _trajectory(rng: np.random.Generator) -> npt.NDArray[np.complex128]:
    """Positions of the particle at equal times, in units of its own."""
    shakiness = 10.0 ** rng.uniform(-2.5, -0.5)  # from a smooth sweep to a nervous hand
    pull = rng.uniform(0.0, 0.05) / _STEPS  # up to about one swing
    force = shakiness * 0.7
    jerk_rate = rng.choice([0.0, 1.0, 3.0]) * shakiness * 4 / _STEPS
    velocity = np.exp(2j * math.pi * rng.random())
    pushes = rng.standard_normal((_STEPS, 2)) @ np.array([1, 1j]) * force
    jerks = rng.random(_STEPS) < jerk_rate
    turns = np.exp(1j * (math.pi + rng.uniform(-0.5, 0.5, _STEPS)))
    position = 0j
    path = np.empty(_STEPS, np.complex128)
    for step in range(_STEPS):
        path[step] = position
        velocity = velocity + pushes[step] - pull * position
        if jerks[step]:
            velocity = velocity * turns[step] * 2
        velocity = velocity / abs(velocity)  # equal speed: no pixel is lit for being slow only
        position = position + velocity
    return path


def _exposure(path: npt.NDArray[np.complex128], size: int) -> npt.NDArray[np.float32]:
    """Spread every position over its four nearest pixels, bilinearly."""
    kernel = np.zeros((size, size))
    column, row = np.floor(path.real).astype(int), np.floor(path.imag).astype(int)
    right, below = path.real - column, path.imag - row
    for down, weight_y in ((0, 1 - below), (1, below)):
        for across, weight_x in ((0, 1 - right), (1, right)):
            at = np.minimum(row + down, size - 1), np.minimum(column + across, size - 1)
            np.add.at(kernel, at, weight_x * weight_y)
    normalised: npt.NDArray[np.float32] = (kernel / kernel.sum()).astype(np.float32)
    return normalised
