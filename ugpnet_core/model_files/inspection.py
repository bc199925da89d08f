"""Say what a weights file is, and what it can be used for, without running anything from it."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

import torch

from ugpnet_core.checkpoints.backbones import (
    from_layers,
)
from ugpnet_core.checkpoints.choosing import at_key
from ugpnet_core.checkpoints.file import NCNN, Checkpoint, read_checkpoint_file
from ugpnet_core.checkpoints.ncnn import count_of
from ugpnet_core.checkpoints.state_dict import check_finite
from ugpnet_core.errors import SeveralNetworksError, UGPNetError, WeightsError
from ugpnet_core.factory import make_prior
from ugpnet_core.model_files import uses
from ugpnet_core.model_files.backbone_facts import backbone_facts
from ugpnet_core.model_files.card import card_of, is_model_file
from ugpnet_core.model_files.prior import check_weights, is_prior_file, recognise_prior
from ugpnet_core.model_files.prior_weights import PriorWeights
from ugpnet_core.model_files.published import from_published, gather, module_in, parts_of
from ugpnet_core.model_files.published.parts import MODULES, PARTS, WORDS
from ugpnet_core.model_files.stage_results import read_stage_result
from ugpnet_core.networks.ugpnet import build_model

Facts = dict[str, Any]


def inspect(path: str | os.PathLike[str], key: str | None = None) -> Facts:
    """Describe a file by facts that JSON can hold, in the order of reading.

    Always there: ``file``, ``bytes``, ``container`` (safetensors, PyTorch archive or pickle),
    ``kind``, ``layout``, ``use`` (what it can be used for, each with the command). ``problem`` is
    there where the file is recognised and cannot be used.

    Args:
        key: which network of a file that holds several, see
            :func:`ugpnet_core.checkpoints.state_dict.read_tensors`.

    Raises:
        WeightsError: the file is missing, damaged, no weights file or not to be trusted; or it
            holds several networks, and the message names them.
    """
    whole = read_checkpoint_file(path)
    (file,) = at_key([whole], key)
    facts: Facts = {"file": str(file.path), "bytes": file.size, "container": file.container}
    if is_model_file(file):
        return facts | _model(file)
    if stage := _stage(file):
        return facts | stage
    if not is_prior_file(file) and parts_of(file):
        return facts | _published(file, key)
    if file.container == NCNN:
        return facts | _layers(file)
    prior = _prior(whole, key)
    if prior is not None and "generator" not in prior.get("holds", ()):
        prior = _backbone_beside(file, key, prior)
    return facts | (prior or backbone_facts(file, key))


def _layers(file: Checkpoint) -> Facts:
    """A network of ncnn."""
    facts: Facts = {"kind": "weights", "layout": NCNN, "numbers": count_of(file.content), "use": []}
    found = from_layers(file.content)
    if found is None:
        return facts
    name, options, _ = found
    command = uses.words("ugpnet", "convert", file.path, f"{name}.safetensors")
    return facts | {
        "kind": "backbone",
        "backbone": {"name": name, "options": options},
        "use": [f"as a checkpoint to start trainings from: {command}"],
    }


def _stage(file: Checkpoint) -> Facts | None:
    result = read_stage_result(file)
    if result is None or result.stage == "prior":  # that is read as a prior
        return None
    settings = result.config.model_dump(exclude_unset=True)
    return {
        "kind": "result of a stage",
        "layout": "ugpnet",
        "stage": result.stage,
        "numbers": _numbers(file.content),
        "record": _short(result.record),
        "use": uses.module_uses(file.path, None, result.stage, settings),
    }


def _model(file: Checkpoint) -> Facts:
    card = card_of(file)
    config = card.config
    facts: Facts = {
        "kind": "model file",
        "layout": "ugpnet",
        "backbone": config.backbone.model_dump(),
        "prior": config.prior.model_dump(),
        "task": config.task.name,
        "resolution": config.prior.options.get("resolution"),
        "numbers": _numbers(file.content),
        "shared": {name: one.model or one.file for name, one in card.shared.items()},
        "plugins": dict(card.plugins),
        "record": _short(card.record),
        "licence": card.licence,
        "use": uses.model_uses(file.path),
    }
    try:
        with torch.device("meta"):
            model = build_model(config)
    except UGPNetError as error:
        return facts | {"problem": str(error), "use": []}
    return facts | {
        "resolution": model.resolution,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }


def _published(file: Checkpoint, key: str | None) -> Facts:
    found = parts_of(file)
    facts: Facts = {
        "kind": "published UGPNet",
        "layout": "published UGPNet (resmodule, synmodule, fusmodule)",
        "numbers": _numbers(found),
    }
    missing = [part for part in PARTS if not any(key.startswith(f"{part}.") for key in found)]
    if missing:
        there = [part for part in PARTS if part not in missing]
        return facts | {
            "kind": "part of a published UGPNet",
            "parts": [WORDS[part] for part in there],
            "use": [
                f"with the other parts, as a model: {uses.together(file.path, key, missing)}",
                *(start for part in there for start in _start(file, key, MODULES[part])),
            ],
        }
    try:
        config, _ = from_published(gather([file]) or {})
        with torch.device("meta"):
            model = build_model(config)
    except UGPNetError as error:
        return facts | {"problem": str(error), "use": []}
    return facts | {
        "backbone": config.backbone.model_dump(),
        "prior": config.prior.model_dump(),
        "task": config.task.name,
        "resolution": model.resolution,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "use": uses.published_uses(file.path, key),
    }


def _start(file: Checkpoint, key: str | None, module: str) -> list[str]:
    """The command that trains on from one module of a published UGPNet, where that is whole."""
    try:
        found = module_in(file, module)
    except UGPNetError:
        return []
    if found is None:
        return []
    return uses.module_uses(file.path, key, module, found[0].model_dump(exclude_unset=True))


def _prior(file: Checkpoint, key: str | None) -> Facts | None:
    try:
        found = recognise_prior([file], key=key)
    except WeightsError as error:
        if is_prior_file(file):
            raise
        return {"kind": "prior", "layout": "", "problem": str(error), "use": []}
    if found is None:
        return None
    name, weights = found
    own = is_prior_file(file)
    networks = {"generator": weights.generator, "discriminator": weights.discriminator}
    facts: Facts = {
        "kind": "prior file" if own else "prior",
        "layout": weights.layout,
        "prior": name,
        "resolution": weights.options.get("resolution"),
        **weights.facts,
        "holds": [network for network, state in networks.items() if state],
        "options": dict(weights.options),
        "licence": file.metadata.get("licence", ""),
    }
    if not weights.generator:
        chosen = ["--key", key] if key else []
        command = uses.words(
            "ugpnet", "convert", "GENERATOR", file.path, "prior.safetensors", *chosen
        )
        return facts | {"use": [f"with its generator, as a prior: {command}"]}
    try:
        counts = check_weights(name, weights, str(file.path))
        check_finite(weights.generator, str(file.path))
    except UGPNetError as error:
        return facts | {"problem": str(error), "use": []}
    if counts is not None:
        facts["parameters"] = counts[0]
        if counts[1] is not None:
            facts["discriminator_parameters"] = counts[1]
    resolution = facts["resolution"]
    trains = counts is None or _has_halvings(name, weights)
    use = uses.prior_uses(file.path, key, name, resolution, own=own, trains=trains)
    return facts | {"use": use}


def _has_halvings(name: str, weights: PriorWeights) -> bool:
    """Whether an encoder has anything to halve between a prior's images and its base."""
    with torch.device("meta"):
        prior = make_prior(name, **weights.options)
    return prior.resolution > prior.base_size


def _backbone_beside(file: Checkpoint, key: str | None, prior: Facts) -> Facts:
    """The restoring network that a discriminator was trained with, where the file holds one; else
    what it says as the file of a prior."""
    try:
        facts = backbone_facts(file, key)
    except SeveralNetworksError:
        if "problem" in prior:
            return prior
        raise
    except WeightsError:
        return prior
    return facts if facts["kind"] == "backbone" else prior


def _numbers(content: Mapping[str, Any]) -> int:
    """How many numbers the tensors hold: parameters and buffers."""
    return sum(math.prod(value.shape) for value in content.values() if hasattr(value, "shape"))


def _short(record: Mapping[str, Any]) -> Facts:
    """What of a training record fits on a screen."""
    kept = ("name", "converted from", "layout", "perceptual", "versions")
    stages = record.get("stages")
    short = {key: record[key] for key in kept if key in record}
    return short | ({"stages": list(stages)} if isinstance(stages, Mapping) else {})
