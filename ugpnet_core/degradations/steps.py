"""The steps of a degradation whose strengths are drawn anew for each image.

A step maps float32 (3, H, W) in [0, 1] to the same, maybe of another size, and draws from ``rng``
only. It also gets the size of the clean image, which ``Upsample`` goes back to. Sizes in pixels
are those of the image itself: who makes a step has scaled them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from ugpnet_core.degradations.blur import blur, disk_kernel, gaussian_kernel
from ugpnet_core.degradations.compression import jpeg
from ugpnet_core.degradations.motion import Deblur
from ugpnet_core.degradations.noise import field_noise, gaussian, poisson_gaussian
from ugpnet_core.degradations.ranges import Range
from ugpnet_core.degradations.resampling import Method, downsample, resample
from ugpnet_core.image import luma

Size = tuple[int, int]
_METHODS: tuple[Method, ...] = ("bilinear", "bicubic", "area")


class Step(Protocol):
    """One operation of a degradation."""

    def __call__(self, image: Tensor, rng: np.random.Generator, size: Size) -> Tensor:
        """Degrade (3, H, W); ``size`` is that of the clean image."""


@dataclass(frozen=True)
class Blur:
    """A Gaussian kernel of side ``kernel_size``, which cuts it off.

    With probability ``isotropic`` it is round; otherwise a second standard deviation is drawn for
    the other axis, and a direction.
    """

    sigma: Range
    isotropic: float
    kernel_size: int

    def __call__(self, image: Tensor, rng: np.random.Generator, size: Size) -> Tensor:
        """Draw one or two standard deviations, and blur."""
        along = across = drawn(self.sigma, rng)
        angle = 0.0
        if rng.random() >= self.isotropic:
            across, angle = drawn(self.sigma, rng), rng.uniform(-math.pi, math.pi)
        kernel = gaussian_kernel(self.kernel_size, along, across, angle)
        return blur(image, kernel).clamp(0, 1)


@dataclass(frozen=True)
class Defocus:
    """A disk with a radius from the range."""

    radius: Range

    def __call__(self, image: Tensor, rng: np.random.Generator, size: Size) -> Tensor:
        """Draw a radius, and blur."""
        return blur(image, disk_kernel(drawn(self.radius, rng))).clamp(0, 1)


@dataclass(frozen=True)
class MotionBlur:
    """A random camera shake, as in task ``deblur``."""

    task: Deblur

    def __call__(self, image: Tensor, rng: np.random.Generator, size: Size) -> Tensor:
        """Draw a kernel, and blur."""
        return self.task(image, rng)


@dataclass(frozen=True)
class Downsample:
    """Shrink by a factor; a fixed whole one gives sides divided by it and rounded up.

    Otherwise sides are divided and rounded down, but to a pixel at least. A factor below 1
    enlarges. Where factors are stated for 512 pixels, ``part`` is the resolution over 512: there
    a factor f becomes ``part f``, as less of the detail is there to begin with, but not below 1
    unless f itself is.
    """

    factor: Range
    method: Method
    part: float = 1.0

    def __call__(self, image: Tensor, rng: np.random.Generator, size: Size) -> Tensor:
        """Draw a factor, and resample."""
        whole = self.whole()
        if whole is not None:
            return downsample(image, whole, self.method)
        factor = drawn(self.factor, rng)
        factor = max(self.part * factor, min(factor, 1.0))
        smaller = [max(1, int(side / factor)) for side in image.shape[-2:]]
        return resample(image, smaller, self.method)

    def whole(self) -> int | None:
        """The factor, where it is fixed and whole."""
        low, high = self.factor
        return int(low) if low == high and low.is_integer() and self.part == 1 else None


@dataclass(frozen=True)
class Rescale:
    """Smaller by a factor and back to the size before, each with a method of its own."""

    factor: Range

    def __call__(self, image: Tensor, rng: np.random.Generator, size: Size) -> Tensor:
        """Draw a factor and two methods, and resample twice."""
        smaller, back = (_METHODS[int(i)] for i in rng.integers(len(_METHODS), size=2))
        factor, sides = drawn(self.factor, rng), image.shape[-2:]
        there = resample(image, [max(1, int(side / factor)) for side in sides], smaller)
        # Enlarging by area repeats pixels, which is what a bad viewer does.
        return resample(there, sides, back)


@dataclass(frozen=True)
class Noise:
    """x = clip(Poisson(k x_gt) / k + N(0, sigma^2)), or without ``k`` the Gaussian part alone.

    In the shares ``grey`` and ``coarse`` of the images it is the same in all channels or
    coarse-grained instead: :func:`ugpnet_core.degradations.noise.field_noise`.
    """

    sigma: Range
    k: Range | None = None
    grey: float = 0.0
    coarse: float = 0.0
    grain: Range = (0.4, 1.2)

    def __call__(self, image: Tensor, rng: np.random.Generator, size: Size) -> Tensor:
        """Draw sigma and k, then the noise."""
        sigma = drawn(self.sigma, rng)
        k = None if self.k is None else drawn(self.k, rng)
        grey, coarse = happens(self.grey, rng), happens(self.coarse, rng)
        if grey or coarse:
            grain = drawn(self.grain, rng) if coarse else 0.0
            return field_noise(image, rng, sigma, k, grain=grain, grey=grey)
        if k is None:
            return gaussian(image, rng, sigma)
        return poisson_gaussian(image, rng, sigma, k, self.k[1] if self.k else None)


@dataclass(frozen=True)
class Jpeg:
    """JPEG of a whole quality from the range, both ends included."""

    quality: tuple[int, int]

    def __call__(self, image: Tensor, rng: np.random.Generator, size: Size) -> Tensor:
        """Draw a quality, and compress."""
        low, high = self.quality
        return jpeg(image, int(rng.integers(low, high + 1)))


@dataclass(frozen=True)
class Upsample:
    """Resample to the size of the clean image."""

    method: Method

    def __call__(self, image: Tensor, rng: np.random.Generator, size: Size) -> Tensor:
        """Resample; draws nothing."""
        return resample(image, size, self.method)


@dataclass(frozen=True)
class Grey:
    """The luma of Rec. 601, 0.299 R + 0.587 G + 0.114 B, in all three channels."""

    def __call__(self, image: Tensor, rng: np.random.Generator, size: Size) -> Tensor:
        """Turn grey; draws nothing."""
        return luma(image).expand_as(image).contiguous()


@dataclass(frozen=True)
class Sometimes:
    """A step that is taken with a probability, and otherwise leaves the image as it is."""

    step: Step
    probability: float

    def __call__(self, image: Tensor, rng: np.random.Generator, size: Size) -> Tensor:
        """Draw whether, then what the step draws."""
        return self.step(image, rng, size) if happens(self.probability, rng) else image


@dataclass(frozen=True)
class Shuffle:
    """Steps in an order drawn anew for each image."""

    steps: tuple[Step, ...]

    def __call__(self, image: Tensor, rng: np.random.Generator, size: Size) -> Tensor:
        """Draw the order, then take the steps."""
        for index in rng.permutation(len(self.steps)):
            image = self.steps[index](image, rng, size)
        return image


@dataclass(frozen=True)
class OneOf:
    """One of some steps, each with its share of the images."""

    steps: tuple[Step, ...]
    shares: tuple[float, ...]

    def __call__(self, image: Tensor, rng: np.random.Generator, size: Size) -> Tensor:
        """Draw which, then take it."""
        return self.steps[int(rng.choice(len(self.steps), p=self.shares))](image, rng, size)


def happens(probability: float, rng: np.random.Generator) -> bool:
    """Draw whether something happens; what is certain costs no draw."""
    return probability >= 1 or (probability > 0 and bool(rng.random() < probability))


def drawn(limits: Range, rng: np.random.Generator) -> float:
    """A number from the range, uniformly; a fixed one costs no draw."""
    low, high = limits
    return low if low == high else float(rng.uniform(low, high))
