"""What a stage makes of the validation set: a figure, and pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

from ugpnet_core.image import resize, write_image
from ugpnet_core.image.sheet import Row, compose
from ugpnet_core.training.data import Pair
from ugpnet_core.training.stage import Stage

PICTURED = 6


@torch.no_grad()
def validate(
    stage: Stage, network: nn.Module, validation: Sequence[Pair], check: Callable[[], None]
) -> float | None:
    """Mean PSNR in dB over the validation set, of images clamped to [0, 1]; None where the stage
    makes nothing that could be compared.

    Args:
        check: called after each batch.
    """
    network.eval()
    values = []
    for pair in validation:
        moved = stage.context.to_device(pair)
        with stage.context.accelerator.autocast():
            restored = stage.restored(network, moved)
        if restored is None:
            return None
        error = (restored.float().clamp(0, 1) - moved.clean).square().mean(dim=(1, 2, 3))
        values.append(-10 * error.clamp_min(1e-10).log10())
        check()
    return float(torch.cat(values).mean())


@torch.no_grad()
def write_samples(stage: Stage, network: nn.Module, validation: Sequence[Pair], done: int) -> None:
    """One row each: degraded, what the stage makes, clean."""
    network.eval()
    first = Pair(*(image[:PICTURED] for image in validation[0]))
    moved = stage.context.to_device(first)
    with stage.context.accelerator.autocast():
        made = stage.pictures(network, moved)
    size = list(moved.clean.shape[-2:])
    rows = [resize(moved.degraded.clamp(0, 1), size), *made, moved.clean]
    folder: Path = stage.context.config.output / "samples"
    sheet = compose([Row(list(row)) for row in rows])
    write_image(folder / f"{stage.name}-{done:06d}.png", sheet)
