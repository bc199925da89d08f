"""The tasks: degradations with their settings, each a :class:`ugpnet_core.protocols.Task`.

Sizes are stated for images of 512 pixels and scale with ``resolution / 512``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor

from ugpnet_core.degradations.blur import blur, gaussian_kernel, scaled_kernel_size
from ugpnet_core.degradations.compression import jpeg
from ugpnet_core.degradations.kernel_files import load_kernels
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
    """x = kernel * x_gt with a random camera shake of a set (paper, section 4).

    The set is that of ``ugpnet_core.degradations.kernels.kernel_set``, of which a kernel is made
    when it is first drawn; or it stands in the file ``kernels``, which is read when the first one
    is drawn (so that a model can be loaded where the file is not), and whose kernels are used as
    they are at every resolution.
    """

    resolution: int = 512
    kernel_size: int = 71
    kernel_count: int = 1000
    kernel_seed: int = 0
    kernels: Path | None = None
    name: str = "deblur"
    scale: int = 1
    _drawn: dict[int, Tensor] = field(default_factory=dict, repr=False, compare=False)
    _read: Tensor | None = field(default=None, repr=False, compare=False)

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """Degrade float32 (3, H, W) in [0, 1]."""
        return blur(image, self.kernel(int(rng.integers(self.count())))).clamp(0, 1)

    def count(self) -> int:
        """How many kernels there are to draw from."""
        saved = self._saved()
        return self.kernel_count if saved is None else len(saved)

    def kernel(self, index: int) -> Tensor:
        """Kernel number ``index`` of the set, (K, K), non-negative, sum 1, K odd."""
        saved = self._saved()
        if saved is not None:
            return saved[index]
        if index not in self._drawn:
            size = scaled_kernel_size(self.kernel_size, self.resolution)
            self._drawn[index] = camera_shake_kernel(size, rng_for(self.kernel_seed, index))
        return self._drawn[index]

    def _saved(self) -> Tensor | None:
        if self._read is None and self.kernels is not None:
            self._read = load_kernels(self.kernels).kernels
        return self._read


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
