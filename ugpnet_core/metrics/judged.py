"""What a figure of one photograph is computed from, and what computes it."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from ugpnet_core.metrics.metric import Metric

Need = Literal["clean", "regression", "task"]


class Judged(NamedTuple):
    """The images of one photograph, RGB in [0, 1], 8-bit levels, on the CPU.

    Attributes:
        images: what M methods made of it, (M, 3, r, r).
        degraded: x, (3, r / scale, r / scale).
        clean: x_gt, (1, 3, r, r); None where nobody knows it.
        regression: what stands for the posterior mean, (1, 3, r, r); None where there is none.
        degrade: the task, which draws for an image what it drew for this photograph; None where
            the degradation is not known.
    """

    images: Tensor
    degraded: Tensor
    clean: Tensor | None = None
    regression: Tensor | None = None
    degrade: Callable[[Tensor], Tensor] | None = None


@dataclass(frozen=True)
class ImageMetric:
    """A column with a figure for every image.

    Attributes:
        metric: the column.
        measure: the figure of each of the M images; not a number where there is none.
        words: how it is computed, for the protocol.
        needs: what of :class:`Judged` has to be known; without, the photograph has no figure.
        identity: stands for the weights that decide it.
    """

    metric: Metric
    measure: Callable[[Judged], Sequence[float]]
    words: str = ""
    needs: frozenset[Need] = frozenset()
    identity: str = ""

    def can_measure(self, judged: Judged) -> bool:
        """Whether everything that it needs is known."""
        known = {
            "clean": judged.clean is not None,
            "regression": judged.regression is not None,
            "task": judged.degrade is not None,
        }
        return all(known[need] for need in self.needs)


def weights_identity(network: nn.Module) -> str:
    """A name for the numbers in a network, and for what else its state dict holds.

    Raises:
        Exception: the network cannot say what its state is, or that cannot be pickled.
    """
    found = hashlib.sha256()
    for key, value in sorted(network.state_dict().items()):
        if isinstance(value, Tensor):
            found.update(f"{key} {tuple(value.shape)} {value.dtype}".encode())
            levels = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            found.update(levels.numpy().tobytes())
        else:  # the extra state of a layer
            found.update(f"{key} ".encode() + pickle.dumps(value))
    return found.hexdigest()
