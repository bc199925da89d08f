"""What checkpoints say about the backbones that they are of, as their plugins read them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ugpnet_core.errors import SeveralNetworksError, UGPNetError
from ugpnet_core.plugins import BackboneEntry, Installed, registry, resolve


def backbone_of(tensors: Mapping[str, Tensor]) -> Installed[BackboneEntry] | None:
    """The installed backbone one of whose signatures is among the keys."""
    for installed in registry().backbones.values():
        if any(key in tensors for key in installed.entry.signatures):
            return installed
    return None


def backbone_options(tensors: Mapping[str, Tensor]) -> tuple[str, dict[str, Any]] | None:
    """Name and options of the backbone that a state dict belongs to; None where it is of none that
    is installed, or of one that does not read options out of tensors.

    Raises:
        KeyError: a layer is missing.
    """
    installed = backbone_of(tensors)
    if installed is None or installed.entry.reader is None:
        return None
    options = resolve(installed.entry.reader)(tensors)
    return None if options is None else (installed.entry.name, options)


def any_backbone_options(tensors: Mapping[str, Tensor]) -> tuple[str, dict[str, Any]] | None:
    """As :func:`backbone_options`, of a backbone that knows many architectures and so tells its
    checkpoints by no signature, but by a reader that gives None for what it does not know.

    Raises:
        SeveralNetworksError: it knows several networks there.
    """
    for installed in registry().backbones.values():
        entry = installed.entry
        if entry.reader is None or entry.signatures:
            continue
        try:
            options = resolve(entry.reader)(tensors)
        except SeveralNetworksError:
            raise
        except UGPNetError:
            continue
        if options is not None:
            return entry.name, options
    return None


def from_layers(
    layers: Sequence[Mapping[str, Tensor]],
) -> tuple[str, dict[str, Any], dict[str, Tensor]] | None:
    """Name, options and state dict of the backbone that a list of layers without names is of; None
    where it is of none that is installed and reads such."""
    for installed in registry().backbones.values():
        if installed.entry.layers_reader is not None:
            found = resolve(installed.entry.layers_reader)(layers)
            if found is not None:
                return installed.entry.name, *found
    return None


def options_in_words(tensors: Mapping[str, Tensor]) -> str:
    """The options that a state dict belongs to, as the end of a message: ", which width=8 fits";
    nothing where they are not known."""
    try:
        found = backbone_options(tensors)
    except (KeyError, IndexError, ValueError, UGPNetError):
        found = None
    if found is None:
        return ""
    return ", which these options fit: " + " ".join(
        f"{name}={json.dumps(value, separators=(',', ':'))}" for name, value in found[1].items()
    )


def published_backbone(
    tensors: Mapping[str, Tensor],
) -> tuple[str, dict[str, Any], str] | None:
    """Name, options and task of the restoration module of a published UGPNet; None where no
    installed backbone was published so.

    Raises:
        KeyError: a layer is missing.
    """
    installed = backbone_of(tensors)
    if installed is None or installed.entry.published is None:
        return None
    options, task = resolve(installed.entry.published)(tensors)
    return installed.entry.name, options, task
