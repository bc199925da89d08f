"""Degrading results again as real photographs may have been degraded: by a task that is known, with
draws that nobody knows."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ugpnet_core.config import TaskConfig
from ugpnet_core.degradations.pairing import pair
from ugpnet_core.errors import ConfigError
from ugpnet_core.factory import create_task_at
from ugpnet_core.plugins import TaskEntry, find
from ugpnet_core.protocols import Task
from ugpnet_core.seeding import rng_for

DRAWS = 8
"""Whose mean is nearly without noise."""


def repeated(task: Task, seed: int, name: str) -> Callable[[Tensor], Tensor]:
    """The task nearly without its noise: the mean of several draws for an image of that name."""

    def again(image: Tensor) -> Tensor:
        draws = [pair(task, image, rng_for(seed, name, one))[1] for one in range(DRAWS)]
        return torch.stack(draws).mean(0)

    return again


def repeatable_scale(config: TaskConfig, resolution: int, scale: int | None) -> int:
    """How many times smaller a task makes an image, if it can be repeated on a result.

    Args:
        scale: what is expected; None: nothing is.

    Raises:
        PluginError: there is no such task.
        ConfigError: its options cannot be right, it has another scale, or it draws more than noise.
    """
    task = create_task_at(config, resolution)
    if scale not in (None, task.scale):
        raise ConfigError(
            f"Task {config.name!r} makes images {task.scale} times smaller and scale is {scale}; "
            "leave scale out."
        )
    if not find(TaskEntry, config.name).entry.repeatable and _draws(task, resolution):
        raise ConfigError(
            f"Task {config.name!r} draws kernels or strengths, and which they were for a real "
            "photograph nobody knows; give a task that draws no more than noise (sr8, denoise), "
            "or leave it out."
        )
    return task.scale


def _draws(task: Task, resolution: int) -> bool:
    image = torch.linspace(0, 1, 3 * resolution**2).reshape(3, resolution, resolution)
    first, second = (pair(task, image, rng_for(0, "real", one))[1] for one in range(2))
    return not torch.equal(first, second)
