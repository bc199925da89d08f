"""Find the three parts of a published UGPNet in files, and put them together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ugpnet_core.checkpoints.backbones import backbone_of
from ugpnet_core.checkpoints.file import Checkpoint
from ugpnet_core.checkpoints.locating import inside_wrappers, is_tensor
from ugpnet_core.checkpoints.recognition import prefixes
from ugpnet_core.checkpoints.state_dict import load_tensors, unwrap, without_prefix
from ugpnet_core.errors import WeightsError

PARTS = ("resmodule", "synmodule", "fusmodule")
WORDS = {
    "resmodule": "the restoration module",
    "synmodule": "the synthesis module",
    "fusmodule": "the fusion module",
}
# The stages of a training that make them.
MODULES = {"resmodule": "restoration", "synmodule": "synthesis", "fusmodule": "fusion"}
_BEGINNINGS = tuple(f"{part}." for part in PARTS)
# How a part begins that was saved on its own: what all of it begins with, and what must be there.
_BARE: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "resmodule": (("regression.", "encoder."), ("regression.",)),
    "synmodule": (("fencoder.", "wmodule.", "generator.", "discriminator."), ("fencoder.",)),
    "fusmodule": (("conv.", "body.", "last."), ("conv.weight", "body.0.body.0.", "last.weight")),
}
# Nested dictionaries could refer to each other without end.
_DEPTH = 5
_MOST = 20_000


def is_published(tensors: Mapping[str, Tensor]) -> bool:
    """Tell whether a state dict is, or begins, one of the published layout."""
    return any(key.startswith(_BEGINNINGS) for key in tensors)


def parts_of(file: Checkpoint) -> dict[str, Any]:
    """The tensors of a file that belong to a published UGPNet, under their full keys, not read
    yet; empty where there are none."""
    flat: dict[str, Any] = {}
    _flatten(inside_wrappers(file.content), "", flat, _DEPTH)
    named = {re.sub(r"(^|\.)module\.", r"\1", key): value for key, value in flat.items()}
    for prefix in prefixes(named):
        begins = tuple(prefix + beginning for beginning in _BEGINNINGS)
        full = {k.removeprefix(prefix): v for k, v in named.items() if k.startswith(begins)}
        if full:
            return full
    for part, (beginnings, needed) in _BARE.items():
        if all(any(key.startswith(start) for key in named) for start in needed):
            return {f"{part}.{k}": v for k, v in named.items() if k.startswith(beginnings)}
    return {}


def gather(files: Sequence[Checkpoint]) -> dict[str, Tensor] | None:
    """The state dict of a published UGPNet from the files that hold its parts, without the
    discriminator.

    A backbone's checkpoint beside other parts is the restoration module: that of the published
    super-resolution is one.

    Returns:
        None where one of the files holds none of it.

    Raises:
        WeightsError: a part is missing, or stands in two files and differs.
    """
    tensors: dict[str, Tensor] = {}
    parts = [parts_of(file) for file in files]
    for file, found in zip(files, parts, strict=True):
        if not found and any(parts):
            found = _backbone_in(file)
        if not found:
            return None
        for key, value in load_tensors(without_discriminator(found), file).items():
            if key in tensors and not torch.equal(tensors[key], value):
                raise WeightsError(
                    f"{file.path} and a file before it differ in {key!r}; give each part once."
                )
            tensors[key] = value
    missing = [part for part in PARTS if not any(key.startswith(f"{part}.") for key in tensors)]
    if missing:
        names = ", ".join(str(file.path) for file in files)
        others = " and the one with ".join(WORDS[part] for part in missing)
        raise WeightsError(
            f"There is only a part of a published UGPNet in {names}; give the file with {others}, "
            "too."
        )
    return tensors


def _backbone_in(file: Checkpoint) -> dict[str, Tensor]:
    """The tensors of a backbone's own checkpoint as those of a restoration module; empty where the
    file is of no backbone that a UGPNet was published with."""
    try:
        tensors = without_prefix(unwrap(file), str(file.path))
    except WeightsError:
        return {}
    installed = backbone_of(tensors)
    if installed is None or installed.entry.published is None:
        return {}
    return {f"resmodule.regression.{key}": value for key, value in tensors.items()}


def without_discriminator(found: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors of published parts that a model is made of."""
    return {k: v for k, v in found.items() if not k.startswith("synmodule.discriminator.")}


def _flatten(content: Any, prefix: str, flat: dict[str, Any], depth: int) -> None:
    if len(flat) > _MOST:
        raise WeightsError("The checkpoint has more tensors than any UGPNet; get it again.")
    if is_tensor(content):
        flat[prefix] = content
    elif isinstance(content, Mapping) and depth > 0 and len(content) <= _MOST:
        for key, value in content.items():
            if isinstance(key, str):
                _flatten(value, f"{prefix}.{key}" if prefix else key, flat, depth - 1)
