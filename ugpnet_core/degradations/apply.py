"""Degrade images with a task by name: what ``ug.degrade`` and ``ugpnet degrade`` do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ugpnet_core.degradations.held import run_task
from ugpnet_core.errors import SizeError
from ugpnet_core.factory import create_task
from ugpnet_core.seeding import rng_for


def degrade(
    image: Tensor,
    task: str = "denoise",
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
) -> Tensor:
    """Degrade one image or a batch, reproducibly.

    Args:
        image: The image or batch, RGB (3, H, W) or (N, 3, H, W) in [0, 1]; values outside are
            clipped.
        task: A task that ``ugpnet list-tasks`` shows.
        seed: A number that fixes the result. The images of a batch get noise of their own:
            image i is degraded with ``rng_for(seed, i)``, a single one with ``rng_for(seed, 0)``.
        options: Settings that differ from the task's defaults.

    Returns:
        The degraded image or batch, float32 on the CPU, in [0, 1], with as many dimensions as
        ``image``; its sides are divided by the task's scale and rounded up.

    Raises:
        SizeError: The tensor is no image or batch of images.
        PluginError: There is no such task, or it breaks its contract.
        ConfigError: An option is unknown or impossible.

    Examples:
        >>> import torch
        >>> import ugpnet_core as ug
        >>> image = torch.full((3, 16, 24), 0.5)
        >>> noisy = ug.degrade(image, "denoise", seed=1)
        >>> torch.equal(noisy, ug.degrade(image, "denoise", seed=1))
        True
        >>> ug.degrade(image, "sr8").shape
        torch.Size([3, 2, 3])
    """
    if image.dim() not in {3, 4} or image.shape[-3] != 3 or not image.numel():
        raise SizeError(
            f"degrade takes RGB images (3, H, W) or (N, 3, H, W), not {tuple(image.shape)}."
        )
    operator = create_task(task, **dict(options or {}))
    clean = image.detach().to("cpu", torch.float32).clamp(0, 1)
    if clean.dim() == 3:
        return run_task(operator, clean, rng_for(seed, 0))
    made = [run_task(operator, one, rng_for(seed, i)) for i, one in enumerate(clean)]
    return torch.stack(made)
