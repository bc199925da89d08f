"""The model file that a finished training leaves for use elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch

from ugpnet_core.losses.perceptual_weights import describe
from ugpnet_core.model_files.model import save_model
from ugpnet_core.training.checkpoint import read_result, refused, result_path
from ugpnet_core.training.context import TrainingContext
from ugpnet_core.training.plan import planned

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
            stage.name: read_result(result_path(config.output, stage.name))[2]
            for stage in planned(config)
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
                synthesis_of=config.shared_synthesis,
            )
        except OSError as error:
            raise refused(path, error) from error
        say(f"The model is finished: {path}")
    return path
