"""The backbone and the prior that a training starts from, and the prior file that its prior stage
leaves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ugpnet_core.checkpoint_content import read_checkpoint_file
from ugpnet_core.config import TrainConfig
from ugpnet_core.downloads import find_weights
from ugpnet_core.errors import WeightsError
from ugpnet_core.model_file import is_model_file
from ugpnet_core.plugins import PriorEntry, find
from ugpnet_core.prior_file import check_weights, joined_options, read_prior, write_prior
from ugpnet_core.prior_weights import PriorWeights
from ugpnet_core.training.checkpoint import is_result, refused
from ugpnet_core.weights import fit, load_weights, unwrap

State = Mapping[str, Tensor]


def read_pretrained_prior(config: TrainConfig) -> tuple[TrainConfig, PriorWeights | None]:
    """Read ``synthesis.weights``: a prior file, or a published checkpoint in a layout that the
    prior's reader knows.

    A prior that has weights of its own (see :class:`ugpnet_core.plugins.PriorEntry`) and is not
    trained from nothing starts from those, which may be downloaded.

    Returns:
        the configuration, with those options of the prior that the file determines; and what the
        file holds, None where there is none or it is a plain state dict.

    Raises:
        WeightsError: the file is missing, damaged, or does not fit.
        ConfigError: options that are given contradict it.
    """
    prior = config.model.prior
    installed = find(PriorEntry, prior.name)
    if installed.entry.file is not None and config.prior is None and not config.synthesis.weights:
        synthesis = config.synthesis.model_copy(update={"weights": find_weights(installed)})
        config = config.model_copy(update={"synthesis": synthesis})
    path = config.synthesis.weights
    stored = read_prior(path, prior.name) if path is not None else None
    if path is None or stored is None:
        return config, None
    check_weights(prior.name, stored, str(path))
    options = joined_options(prior.name, prior.options, stored, path)
    component = prior.model_copy(update={"options": options})
    model = config.model.model_copy(update={"prior": component})
    return config.model_copy(update={"model": model}), stored


def load_pretrained_backbone(backbone: nn.Module, path: Path) -> None:
    """Put ``restoration.weights`` into the backbone: a checkpoint of such a network, or the
    backbone inside a model file or a finished restoration stage of ``ugpnet train``.

    Raises:
        WeightsError: the file is missing or damaged, holds no backbone, or does not fit.
    """
    file = read_checkpoint_file(path)
    if is_model_file(file):
        prefix = "restoration.backbone."
    elif is_result(file.metadata):
        prefix = "network.backbone."
    else:
        load_weights(backbone, path)
        return
    tensors = {key: value for key, value in unwrap(file).items() if key.startswith(prefix)}
    if not tensors:
        raise WeightsError(
            f"{path} holds no backbone; give the result of a restoration stage or a model file."
        )
    inner = {key.removeprefix(prefix): value for key, value in tensors.items()}
    fit(backbone, inner, str(path))


def load_pretrained_prior(
    generator: nn.Module, config: TrainConfig, stored: PriorWeights | None
) -> None:
    """Put ``synthesis.weights`` into the generator, where they are given.

    Args:
        stored: what :func:`read_pretrained_prior` found in the file.

    Raises:
        WeightsError: the file does not fit.
    """
    path = config.synthesis.weights
    if stored is not None:
        fit(generator, stored.generator, str(path))
    elif path is not None:
        load_weights(generator, path)


def prior_file_path(config: TrainConfig) -> Path:
    """Where the prior stage leaves its prior file."""
    return config.output / f"{config.name}-prior.safetensors"


def write_trained_prior(
    config: TrainConfig, states: Mapping[str, State], record: Mapping[str, Any]
) -> Path:
    """Write what the prior stage ended with as a prior file, for ``ugpnet sample``, for
    ``create_prior(weights=...)`` and for ``synthesis.weights`` of other trainings."""
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
