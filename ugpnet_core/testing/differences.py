"""How far two results lie apart, and how far they may."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# The same computation again, which on one machine gives the same bits; a little slack for kernels
# that split their work by the load of the machine.
SAME = 1e-6
# The same formula in another order of summation (another batch size, another memory layout).
CLOSE = 1e-4


def difference(first: Sequence[Tensor], second: Sequence[Tensor]) -> float:
    """The largest difference between tensors of two results, in parts of the largest value of
    each; infinite where shapes differ or one has values that are not finite."""
    worst = 0.0
    for a, b in zip(first, second, strict=True):
        if a.shape != b.shape:
            return float("inf")
        a, b = a.detach().double(), b.detach().double()
        if not (torch.isfinite(a).all() and torch.isfinite(b).all()):
            if torch.equal(a.nan_to_num(), b.nan_to_num()) and torch.equal(a.isnan(), b.isnan()):
                continue  # the same infinities and NaN: another check's matter
            return float("inf")
        if a.numel():
            size = max(float(b.abs().max()), 1e-12)
            worst = max(worst, float((a - b).abs().max()) / size)
    return worst


def percent(part: float) -> str:
    """A relative difference in words."""
    return "values that are not finite or another shape" if part == float("inf") else f"{part:.1e}"
