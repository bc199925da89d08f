"""The prior file that a training leaves for use elsewhere, where it has a prior stage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ugpnet_core.config import TrainConfig
from ugpnet_core.model_files.prior import write_prior
from ugpnet_core.model_files.prior_weights import PriorWeights
from ugpnet_core.training.checkpoint import refused

State = Mapping[str, Tensor]


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
