"""What all stages of a training learn from and are measured on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ugpnet_core.config import TrainConfig
from ugpnet_core.degradations.paired import Paired
from ugpnet_core.errors import ConfigError
from ugpnet_core.factory import create_task_at
from ugpnet_core.protocols import Task
from ugpnet_core.training.crops import CropPhotographs, crops_listing, read_crop_photographs
from ugpnet_core.training.data import Pair, validation_batches
from ugpnet_core.training.photographs import Photographs, read_photographs
from ugpnet_core.training.rehearsal import rehearse_task


@dataclass(frozen=True)
class TrainingData:
    """The photographs to learn from, and the fixed validation set in batches.

    Attributes:
        crops: what a stage that takes crops learns from instead, where the settings say so; None
            where no such stage learns any more.
        listings: for each, a digest of the names and sizes of the files.
    """

    photographs: Photographs = field(default_factory=lambda: Photographs(()))
    validation: Sequence[Pair] = ()
    listings: Mapping[str, str] = field(default_factory=dict)
    crops: CropPhotographs | None = None


def rehearsed_task(config: TrainConfig) -> Task:
    """The model's task, which was seen to work.

    Raises:
        PluginError: it is not installed, or breaks its contract.
        ConfigError: its options are impossible.
    """
    data = config.data
    task = create_task_at(config.model.task, data.resolution)
    if not isinstance(task, Paired):
        crop = data.crop or data.resolution
        # Of images that are smaller than a crop, all is taken, but for those of data.crops.
        rehearse_task(task, data.resolution, crop if data.crops else min(crop, data.resolution))
    return task


def read_training_data(
    config: TrainConfig, say: Callable[[str], None], quiet: bool, *, with_crops: bool = True
) -> TrainingData:
    """Read all, and say what was found and what was skipped.

    Args:
        with_crops: a stage that takes crops is going to learn, and needs their photographs.

    Raises:
        ConfigError: task "paired" has no pairs.
        PluginError: the task breaks its contract.
        TrainingError: a source is missing or holds no readable image, or pairs have another scale.
        ImageError: a pair of folders does not match.
    """
    data = config.data
    alone = [one for one in (*data.train, *data.validation) if isinstance(one, Path)]
    if config.model.task.name == "paired" and alone:
        raise ConfigError(
            f"Task 'paired' takes images that come degraded, and {alone[0]} holds clean ones only; "
            "give data.train and data.validation as {clean: DIR, degraded: DIR}."
        )
    if config.model.task.name == "paired" and data.crops:
        raise ConfigError(
            "Task 'paired' takes images that come degraded, which those of data.crops do not; "
            "leave data.crops out, or choose another task."
        )
    task = rehearsed_task(config)
    listings = {"crops": crops_listing(data.crops)} if data.crops else {}
    photographs = read_photographs(
        data.train, data.resolution, scale=task.scale, cache=data.cache, quiet=quiet
    )
    validation = read_photographs(
        data.validation, data.resolution, scale=task.scale, count=data.validation_count
    )
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
    if photographs.resized_pairs:
        say(
            f"{photographs.resized_pairs} of them come degraded and were resized to "
            f"{data.resolution} pixels, which changes noise and blur; pairs of that size are "
            "better."
        )
    crops = None
    if with_crops and data.crops and data.crop is not None:
        crops = read_crop_photographs(data.crops, data.crop, quiet=quiet)
        for reason in crops.unreadable:
            say(f"Skipped: {reason}")
        say(f"{len(crops)} photographs for crops of {data.crop} pixels.")
    for what, found in (("training", photographs), ("validation", validation)):
        listings[what] = found.listing
        if found.pairs:
            # By itself, as results of older code have no names of degraded images.
            listings[f"{what} pairs"] = found.pairs
    validated = validation_batches(validation, task, config.seed)
    return TrainingData(photographs, validated, listings, crops)
