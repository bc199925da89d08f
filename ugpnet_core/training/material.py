"""What all stages of a training learn from and are measured on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ugpnet_core.config import TrainConfig
from ugpnet_core.factory import create_task_at
from ugpnet_core.training.data import Pair, validation_batches
from ugpnet_core.training.photographs import Photographs, read_photographs


@dataclass(frozen=True)
class Material:
    """The photographs to learn from, and the fixed validation set in batches."""

    photographs: Photographs
    validation: Sequence[Pair]


def read_material(config: TrainConfig, say: Callable[[str], None], quiet: bool) -> Material:
    """Read both, and say what was found and what was skipped.

    Raises:
        TrainingError: a folder is missing or holds no readable image.
    """
    data = config.data
    photographs = read_photographs(data.train, data.resolution, cache=data.cache, quiet=quiet)
    validation = read_photographs(data.validation, data.resolution, count=data.validation_count)
    for reason in dict.fromkeys([*photographs.unreadable, *validation.unreadable]):
        say(f"Skipped: {reason}")
    say(
        f"{len(photographs)} photographs to learn from, {len(photographs.unreadable)} unreadable; "
        f"{len(validation)} to validate on."
    )
    if photographs.enlarged:
        say(
            f"{photographs.enlarged} of them are smaller than {data.resolution} pixels and were "
            "enlarged, which teaches blur; larger photographs are better."
        )
    task = create_task_at(config.model.task, data.resolution)
    return Material(photographs, validation_batches(validation, task, config.seed))
