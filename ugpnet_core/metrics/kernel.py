"""KID: the kernel distance between two sets of images, which small sets do not make larger.

M. Binkowski, D. J. Sutherland, M. Arbel, A. Gretton: Demystifying MMD GANs, ICLR 2018: the unbiased
estimate of the squared maximum mean discrepancy under the kernel (x . y / d + 1)^3, of the features
that the FID compares. All of both sets are compared, where the original averages over random parts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ugpnet_core.metrics.frechet import Array


class KernelSums:
    """Sums of the kernel between the groups of two sets, from which the distance of the sets
    follows, and of the sets without one group.

    Args:
        first, second: a group of feature vectors (n, d) each; as many groups in both.
    """

    def __init__(self, first: Sequence[Array], second: Sequence[Array]) -> None:
        self.counts = [np.array([len(part) for part in parts]) for parts in (first, second)]
        self.within = [_sums(parts, parts) for parts in (first, second)]
        # A vector is not compared with itself.
        self.same = [
            np.array([_kernel_of_pairs(part, part).sum() for part in parts])
            for parts in (first, second)
        ]
        self.between = _sums(first, second)

    def distance(self, without: int | None = None) -> float | None:
        """The distance, with a group left out of both sets; None for sets of one vector."""
        kept = np.ones(len(self.between), dtype=bool)
        if without is not None:
            kept[without] = False
        counts = [int(count[kept].sum()) for count in self.counts]
        if min(counts) < 2:
            return None
        within = sum(
            (sums[np.ix_(kept, kept)].sum() - same[kept].sum()) / (count * (count - 1))
            for sums, same, count in zip(self.within, self.same, counts, strict=True)
        )
        between = self.between[np.ix_(kept, kept)].sum() / (counts[0] * counts[1])
        return float(within - 2 * between)


def _sums(first: Sequence[Array], second: Sequence[Array]) -> Array:
    return np.array([[_kernel(a, b).sum() for b in second] for a in first])


def _kernel(x: Array, y: Array) -> Array:
    kernel: Array = (x @ y.T / x.shape[1] + 1) ** 3
    return kernel


def _kernel_of_pairs(x: Array, y: Array) -> Array:
    kernel: Array = ((x * y).sum(axis=1) / max(x.shape[1], 1) + 1) ** 3
    return kernel
