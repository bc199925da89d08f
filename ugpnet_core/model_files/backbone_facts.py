"""What ``ugpnet inspect`` says of the state dict of a backbone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ugpnet_core.checkpoints.backbones import any_backbone_options, backbone_of, backbone_options
from ugpnet_core.checkpoints.file import Checkpoint
from ugpnet_core.checkpoints.recognition import recognise
from ugpnet_core.checkpoints.state_dict import check_fit, reading_for, unwrap, without_prefix
from ugpnet_core.errors import UGPNetError
from ugpnet_core.factory import create_backbone
from ugpnet_core.model_files import uses
from ugpnet_core.model_files.published.parts import PARTS
from ugpnet_core.plugins import BackboneEntry

Facts = dict[str, Any]


def backbone_facts(file: Checkpoint, key: str | None) -> Facts:
    """What a state dict is: of a backbone, with a command that starts a training from it, or of
    anything else."""
    state = unwrap(file)
    tensors = without_prefix(state, str(file.path))
    words = recognise(tensors)
    told = backbone_of(tensors)
    known = _options(tensors) if told is not None else any_backbone_options(state)
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
    name, options = known or (told.entry.name if told is not None else "", {})
    facts["backbone"] = {"name": name, **({"options": options} if options else {})}
    made = _made(file, tensors, name, options)
    if isinstance(made, str) and told is not None:
        name, options, made = _preset(file, tensors, told.entry) or (name, options, made)
    if isinstance(made, str):
        # Of options that no reader knows, the file may say nothing.
        facts |= {"problem": made} if known is not None else {}
        scale = 1
    else:
        facts["parameters"] = sum(parameter.numel() for parameter in made.parameters())
        scale = made.scale
    facts["use"] = [*uses.backbone_uses(file.path, key, name, options, scale)]
    if told is not None and told.entry.published is not None and told.entry.kind == "direct":
        command = uses.together(file.path, key, PARTS[1:])
        facts["may also be"] = f"the restoration module of a published UGPNet: {command}"
    return facts


def _options(tensors: Mapping[str, Tensor]) -> tuple[str, Facts] | None:
    try:
        return backbone_options(tensors)
    except (KeyError, IndexError, ValueError):
        return None


def _made(file: Checkpoint, tensors: Mapping[str, Tensor], name: str, options: Facts) -> Any:
    """The network that these options make, without its memory; where the weights do not fit it,
    why."""
    try:
        with torch.device("meta"):
            network: Any = create_backbone(name, **options)
        check_fit(network, reading_for(network, tensors), str(file.path))
    except UGPNetError as error:
        return str(error)
    return network


def _preset(
    file: Checkpoint, tensors: Mapping[str, Tensor], entry: BackboneEntry
) -> tuple[str, Facts, Any] | None:
    """The preset of a backbone that these weights fit."""
    for name in (entry.name, *(preset.name for preset in entry.presets)):
        made = _made(file, tensors, name, {})
        if not isinstance(made, str):
            return name, {}, made
    return None
