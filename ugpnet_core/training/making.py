"""Make the model that is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ugpnet_core.config import TrainConfig
from ugpnet_core.errors import ConfigError
from ugpnet_core.model_files.prior_weights import PriorWeights
from ugpnet_core.networks.ugpnet import UGPNet, build_model
from ugpnet_core.training.pretrained import load_pretrained
from ugpnet_core.training.stage import Stage


def make_model(
    config: TrainConfig,
    wanted: Sequence[type[Stage]],
    pretrained: PriorWeights | None,
    say: Callable[[str], None],
) -> UGPNet:
    """Make the model as it is before any training, with the weights that its stages start from.

    Raises:
        ConfigError: data and model do not fit each other.
        PluginError: a part of the model is not installed.
        WeightsError: a file is missing or damaged, or does not fit.
    """
    torch.manual_seed(config.seed)
    model = build_model(config.model)
    if model.resolution != config.data.resolution:
        raise ConfigError(
            f"data.resolution is {config.data.resolution} and the prior's {model.resolution}; "
            "make them equal."
        )
    if config.data.crop is not None and config.data.crop % model.scale:
        raise ConfigError(
            f"data.crop is {config.data.crop}; make it a multiple of {model.scale}, by which task "
            f"{config.model.task.name!r} enlarges."
        )
    load_pretrained(model, config, wanted, pretrained, say)
    return model.to(memory_format=torch.channels_last) if config.channels_last else model
