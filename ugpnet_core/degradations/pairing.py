"""What is learned from and measured on: a degraded image, and what is wanted back."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ugpnet_core.degradations.held import run_pairing, run_task
from ugpnet_core.protocols import PairingTask, Task


def pair(task: Task, image: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """x_gt and x of one image, float32 (3, H, W) in [0, 1].

    x_gt is the image itself, unless the task says otherwise
    (:class:`ugpnet_core.protocols.PairingTask`).

    Raises:
        PluginError: the task breaks its contract (:mod:`ugpnet_core.degradations.held`).
    """
    if isinstance(task, PairingTask):
        return run_pairing(task, image, rng)
    return image, run_task(task, image, rng)
