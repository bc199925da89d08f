"""Say what a weights file is, and what it can be used for, without running anything from it."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ugpnet_core.checkpoints.backbones import backbone_options
from ugpnet_core.checkpoints.file import Checkpoint, read_checkpoint_file
from ugpnet_core.checkpoints.recognition import recognise
from ugpnet_core.checkpoints.state_dict import check_fit, unwrap, without_prefix
from ugpnet_core.errors import UGPNetError, WeightsError
from ugpnet_core.model_files.model import card_of, is_model_file
from ugpnet_core.model_files.prior import check_weights, is_prior_file, recognise_prior
from ugpnet_core.model_files.published import from_published, gather, parts_of
from ugpnet_core.model_files.published.parts import PARTS, WORDS
from ugpnet_core.networks.ugpnet import build_model

Facts = dict[str, Any]


def inspect(path: str | os.PathLike[str]) -> Facts:
    """Describe a file by facts that JSON can hold, in the order of reading.

    Always there: ``file``, ``bytes``, ``container`` (safetensors, PyTorch archive or pickle),
    ``kind``, ``layout``, ``use`` (what it can be used for, each with the command). ``problem`` is
    there where the file is recognised and cannot be used.

    Raises:
        WeightsError: the file is missing, damaged, no weights file or not to be trusted.
    """
    file = read_checkpoint_file(path)
    facts: Facts = {"file": str(file.path), "bytes": file.size, "container": file.container}
    if is_model_file(file):
        return facts | _model(file)
    if not is_prior_file(file) and parts_of(file):
        return facts | _published(file)
    return facts | (_prior(file) or _backbone(file))


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
        "plugins": dict(card.plugins),
        "record": _short(card.record),
        "licence": card.licence,
        "use": [
            f"restore photographs: ugpnet restore photos/ -o restored/ -m {file.path}",
            f"measure it: ugpnet evaluate -m {file.path} --data photos/",
        ],
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


def _published(file: Checkpoint) -> Facts:
    found = parts_of(file)
    facts: Facts = {
        "kind": "published UGPNet",
        "layout": "published UGPNet (resmodule, synmodule, fusmodule)",
        "numbers": _numbers(found),
    }
    missing = [part for part in PARTS if not any(key.startswith(f"{part}.") for key in found)]
    if missing:
        there = [WORDS[part] for part in PARTS if part not in missing]
        others = " ".join(part.removesuffix("module").upper() + ".pth" for part in missing)
        return facts | {
            "kind": "part of a published UGPNet",
            "parts": there,
            "use": [
                f"with the other parts, as a model: ugpnet convert {file.path} {others} "
                "model.safetensors"
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
        "use": [
            f"restore photographs: ugpnet restore photos/ -o restored/ -m {file.path}",
            f"as a model file: ugpnet convert {file.path} model.safetensors",
        ],
    }


def _prior(file: Checkpoint) -> Facts | None:
    try:
        found = recognise_prior([file])
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
        command = f"ugpnet convert GENERATOR {file.path} prior.safetensors"
        return facts | {"use": [f"with its generator, as a prior: {command}"]}
    try:
        counts = check_weights(name, weights, str(file.path))
    except UGPNetError as error:
        return facts | {"problem": str(error), "use": []}
    if counts is not None:
        facts["parameters"] = counts[0]
        if counts[1] is not None:
            facts["discriminator_parameters"] = counts[1]
    uses = [f"train with it: ugpnet train CONFIG.yaml synthesis.weights={file.path}"]
    if not own:
        uses.insert(0, f"as a prior file: ugpnet convert {file.path} prior.safetensors")
    return facts | {"use": uses}


def _backbone(file: Checkpoint) -> Facts:
    tensors = without_prefix(unwrap(file), str(file.path))
    words = recognise(tensors)
    name = re.search(r"\(backbone '([\w-]+)'\)", words)
    facts: Facts = {
        "kind": "backbone" if name else "weights",
        "layout": words.partition(" (")[0] if name else words,
        "numbers": sum(value.numel() for value in tensors.values()),
        "tensors": len(tensors),
        "types": sorted({str(value.dtype).removeprefix("torch.") for value in tensors.values()}),
        "use": [],
    }
    if name is None:
        return facts
    facts["backbone"] = {"name": name[1]}
    known = _options(tensors)
    if known is not None:
        facts |= {
            "backbone": {"name": known[0], "options": known[1]},
            **_parameters(*known, tensors, file),
        }
    facts["use"] = [
        "start a training from it: ugpnet train CONFIG.yaml "
        f"model.backbone.name={name[1]} restoration.weights={file.path}"
    ]
    return facts


def _options(tensors: Mapping[str, Tensor]) -> tuple[str, Facts] | None:
    try:
        return backbone_options(tensors)
    except (KeyError, IndexError, ValueError):
        return None


def _parameters(
    name: str, options: Facts, tensors: Mapping[str, Tensor], file: Checkpoint
) -> Facts:
    from ugpnet_core.factory import create_backbone

    try:
        with torch.device("meta"):
            network: Any = create_backbone(name, **options)
        check_fit(network, tensors, str(file.path))
    except UGPNetError as error:
        return {"problem": str(error)}
    return {"parameters": sum(parameter.numel() for parameter in network.parameters())}


def _numbers(content: Mapping[str, Any]) -> int:
    """How many numbers the tensors hold: parameters and buffers."""
    return sum(math.prod(value.shape) for value in content.values() if hasattr(value, "shape"))


def _short(record: Mapping[str, Any]) -> Facts:
    """What of a training record fits on a screen."""
    kept = ("name", "converted from", "layout", "perceptual", "versions")
    stages = record.get("stages")
    short = {key: record[key] for key in kept if key in record}
    return short | ({"stages": list(stages)} if isinstance(stages, Mapping) else {})
