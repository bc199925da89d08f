"""The weights that the modules of a training start from: ``weights`` of its stages."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import cast

from torch import nn

from ugpnet_core.checkpoints.downloads import find_weights
from ugpnet_core.checkpoints.state_dict import check_fit, fit, load_weights
from ugpnet_core.config import TrainConfig
from ugpnet_core.errors import ConfigError, WeightsError
from ugpnet_core.model_files.prior import check_weights, joined_options, read_prior
from ugpnet_core.model_files.prior_weights import PriorWeights
from ugpnet_core.networks.restoration import DirectAdapter
from ugpnet_core.networks.ugpnet import UGPNet
from ugpnet_core.plugins import PriorEntry, find
from ugpnet_core.training.own_modules import read_own_module

WHOLE = "whole module"


def read_pretrained_prior(config: TrainConfig) -> tuple[TrainConfig, PriorWeights | None]:
    """Read ``synthesis.weights``: a prior file, a published checkpoint in a layout that the prior's
    reader knows, or the prior inside a synthesis module of ``ugpnet train``.

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
    stored = _stored_prior(path, prior.name) if path is not None else None
    if path is None or stored is None:
        return config, None
    check_weights(prior.name, stored, str(path))
    options = joined_options(prior.name, prior.options, stored, path)
    component = prior.model_copy(update={"options": options})
    model = config.model.model_copy(update={"prior": component})
    return config.model_copy(update={"model": model}), stored


def _stored_prior(path: Path, name: str) -> PriorWeights | None:
    own = read_own_module(path, "synthesis")
    if own is None:
        return read_prior(path, name)
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
    stages: Collection[str],
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
    for name, load in (
        ("restoration", load_restoration),
        ("synthesis", partial(load_synthesis, prior=prior)),
        ("fusion", load_fusion),
    ):
        settings = getattr(config, name)
        path: Path | None = settings.weights
        if name not in stages or path is None:
            continue
        what = load(model, path)
        if settings.iterations == 0 and what != WHOLE:
            raise ConfigError(
                f"{name}.iterations is 0 and {path} gives a {what} only; train the {name} module, "
                f"or give a file that holds the whole of it."
            )
        say(f"Stage {name} starts from the {what} in {path}.")


def keeps_weights(stage: str, model: UGPNet, config: TrainConfig) -> bool:
    """Whether a stage is finished before it starts: it has weights and no iterations, or it is the
    restoration stage of a direct backbone with weights, which is used without any modification
    (paper 3.4)."""
    settings = getattr(config, stage)
    if getattr(settings, "weights", None) is None:
        return False
    direct = stage == "restoration" and isinstance(model.restoration, DirectAdapter)
    return direct or settings.iterations == 0


def load_restoration(model: UGPNet, path: Path) -> str:
    """Put ``restoration.weights`` into the restoration module: as a whole from a model file or a
    finished restoration stage of a model with the same adapter; where that does not fit, the
    backbone inside; or the backbone from a checkpoint of such a network.

    Returns:
        what was taken, "whole module" or "backbone".

    Raises:
        WeightsError: the file is missing or damaged, holds no backbone, or does not fit.
    """
    backbone = cast(nn.Module, model.restoration.backbone)
    own = read_own_module(path, "restoration")
    if own is None:
        load_weights(backbone, path)
        return WHOLE if isinstance(model.restoration, DirectAdapter) else "backbone"
    # The kinds of adapters have the same weights and do not mean the same by them.
    if own.config.adapter == model.config.adapter:
        try:
            check_fit(model.restoration, own.tensors, str(path))
        except WeightsError:
            pass
        else:
            fit(model.restoration, own.tensors, str(path))
            return WHOLE
    fit(backbone, own.part("backbone"), str(path))
    return "backbone"


def load_synthesis(model: UGPNet, path: Path, prior: PriorWeights | None) -> str:
    """Put ``synthesis.weights`` into the synthesis module: encoder, map2style and generator from a
    model file or a finished synthesis stage, or the generator from any other file of a prior.

    Returns:
        what was taken, "whole module" or "prior".

    Raises:
        WeightsError: the file does not fit.
    """
    own = read_own_module(path, "synthesis")
    if own is not None:
        fit(model.synthesis, own.tensors, str(path))
        return WHOLE
    generator = cast(nn.Module, model.synthesis.generator)
    if prior is not None:
        fit(generator, prior.generator, str(path))
    else:
        load_weights(generator, path)
    return "prior"


def load_fusion(model: UGPNet, path: Path) -> str:
    """Put ``fusion.weights`` into the fusion module, from a model file or a finished fusion stage.

    Returns:
        what was taken: "whole module".

    Raises:
        WeightsError: the file is missing or damaged, holds no fusion module, or does not fit.
    """
    own = read_own_module(path, "fusion")
    if own is None:
        raise WeightsError(
            f"{path} holds no fusion module; give a model file, or the fusion.safetensors of "
            "another training."
        )
    for key in ("fusion_inputs", "fusion_output"):
        theirs, ours = getattr(own.config, key), getattr(model.config, key)
        if theirs != ours:  # the weights may fit all the same, and mean something else
            raise WeightsError(
                f"{path} was trained with model.{key} {theirs!r} and this model has {ours!r}; make "
                "them equal, or start without fusion.weights."
            )
    fit(model.fusion, own.tensors, str(path))
    return WHOLE
