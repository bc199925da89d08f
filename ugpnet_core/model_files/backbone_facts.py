"""What ``ugpnet inspect`` says of the state dict of a backbone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from ugpnet_core.checkpoints.backbones import any_backbone_options, backbone_of, backbone_options
from ugpnet_core.checkpoints.file import Checkpoint
from ugpnet_core.checkpoints.recognition import recognise
from ugpnet_core.checkpoints.state_dict import (
    check_finite,
    check_fit,
    reading_for,
    unwrap,
    without_prefix,
)
from ugpnet_core.errors import UGPNetError
from ugpnet_core.factory import create_backbone
from ugpnet_core.model_files import uses
from ugpnet_core.model_files.published.parts import PARTS
from ugpnet_core.plugins import BackboneEntry, Installed

Facts = dict[str, Any]


def backbone_facts(file: Checkpoint, key: str | None) -> Facts:
    """What a state dict is: of a backbone, with a command that starts a training from it, or of
    anything else."""
    state = unwrap(file)
    tensors = without_prefix(state, str(file.path))
    words = recognise(tensors)
    told = backbone_of(tensors)
    if told is not None and not words.endswith(f"(backbone {told.entry.name!r})"):
        told = None  # it has a layer of the same name
    known, problem = _found(file, state, tensors, told)
    facts: Facts = {
        "kind": "weights" if told is None and known is None else "backbone",
        "layout": words.partition(" (")[0] if told is not None else words,
        "numbers": sum(value.numel() for value in tensors.values()),
        "tensors": len(tensors),
        "licence": file.metadata.get("licence", ""),
        "types": sorted({str(value.dtype).removeprefix("torch.") for value in tensors.values()}),
        "use": [],
    }
    if told is None and known is None:
        return facts
    if known is None:
        name, options = next(_candidates(state, tensors, told))
        facts["backbone"] = {"name": name, **({"options": options} if options else {})}
        return facts | {"problem": problem}
    name, options, made = known
    facts["backbone"] = {"name": name, **({"options": options} if options else {})}
    facts["parameters"] = sum(parameter.numel() for parameter in made.parameters())
    try:
        check_finite(tensors, str(file.path))
    except UGPNetError as error:
        return facts | {"problem": str(error)}
    facts["use"] = [*uses.backbone_uses(file.path, key, name, options, made.scale)]
    if told is not None and told.entry.published is not None and told.entry.kind == "direct":
        command = uses.together(file.path, key, PARTS[1:])
        facts["may also be"] = f"the restoration module of a published UGPNet: {command}"
    return facts


def _found(
    file: Checkpoint,
    state: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    told: Installed[BackboneEntry] | None,
) -> tuple[tuple[str, Facts, Any] | None, str]:
    """Name and options of the backbone that these weights fit, and that network without its memory;
    where there is none, why the one that they look like is none."""
    problem = ""
    for name, options in _candidates(state, tensors, told):
        try:
            with torch.device("meta"):
                network: Any = create_backbone(name, **options)
            check_fit(network, reading_for(network, tensors), str(file.path))
        except UGPNetError as error:
            problem = problem or str(error)
        else:
            return (name, options, network), ""
    return None, problem


def _candidates(
    state: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    told: Installed[BackboneEntry] | None,
) -> Iterator[tuple[str, Facts]]:
    """What the weights say they are, the presets of that, and what other plugins say."""
    if told is not None:
        with suppress(KeyError, IndexError, ValueError):
            read = backbone_options(tensors)
            yield from [read] if read is not None else []
        entry = told.entry
        yield from ((name, {}) for name in (entry.name, *(one.name for one in entry.presets)))
    other = any_backbone_options(state)
    yield from [other] if other is not None else []
