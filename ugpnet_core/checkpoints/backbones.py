"""What checkpoints say about the backbones that they are of, as their plugins read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

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
    return installed.entry.name, resolve(installed.entry.reader)(tensors)


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
