"""The tasks: degradations with their settings, each a :class:`ugpnet_core.protocols.Task`.

Sizes are stated for images of 512 pixels and scale with ``resolution / 512``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from ugpnet_core.degradations.blur import blur, gaussian_kernel, scaled_kernel_size
from ugpnet_core.degradations.compression import jpeg
from ugpnet_core.degradations.kernels import camera_shake_kernel
from ugpnet_core.degradations.noise import gaussian, poisson_gaussian
from ugpnet_core.degradations.resampling import METHODS, coarsen, downsample
from ugpnet_core.degradations.seeding import rng_for
from ugpnet_core.image import resize


@dataclass
class Denoise:
    """x = clip(Poisson(k x_gt) / k + N(0, sigma^2)) (paper, section 4)."""

    sigma: float = 0.3
    k: float = 30.0
    name: str = "denoise"
    scale: int = 1

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """Degrade float32 (3, H, W) in [0, 1]."""
        return poisson_gaussian(image, rng, self.sigma, self.k)


@dataclass
class Deblur:
    """x = kernel * x_gt with one of ``kernel_count`` camera shakes (paper, section 4).

    A kernel is made when it is first drawn, and kept.
    """

    resolution: int = 512
    kernel_size: int = 71
    kernel_count: int = 1000
    kernel_seed: int = 0
    name: str = "deblur"
    scale: int = 1
    _kernels: dict[int, Tensor] = field(default_factory=dict, repr=False)

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """Degrade float32 (3, H, W) in [0, 1]."""
        return blur(image, self.kernel(int(rng.integers(self.kernel_count)))).clamp(0, 1)

    def kernel(self, index: int) -> Tensor:
        """Kernel number ``index`` of the set, (K, K), non-negative, sum 1, K odd."""
        if index not in self._kernels:
            size = scaled_kernel_size(self.kernel_size, self.resolution)
            self._kernels[index] = camera_shake_kernel(size, rng_for(self.kernel_seed, index))
        return self._kernels[index]


@dataclass
class SuperResolution:
    """x = x_gt, eight times smaller, antialiased bicubic (paper, section 4)."""

    name: str = "sr8"
    scale: int = 8

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """Degrade float32 (3, H, W) in [0, 1] to (3, ceil(H / 8), ceil(W / 8)); draws nothing."""
        return downsample(image, self.scale)


@dataclass
class Blind:
    """x = enlarge(JPEG(shrink(kernel * x_gt) + N(0, noise^2))), every strength drawn anew.

    Half of the Gaussian kernels are isotropic; the enlarged image has the size of the clean one.
    """

    resolution: int = 512
    blur_sigma: float = 10.0
    downsampling: float = 8.0
    noise: float = 20 / 255
    quality: int = 60
    name: str = "blind"
    scale: int = 1

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """Degrade float32 (3, H, W) in [0, 1]."""
        part = self.resolution / 512
        sigmas = rng.uniform(0.1, self.blur_sigma, 2) * part
        angle = rng.uniform(0, math.pi)
        if rng.random() < 0.5:
            sigmas[1] = sigmas[0]
        # A factor below 1 would enlarge; such draws leave the size as it is.
        factor = max(1.0, rng.uniform(0.8, self.downsampling) * part)
        method = METHODS[int(rng.integers(len(METHODS)))]
        sigma = rng.uniform(0, self.noise)
        quality = int(rng.integers(self.quality, 101))

        size = scaled_kernel_size(2 * math.ceil(2 * self.blur_sigma) + 1, self.resolution)
        x = blur(image, gaussian_kernel(size, max(sigmas[0], 0.1), max(sigmas[1], 0.1), angle))
        x = gaussian(coarsen(x, factor, method), rng, sigma)
        return resize(jpeg(x, quality), image.shape[-2:])
