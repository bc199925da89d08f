"""Whatever holds a prior, opened: a name, a prior file, a checkpoint, a stage's result, a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from ugpnet_core.checkpoints.choosing import refuse_key
from ugpnet_core.checkpoints.downloads import find_weights
from ugpnet_core.checkpoints.file import Checkpoint, read_checkpoint_file
from ugpnet_core.checkpoints.state_dict import fit
from ugpnet_core.errors import ConfigError, WeightsError
from ugpnet_core.factory import make_prior
from ugpnet_core.model_files.finding import find_model_file
from ugpnet_core.model_files.model import load_model, read_card
from ugpnet_core.model_files.prior import create_prior, recognise_prior
from ugpnet_core.model_files.stage_results import StageResult, read_stage_result
from ugpnet_core.networks.synthesis import SynthesisModule
from ugpnet_core.plugins import PriorEntry, find, registry
from ugpnet_core.protocols import Prior

# The stages whose result holds a generator.
WITH_PRIOR = ("prior", "synthesis")


@dataclass(frozen=True)
class OpenedPrior:
    """A prior with its weights, in evaluation mode on the CPU.

    Attributes:
        prior: the generator G.
        name: what to call it in titles.
        synthesis: encoder and generator, where they were trained together.
        file: what the weights were read from, if a file.
        remarks: sentences that someone who judges the prior must know.
    """

    prior: Prior
    name: str
    synthesis: SynthesisModule | None = None
    file: Path | None = None
    remarks: tuple[str, ...] = ()


def open_prior(
    source: str | PathLike[str],
    weights: str | PathLike[str] | None = None,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    key: str | None = None,
) -> OpenedPrior:
    """Open what a person calls a prior.

    Args:
        source: the name of a prior or a model, a prior file, a checkpoint in a layout that a
            prior's reader knows, the result of a prior or synthesis stage, or a model file. A
            name wins over a file.
        weights: for the name of a prior: a file with its weights.
        options: for a prior, as :func:`ugpnet_core.create_prior` takes them; a file may determine
            them all.
        seed: for the values of a network without weights.
        key: which generator of a checkpoint that holds several, as for
            :func:`ugpnet_core.create_prior`.

    Raises:
        PluginError: no such name, or a plugin is missing.
        ConfigError: weights or options where none can be, or that cannot be right.
        WeightsError: a file is missing, damaged or holds no prior.
    """
    text, given = str(source), dict(options or {})
    if text in registry().priors:
        return _named(text, weights, given, seed, key)
    if weights is not None:
        raise ConfigError(
            f"Weights are given to a prior by name, and {text!r} is none; see ugpnet list-priors, "
            "or give the file instead of the name."
        )
    if text in registry().models:
        return _of_model(text, find_model_file(text), given, key)
    path = Path(text)
    if not (path.suffix or len(path.parts) > 1 or path.exists()):
        find(PriorEntry, text)  # which says what there is instead
    return _of_file(path, given, key)


def _named(
    name: str,
    weights: str | PathLike[str] | None,
    options: dict[str, Any],
    seed: int,
    key: str | None,
) -> OpenedPrior:
    if weights is not None:
        file = read_checkpoint_file(weights)
        result = read_stage_result(file)
        if result is None:
            prior = create_prior(name, weights=weights, key=key, **options)
            return OpenedPrior(_ready(prior), name, file=file.path)
        theirs = result.config.prior.name
        if result.stage in WITH_PRIOR and theirs != name:
            raise WeightsError(
                f"{weights} holds a prior {theirs!r} and not {name!r}; give another file."
            )
        refuse_key(file.path, key)
        return _of_result(file, result, options)
    refuse_key(f"Prior {name!r}", key)
    installed = find(PriorEntry, name)
    if installed.entry.file is not None:
        path = find_weights(installed)
        prior = create_prior(name, weights=path, **options)
        return OpenedPrior(_ready(prior), name, file=path)
    with _seeded(seed):
        prior = make_prior(name, **options)
    remark = f"Prior {name!r} has no weights here, so this is an untrained network; give its file."
    return OpenedPrior(_ready(prior), name, remarks=(remark,))


def _of_file(path: Path, options: dict[str, Any], key: str | None) -> OpenedPrior:
    file = read_checkpoint_file(path)
    result = read_stage_result(file)
    if result is not None:
        refuse_key(file.path, key)
        return _of_result(file, result, options)
    if not file.metadata.get("format", "").startswith("ugpnet-model"):
        found = recognise_prior([file], key=key)
        if found is not None:
            prior = create_prior(found[0], weights=path, key=key, **options)
            return OpenedPrior(_ready(prior), path.stem, file=path)
    # A model file, the published UGPNet, or what load_model says of a file that is neither.
    return _of_model(str(path), path, options, key)


def _of_model(source: str, path: Path, options: dict[str, Any], key: str | None) -> OpenedPrior:
    if options:
        raise ConfigError(f"{source} determines the options of its prior; leave yours out.")
    model = load_model(source, key=key)
    model.requires_grad_(False)
    record: Mapping[str, Any] = {}
    with suppress(WeightsError):  # the published UGPNet has no card
        record = read_card(path).record
    return OpenedPrior(
        model.synthesis.generator,
        Path(source).stem,
        model.synthesis,
        path,
        (_remark_on_model(source, record),),
    )


def _remark_on_model(source: str, record: Mapping[str, Any]) -> str:
    """What became of the layers that a model's own training does not use."""
    settings = record.get("settings") or {}
    pretrained = (settings.get("synthesis") or {}).get("weights") is not None
    if not record or pretrained or "prior" in record.get("stages", {}):
        return (
            f"The generator of {source} was trained on after its prior, driven by an encoder; "
            "what it makes of random codes shows what is left of the prior."
        )
    return (
        f"The generator of {source} was never trained on random codes (no stage 'prior', no "
        "pretrained weights), so what it makes of them means nothing; use ugpnet invert instead."
    )


def _of_result(file: Checkpoint, result: StageResult, options: dict[str, Any]) -> OpenedPrior:
    if options:
        raise ConfigError(f"{file.path} determines the options of its prior; leave yours out.")
    if result.stage not in WITH_PRIOR:
        raise WeightsError(
            f"{file.path} is the result of the {result.stage} stage, which holds no prior; give "
            "that of the stage prior or synthesis, or the model file."
        )
    config, component = result.config, result.config.prior
    state = {
        key: value.float() if value.is_floating_point() else value
        for key, value in result.networks.get("network", {}).items()
    }
    prior = make_prior(component.name, **component.options)
    if result.stage == "prior":
        fit(cast(nn.Module, prior), state, str(file.path))
        return OpenedPrior(_ready(prior), component.name, file=file.path)
    synthesis = SynthesisModule(
        prior, config.encoder_channels, config.map2style_channels, config.encoder_norm
    )
    fit(synthesis, state, str(file.path))
    synthesis.eval().requires_grad_(False)
    remark = (
        f"{file.path} is a synthesis stage, which drives the generator by an encoder; what it "
        "makes of random codes shows what is left of the prior."
    )
    return OpenedPrior(prior, component.name, synthesis, file.path, (remark,))


def _ready(prior: Prior) -> Prior:
    network = cast(nn.Module, prior)
    network.eval().requires_grad_(False)
    return prior


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Draw from a seed, and leave the global state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
