"""The tasks: degradations with their settings, each a :class:`ugpnet_core.protocols.Task`.

Sizes are stated for images of 512 pixels and scale with ``resolution / 512``. Further ones:
:class:`ugpnet_core.degradations.motion.Deblur`, :mod:`ugpnet_core.degradations.composition`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from ugpnet_core.degradations.blur import scaled_kernel_size
from ugpnet_core.degradations.noise import poisson_gaussian
from ugpnet_core.degradations.ranges import Range
from ugpnet_core.degradations.resampling import downsample
from ugpnet_core.degradations.steps import Blur, Downsample, Jpeg, Noise, Step, Upsample


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


class SuperResolution:
    """x = x_gt, ``factor`` times smaller, antialiased bicubic (paper, section 4)."""

    def __init__(self, factor: int = 8) -> None:
        self.name = f"sr{factor}"
        self.scale = factor

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """Degrade float32 (3, H, W) in [0, 1] to (3, ceil(H / factor), ceil(W / factor)); draws
        nothing."""
        return downsample(image, self.scale)


sr2, sr4, sr8, sr16 = (functools.partial(SuperResolution, factor) for factor in (2, 4, 8, 16))


@dataclass
class Blind:
    """x = enlarge(JPEG(shrink(kernel * x_gt) + N(0, sigma^2))), every strength drawn anew.

    The order, the names and the defaults are those of the published configuration of GFPGAN
    (X. Wang et al., "Towards real-world blind face restoration with generative facial prior",
    CVPR 2021). Images are shrunk and enlarged without antialiasing, as there; its random changes
    of colour are left out.

    Args:
        resolution: side of the images. Kernels scale with it, and so does the factor of
            downsampling, as far as it is above 1.
        blur_kernel_size: side of the kernels.
        kernel_list: kinds of Gaussian kernels, with their probabilities ``kernel_prob``.
        blur_sigma: standard deviations, pixels; drawn for each axis of an anisotropic kernel.
        downsample_range: factors; one below 1 enlarges.
        noise_range: standard deviations, in levels of 255.
        jpeg_range: qualities.
    """

    resolution: int = 512
    blur_kernel_size: int = 41
    kernel_list: tuple[str, ...] = ("iso", "aniso")
    kernel_prob: tuple[float, ...] = (0.5, 0.5)
    blur_sigma: Range = (0.1, 10.0)
    downsample_range: Range = (0.8, 8.0)
    noise_range: Range = (0.0, 20.0)
    jpeg_range: tuple[int, int] = (60, 100)
    name: str = "blind"
    scale: int = 1
    _steps: tuple[Step, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        part = self.resolution / 512
        kinds = zip(self.kernel_list, self.kernel_prob, strict=True)
        isotropic = sum(probability for kind, probability in kinds if kind == "iso")
        size = scaled_kernel_size(self.blur_kernel_size, self.resolution)
        self._steps = (
            Blur((self.blur_sigma[0] * part, self.blur_sigma[1] * part), isotropic, size),
            Downsample(self.downsample_range, "bilinear", part),
            Noise((self.noise_range[0] / 255, self.noise_range[1] / 255)),
            Jpeg(self.jpeg_range),
            Upsample("bilinear"),
        )

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """Degrade float32 (3, H, W) in [0, 1]; the result has the same size."""
        x = image
        for step in self._steps:
            x = step(x, rng, (image.shape[-2], image.shape[-1]))
        return x
