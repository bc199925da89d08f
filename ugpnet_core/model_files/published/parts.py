"""Find the three parts of a published UGPNet in files, and put them together."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ugpnet_core.checkpoints.backbones import backbone_of
from ugpnet_core.checkpoints.file import Checkpoint
from ugpnet_core.checkpoints.locating import inside_wrappers
from ugpnet_core.checkpoints.modules import is_tensor, the_one, under, with_plain_names
from ugpnet_core.checkpoints.state_dict import load_tensors, unwrap, without_prefix
from ugpnet_core.errors import SeveralNetworksError, WeightsError

PARTS = ("resmodule", "synmodule", "fusmodule")
WORDS = {
    "resmodule": "the restoration module",
    "synmodule": "the synthesis module",
    "fusmodule": "the fusion module",
}
# The stages of a training that make them.
MODULES = {"resmodule": "restoration", "synmodule": "synthesis", "fusmodule": "fusion"}
# What a restoration module has beside a residual backbone.
_STRUCTURE = ("encoder.input_encoder.", "encoder.merge_decoder.", "encoder.to_img.")
_FUSION = ("conv.weight", "body.0.body.0.", "last.weight")
# What is left out of each key, beside what compiling put there: wrappers for several devices.
_PARALLEL = re.compile(r"(?<![^.])module\.")
# Nested dictionaries could refer to each other without end.
_DEPTH = 5
_MOST = 20_000
_MOST_PLACES = 64


def parts_of(file: Checkpoint) -> dict[str, Any]:
    """The tensors of a file that belong to a published UGPNet, under their full keys, not read
    yet; empty where there are none. What stands before them and beside them is left out.

    Raises:
        SeveralNetworksError: a part is there several times; the message lists the names.
    """
    flat: dict[str, Any] = {}
    _flatten(inside_wrappers(file.content), "", flat, _DEPTH)
    named = {_PARALLEL.sub("", key): value for key, value in with_plain_names(flat).items()}
    found = {part: _places(named, f"{part}.") for part in PARTS}
    if any(found.values()):
        # Each on its own: an averaged copy may be of the part alone that is trained.
        begins = {p: the_one(places, str(file.path)) for p, places in found.items() if places}
        return {
            f"{part}.{key}": value
            for part, begin in begins.items()
            for key, value in under(named, f"{begin}{part}.").items()
        }
    for part, (start, is_part) in _BARE.items():
        places = _places(named, start)
        if len(places) > _MOST_PLACES:
            continue  # what is saved on its own has not so many of anything
        places = [place for place in places if is_part(under(named, place))]
        if places:
            own = under(named, the_one(places, str(file.path)))
            return {f"{part}.{k}": v for k, v in own.items() if k.startswith(_INNER[part])}
    return {}


def _places(keys: Iterable[str], start: str) -> list[str]:
    """What stands before the names that keys have in them, each once."""
    found = ((key, f".{key}".find(f".{start}")) for key in keys)
    return list(dict.fromkeys(key[:at] for key, at in found if at >= 0))


def _is_restoration(inner: Mapping[str, Any]) -> bool:
    """A backbone that a UGPNet was published with, and beside a residual one what merges the
    structure of the image; anything is called a regression or an encoder."""
    beside = [key for key in inner if key.startswith("encoder.")]
    if any(not key.startswith(_STRUCTURE) for key in beside):
        return False
    if all(any(key.startswith(start) for key in beside) for start in _STRUCTURE):
        return True  # of a backbone that may have to be installed
    installed = backbone_of(under(inner, "regression."))
    if installed is None or installed.entry.published is None:
        return False
    return not beside and installed.entry.kind == "direct"


def _is_fusion(inner: Mapping[str, Any]) -> bool:
    return all(any(key.startswith(start) for key in inner) for start in _FUSION) and all(
        key.startswith(_INNER["fusmodule"]) for key in inner if "." in key
    )


# What the keys of a part begin with that was saved on its own.
_INNER: Mapping[str, tuple[str, ...]] = {
    "resmodule": ("regression.", *_STRUCTURE),
    "synmodule": ("fencoder.", "wmodule.", "generator.", "discriminator."),
    "fusmodule": ("conv.", "body.", "last."),
}
# A name inside of it, and whether what holds that name is this part.
_BARE: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], bool]]] = {
    "resmodule": ("regression.", _is_restoration),
    "synmodule": ("fencoder.", bool),
    "fusmodule": ("last.weight", _is_fusion),
}


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
    except SeveralNetworksError:
        raise
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
