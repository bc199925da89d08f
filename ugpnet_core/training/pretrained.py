"""The weights that the modules of a training start from: ``weights`` of its stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ugpnet_core.checkpoints.downloads import find_weights
from ugpnet_core.config import PriorStageConfig, TrainConfig
from ugpnet_core.errors import ConfigError, PluginError, WeightsError
from ugpnet_core.model_files.prior import check_weights, joined_options, read_prior
from ugpnet_core.model_files.prior_weights import PriorWeights
from ugpnet_core.networks.ugpnet import UGPNet
from ugpnet_core.plugins import PriorEntry, find, resolve
from ugpnet_core.training.fine_tuning import why_without
from ugpnet_core.training.own_modules import read_own_module
from ugpnet_core.training.stage import Stage
from ugpnet_core.training.stage_definition import WHOLE
from ugpnet_core.training.synthesis import SynthesisStage


def read_pretrained_prior(config: TrainConfig) -> tuple[TrainConfig, PriorWeights | None]:
    """Read ``synthesis.weights``, or ``prior.weights`` of a prior that is to be trained on: a prior
    file, a published checkpoint in a layout that the prior's reader knows, or the prior inside a
    synthesis module of ``ugpnet train``.

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
    section = config.synthesis if config.prior is None else config.prior
    path = section.weights
    stored = _stored_prior(path, prior.name, section.key) if path is not None else None
    if path is None or stored is None:
        return config, None
    check_weights(prior.name, stored, str(path))
    if config.prior is not None:
        stored = _for_training(config, config.prior, stored, path)
    options = joined_options(prior.name, prior.options, stored, path)
    component = prior.model_copy(update={"options": options})
    model = config.model.model_copy(update={"prior": component})
    return config.model_copy(update={"model": model}), stored


def _for_training(
    config: TrainConfig, settings: PriorStageConfig, stored: PriorWeights, path: Path
) -> PriorWeights:
    """The weights at the resolution that is asked for, by doubling theirs.

    Raises:
        ConfigError: layers of a discriminator are to be kept that the file does not have.
        PluginError: the prior cannot be grown.
    """
    if settings.freeze_d and stored.discriminator is None:
        raise ConfigError(
            f"{path} holds no discriminator whose layers could be kept{why_without(stored)}; set "
            "prior.freeze_d to 0, or give a file that has one."
        )
    prior = config.model.prior
    wanted, own = prior.options.get("resolution"), stored.options.get("resolution")
    while isinstance(wanted, int) and isinstance(own, int) and own < wanted:
        installed = find(PriorEntry, prior.name)
        if installed.entry.grow is None:
            raise PluginError(
                f"{path} is for {own} pixels, and prior {prior.name!r} brings nothing that makes "
                f"{wanted} of them; set the prior's resolution to {own}."
            )
        stored = resolve(installed.entry.grow)(stored)
        own = stored.options.get("resolution")
    return stored


def _stored_prior(path: Path, name: str, key: str | None) -> PriorWeights | None:
    own = read_own_module(path, SynthesisStage.name, key)
    if own is None:
        return read_prior(path, name, key)
    prior = own.config.prior
    if prior.name != name:
        raise WeightsError(
            f"{path} holds a prior {prior.name!r} and not {name!r}; give another file."
        )
    return PriorWeights(
        "this toolkit's (ugpnet train)", prior.options, own.part("generator"), own.discriminator
    )


def load_pretrained(
    model: UGPNet,
    config: TrainConfig,
    stages: Sequence[type[Stage]],
    prior: PriorWeights | None,
    say: Callable[[str], None],
) -> None:
    """Put the weights that these stages start from into the model, and say what came from where.

    Args:
        prior: what :func:`read_pretrained_prior` found.

    Raises:
        WeightsError: a file is missing or damaged, or does not fit.
        ConfigError: a stage is to keep weights that are not those of its whole module.
    """
    for stage in stages:
        path, name = stage.weights_in(config), stage.name
        if path is None:
            continue
        what = stage.load_pretrained(model, path, prior, stage.key_in(config))
        if stage.settings_in(config).iterations == 0 and what != WHOLE:
            raise ConfigError(
                f"{name}.iterations is 0 and {path} gives a {what} only; train the {name} module, "
                f"or give a file that holds the whole of it."
            )
        say(f"Stage {name} starts from the {what} in {path}.")
