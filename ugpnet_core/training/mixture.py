"""What several restoration modules make of the same photographs, each of its own task: for a
synthesis module that several models share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset

from ugpnet_core.checkpoints.state_dict import fit
from ugpnet_core.config import TrainConfig
from ugpnet_core.degradations import rng_for
from ugpnet_core.errors import ConfigError, WeightsError
from ugpnet_core.factory import create_backbone, create_task_at
from ugpnet_core.networks.restoration import restoration_module
from ugpnet_core.protocols import Task
from ugpnet_core.training.data import MixedPair, Pairs
from ugpnet_core.training.own_modules import read_own_module
from ugpnet_core.training.rehearsal import rehearse_task


@dataclass(frozen=True)
class Restoration:
    """A frozen restoration module, and the task that it was trained for."""

    module: nn.Module
    task: Task


def read_restorations(config: TrainConfig) -> list[Restoration]:
    """Read ``synthesis.restorations``, for images of ``data.resolution``.

    Raises:
        WeightsError: a file is missing or damaged, or holds no restoration module.
        ConfigError: a module cannot be used with these data.
        PluginError: a backbone or task is not installed.
    """
    layout = torch.channels_last if config.channels_last else torch.contiguous_format
    found = [read_restoration(one, config.data.resolution) for one in config.synthesis.restorations]
    for one in found:
        one.module.requires_grad_(False).eval().to(memory_format=layout)
    return found


def read_restoration(path: Path, resolution: int) -> Restoration:
    """Read the restoration module of a model file or of a finished restoration stage; errors as
    :func:`read_restorations`."""
    own = read_own_module(path, "restoration")
    if own is None:
        raise WeightsError(
            f"{path} holds no restoration module; give a model file, or the "
            "restoration.safetensors of another training."
        )
    settings = own.config
    task = create_task_at(settings.task, resolution)
    if settings.task.name == "paired" or resolution % task.scale:
        raise ConfigError(
            f"{path} is for task {settings.task.name!r} (scale {task.scale}), which cannot degrade "
            f"photographs of {resolution} pixels; leave it out of synthesis.restorations."
        )
    rehearse_task(task, resolution)
    backbone = create_backbone(settings.backbone.name, **settings.backbone.options)
    module = restoration_module(
        backbone, settings.merging_channels, task.scale // backbone.scale, settings.adapter
    )
    fit(cast(nn.Module, module), own.tensors, str(path))
    return Restoration(module, task)


class MixedPairs(Dataset[MixedPair]):
    """The samples of a stage, each degraded by one of several tasks: of as many samples in a row as
    there are tasks each has another one, in an order drawn from (seed, stage, number of the row).

    Where a batch is a multiple of the tasks, all have the same part of it, so that what each of
    their networks gets has one size, for which a GPU's kernels are chosen once.

    Args:
        pairs: the same samples as each task degrades them.
    """

    def __init__(self, pairs: Sequence[Pairs]) -> None:
        self.pairs = pairs

    def __getitem__(self, index: int) -> MixedPair:
        """Sample ``index``; a smaller degraded image lies at the upper left, in zeros."""
        first, (row, place) = self.pairs[0], divmod(index, len(self.pairs))
        order = rng_for(first.seed, first.stage, "restoration", row).permutation(len(self.pairs))
        source = int(order[place])
        clean, degraded = self.pairs[source][index]
        missing = clean.shape[-1] - degraded.shape[-1]
        return MixedPair(clean, F.pad(degraded, (0, missing, 0, missing)), torch.tensor(source))


def regress(restorations: Sequence[Restoration], pair: MixedPair) -> Tensor:
    """x_reg (N, 3, r, r) of each sample by the module of its task."""
    made = torch.empty_like(pair.clean)
    for number, one in enumerate(restorations):
        (where,) = (pair.source == number).nonzero(as_tuple=True)
        if len(where):
            side = pair.clean.shape[-1] // one.task.scale
            degraded = pair.degraded[where, :, :side, :side]
            made[where] = one.module(degraded).image.float()
    return made
