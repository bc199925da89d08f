"""The Fréchet distance between two sets of images, over random crops.

Heusel et al.: GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium,
NeurIPS 2017. The paper's FID uses Inception-v3; here the network is the caller's, and the figure
is named after it. Many crops of each image make a small set usable, and look at textures rather
than at whole faces. Crops lie at the same places in every set, so that sets of the same
photographs differ by their restoration only.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ugpnet_core.degradations.seeding import rng_for

Array = npt.NDArray[np.float64]
CROP_SIZE = 64
CROPS_PER_IMAGE = 32


def random_crops(
    image: Tensor, seed: int, key: str, size: int = CROP_SIZE, count: int = CROPS_PER_IMAGE
) -> Tensor:
    """Cut crops at places that depend on seed, key and the image's size only.

    Args:
        image: (C, H, W).
        key: the image's name, the same in every set.
        size: side of the crops; smaller images give crops as large as they are.

    Returns:
        (count, C, min(size, H), min(size, W)).
    """
    height, width = image.shape[-2:]
    high, wide = min(size, height), min(size, width)
    rng = rng_for(seed, "crops", key)
    tops = rng.integers(height - high + 1, size=count).tolist()
    lefts = rng.integers(width - wide + 1, size=count).tolist()
    return torch.stack(
        [
            image[:, top : top + high, left : left + wide]
            for top, left in zip(tops, lefts, strict=True)
        ]
    )


class FeatureStatistics:
    """Mean and covariance of feature vectors that come in batches, float64."""

    def __init__(self, channels: int) -> None:
        self.count = 0
        self._sum = np.zeros(channels)
        self._products = np.zeros((channels, channels))

    def add(self, features: Tensor) -> None:
        """Take in (N, channels)."""
        values = features.detach().cpu().double().numpy()
        self.count += len(values)
        self._sum += values.sum(axis=0)
        self._products += values.T @ values

    def mean(self) -> Array:
        """The mean (channels,) of everything taken in."""
        mean: Array = self._sum / self.count
        return mean

    def covariance(self) -> Array:
        """The unbiased covariance (channels, channels).

        Raises:
            ValueError: fewer than two vectors were taken in.
        """
        if self.count < 2:
            raise ValueError(f"a covariance needs two vectors or more, not {self.count}")
        mean = self.mean()
        centred = self._products - self.count * np.outer(mean, mean)
        covariance: Array = centred / (self.count - 1)
        return covariance

    def distance(self, other: FeatureStatistics) -> float:
        """The Fréchet distance to another set."""
        return frechet_distance(self.mean(), self.covariance(), other.mean(), other.covariance())


def frechet_distance(mean1: Array, covariance1: Array, mean2: Array, covariance2: Array) -> float:
    """|mean1 - mean2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), between two normal distributions.

    The trace of the root is that of (S1^(1/2) S2 S1^(1/2))^(1/2), which is symmetric, so singular
    covariances need no correction.
    """
    values, vectors = np.linalg.eigh(covariance1)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    cross = np.linalg.eigvalsh(root @ covariance2 @ root)
    trace = np.trace(covariance1) + np.trace(covariance2) - 2 * np.sqrt(cross.clip(min=0)).sum()
    difference = mean1 - mean2
    return max(float(difference @ difference + trace), 0.0)
