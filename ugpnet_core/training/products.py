"""What a training leaves for use elsewhere: the model file, and the prior file of a prior stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ugpnet_core.config import TrainConfig
from ugpnet_core.losses.perceptual_weights import describe
from ugpnet_core.model_files.model import save_model
from ugpnet_core.model_files.prior import write_prior
from ugpnet_core.model_files.prior_weights import PriorWeights
from ugpnet_core.training.checkpoint import read_result, refused, result_path
from ugpnet_core.training.context import TrainingContext
from ugpnet_core.training.plan import planned

State = Mapping[str, Tensor]
DTYPES = {name: getattr(torch, name) for name in ("float32", "float16", "bfloat16")}


def write_model(context: TrainingContext, say: Callable[[str], None]) -> Path:
    """Write the finished model, with the record of how it was trained.

    Raises:
        TrainingError: the disk refuses.
    """
    config = context.config
    names = describe(config.perceptual)
    record = {
        "name": config.name,
        "settings": config.model_dump(mode="json", exclude={"output", "data", "perceptual"}),
        "data": config.data.model_dump(mode="json", exclude={"train", "validation"}),
        "perceptual": {"lpips": names.lpips, "contextual": names.contextual},
        "stages": {
            name: read_result(result_path(config.output, name))[2] for name in planned(config)
        },
        "versions": {name: version(name) for name in ("ugpnet-core", "torch", "accelerate")},
    }
    path = config.output / f"{config.name}.safetensors"
    if context.accelerator.is_main_process:
        try:
            save_model(
                context.model,
                path,
                dtype=DTYPES[config.model_dtype],
                record=record,
                licence=config.licence,
            )
        except OSError as error:
            raise refused(path, error) from error
        say(f"The model is finished: {path}")
    return path


def prior_file_path(config: TrainConfig) -> Path:
    """Where the prior stage leaves its prior file."""
    return config.output / f"{config.name}-prior.safetensors"


def write_trained_prior(
    config: TrainConfig, states: Mapping[str, State], record: Mapping[str, Any]
) -> Path:
    """Write what the prior stage ended with as a prior file, for ``ugpnet sample``, for
    ``create_prior(weights=...)`` and for ``synthesis.weights`` of other trainings.

    Raises:
        TrainingError: the disk refuses.
    """
    weights = PriorWeights(
        layout="this toolkit's (ugpnet train)",
        options=config.model.prior.options,
        generator=states["network"],
        discriminator=states["discriminator"],
        facts={"name": config.name, "trained": dict(record)},
    )
    path = prior_file_path(config)
    try:
        write_prior(path, config.model.prior.name, weights, config.licence)
    except OSError as error:
        raise refused(path, error) from error
    return path
