"""The Fréchet distance between two sets of images, over random crops.

Heusel et al.: GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium,
NeurIPS 2017. The paper's FID uses Inception-v3; here the network is the caller's, and the figure
is named after it. Many crops of each image make a small set usable, and look at textures rather
than at whole faces. Crops lie at the same places in every set, so that sets of the same
photographs differ by their restoration only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ugpnet_core.seeding import rng_for

Array = npt.NDArray[np.float64]
SMALLEST_CROP, LARGEST_CROP = 32, 64
CROPS_PER_IMAGE = 32


def random_crops(
    image: Tensor, seed: int, key: str, size: int | None = None, count: int = CROPS_PER_IMAGE
) -> Tensor:
    """Cut crops at places that depend on seed, key and the image's size only.

    Args:
        image: (C, H, W).
        key: the image's name, the same in every set.
        size: side of the crops; default: half the image's, from 32 (below which the networks see
            too little) to 64. Smaller images give crops as large as they are.

    Returns:
        (count, C, min(size, H), min(size, W)).
    """
    height, width = image.shape[-2:]
    if size is None:
        size = min(max(min(height, width) // 2, SMALLEST_CROP), LARGEST_CROP)
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


@dataclass(frozen=True)
class Normal:
    """A normal distribution of feature vectors: mean (C,) and covariance (C, C), float64."""

    mean: Array
    covariance: Array

    @cached_property
    def root(self) -> Array:
        """The symmetric square root of the covariance."""
        values, vectors = np.linalg.eigh(self.covariance)
        root: Array = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
        return root

    def distance(self, other: Normal) -> float:
        """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)).

        The trace of the root is that of (S1^(1/2) S2 S1^(1/2))^(1/2), which is symmetric, so
        singular covariances need no correction.
        """
        cross = np.linalg.eigvalsh(self.root @ other.covariance @ self.root)
        root_trace = np.sqrt(cross.clip(min=0)).sum()
        return _distance(
            self.mean - other.mean,
            np.trace(self.covariance) + np.trace(other.covariance),
            root_trace,
        )


class FeatureStatistics:
    """Mean and covariance of feature vectors that come in batches, float64.

    As long as there are fewer vectors than channels, the vectors themselves are kept, which takes
    less memory, and gives distances faster.

    Args:
        keep_vectors: keep them however many there are.
    """

    def __init__(self, channels: int, keep_vectors: bool = False) -> None:
        self.channels = channels
        self.keep_vectors = keep_vectors
        self.count = 0
        self._sum = np.zeros(channels)
        self._rows: list[Array] = []
        self._products: Array | None = None

    def add(self, features: Tensor) -> None:
        """Take in (N, channels)."""
        self._take([features.detach().cpu().double().numpy()])

    def _take(self, batches: Sequence[Array]) -> None:
        for values in batches:
            self.count += len(values)
            self._sum = self._sum + values.sum(axis=0)
        self._rows.extend(batches)
        if self.count > self.channels and not self.keep_vectors:
            self._products = self._second_moment()
            self._rows = []

    def _second_moment(self) -> Array:
        """The sum of the vectors' products with themselves, (channels, channels)."""
        known = np.zeros((self.channels,) * 2) if self._products is None else self._products
        if not self._rows:
            return known
        rows = np.concatenate(self._rows)
        moment: Array = known + rows.T @ rows
        return moment

    def vectors(self) -> Array:
        """The vectors (count, channels) themselves, where they were kept."""
        return np.concatenate(self._rows) if self._rows else np.zeros((0, self.channels))

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
        if self._products is None:
            few = self._deviations()
            return np.asarray(few.T @ few)
        mean = self.mean()
        centred = self._products - self.count * np.outer(mean, mean)
        covariance: Array = centred / (self.count - 1)
        return covariance

    def normal(self) -> Normal:
        """The normal distribution with this mean and covariance."""
        return Normal(self.mean(), self.covariance())

    def distance(self, other: FeatureStatistics, known: Normal | None = None) -> float:
        """The Fréchet distance to another set.

        Args:
            known: what :meth:`normal` gives of this set, for comparisons with several others.
        """
        if self.count > 1 and other.count > 1 and self.is_small and other.is_small:
            # With S = A^T A and S' = B^T B, the trace of (S S')^(1/2) is the sum of the singular
            # values of A B^T, which has as many rows as there are vectors.
            a, b = self._deviations(), other._deviations()
            root_trace = np.linalg.svd(a @ b.T, compute_uv=False).sum()
            traces = np.square(a).sum() + np.square(b).sum()
            return _distance(self.mean() - other.mean(), traces, root_trace)
        return (known or self.normal()).distance(other.normal())

    @property
    def is_small(self) -> bool:
        """Whether there are no more vectors than channels."""
        return self._products is None

    def _deviations(self) -> Array:
        """Rows whose product with themselves is the covariance."""
        rows: Array = (np.concatenate(self._rows) - self.mean()) / np.sqrt(self.count - 1)
        return rows

    @classmethod
    def joined(cls, parts: Sequence[FeatureStatistics]) -> FeatureStatistics:
        """The statistics of all that several took in."""
        whole = cls(parts[0].channels)
        for part in parts:
            if part._products is not None:
                whole.count += part.count
                whole._sum = whole._sum + part._sum
                earlier = 0 if whole._products is None else whole._products
                whole._products = earlier + part._products
        whole._take([rows for part in parts for rows in part._rows])
        return whole

    def without(self, part: FeatureStatistics) -> FeatureStatistics:
        """The statistics of what was taken in, less what one of the joined parts took in.

        Only for sets that are not small; smaller ones are joined again.
        """
        rest = FeatureStatistics(self.channels)
        rest.count = self.count - part.count
        rest._sum = self._sum - part._sum
        rest._products = self._second_moment() - part._second_moment()
        return rest


def _distance(difference: Array, traces: float, root_trace: float) -> float:
    return max(float(difference @ difference + traces - 2 * root_trace), 0.0)
