"""Translate a published UGPNet's state dict into a configuration and a state dict of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ugpnet_core.checkpoints.backbones import published_backbone
from ugpnet_core.checkpoints.file import Checkpoint
from ugpnet_core.checkpoints.recognition import count_numbered
from ugpnet_core.checkpoints.state_dict import load_tensors
from ugpnet_core.config import ComponentConfig, ModelConfig, TaskConfig
from ugpnet_core.errors import PluginError, WeightsError
from ugpnet_core.factory import create_backbone
from ugpnet_core.model_files.prior import recognise_prior
from ugpnet_core.model_files.published.parts import parts_of, without_discriminator

# The published model names of modules, and ours; the first that fits is applied.
PREFIXES: Mapping[str, str] = {
    "resmodule.regression.": "restoration.backbone.",
    "resmodule.encoder.input_encoder.": "restoration.structure_encoder.",
    "resmodule.encoder.merge_decoder.": "restoration.merging.blocks.",
    "resmodule.encoder.to_img.body.0.": "restoration.merging.to_image.",
    "synmodule.fencoder.": "synthesis.encoder.",
    "synmodule.wmodule.": "synthesis.map2style.",
    "synmodule.generator.": "synthesis.generator.",
    "fusmodule.": "fusion.",
}
BACKBONE, GENERATOR = PREFIXES["resmodule.regression."], PREFIXES["synmodule.generator."]
# A restoration module that is a direct backbone and nothing else has no name for it inside.
ALONE = "resmodule."


@dataclass(frozen=True)
class _Part:
    """One module: what it says of the configuration of the model, and its tensors in our keys."""

    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    task: str = ""


def from_published(
    tensors: Mapping[str, Tensor], task: str | None = None
) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Translate a published state dict.

    Args:
        task: what it was trained for, which the file does not say; default: what the paper
            trained such a backbone for. It matters where the task is drawn from the configuration
            (``ugpnet evaluate`` without ``--task``) and for the scale.

    Raises:
        WeightsError: the restoration module is of no backbone that is installed, or a key is
            unknown or missing.
        PluginError: the generator's prior is not installed.
    """
    parts = [_translated(tensors, module) for module in TRANSLATIONS]
    settings = {name: value for part in parts for name, value in part.config.items()}
    settings["task"] = TaskConfig(name=task or parts[0].task)
    joined = {key: value for part in parts for key, value in part.tensors.items()}
    return ModelConfig(**settings), joined


def module_in(file: Checkpoint, module: str) -> tuple[ModelConfig, dict[str, Tensor]] | None:
    """Read one module ("restoration", "synthesis" or "fusion") of a published UGPNet.

    Returns:
        A configuration whose settings are those that the module depends on, and the module's state
        dict; None where it is not there.

    Raises:
        WeightsError, PluginError: as :func:`from_published`.
    """
    found = without_discriminator(parts_of(file))
    if not any(_rename(key).startswith(f"{module}.") for key in found):
        return None
    part = _translated(load_tensors(found, file), module)
    return ModelConfig(**part.config), _inner(part.tensors, f"{module}.")


def _translated(tensors: Mapping[str, Tensor], module: str) -> _Part:
    alone = not any(key.startswith(f"{ALONE}regression.") for key in tensors)
    try:
        renamed = {_rename(key, alone): value for key, value in tensors.items()}
        own = {key: value for key, value in renamed.items() if key.startswith(f"{module}.")}
        return TRANSLATIONS[module](own)
    except (KeyError, ValueError, IndexError) as error:
        raise WeightsError(
            f"The published checkpoint is incomplete ({error}); get it again."
        ) from error


def _restoration(renamed: Mapping[str, Tensor]) -> _Part:
    own = _inner(renamed, BACKBONE)
    known = published_backbone(own)
    if known is None:
        raise WeightsError(
            "The published checkpoint has a restoration module of no backbone that is installed "
            "and reads it; install the plugin that brings it."
        )
    backbone, options, task = known
    config: dict[str, Any] = {"backbone": ComponentConfig(name=backbone, options=options)}
    if (to_image := renamed.get("restoration.merging.to_image.weight")) is not None:
        config["merging_channels"] = to_image.shape[1]
    with torch.device("meta"):
        network = create_backbone(backbone, **options)
    own = getattr(network, "translate_published_keys", dict)(own)
    rest = {key: value for key, value in renamed.items() if not key.startswith(BACKBONE)}
    return _Part(config, rest | {f"{BACKBONE}{k}": v for k, v in own.items()}, task)


def _synthesis(renamed: Mapping[str, Tensor]) -> _Part:
    widths = [
        renamed[f"synthesis.encoder.downblocks.{index}.conv.0.bias"].numel()
        for index in range(count_numbered(renamed, r"synthesis\.encoder\.downblocks\.(\d+)\."))
    ]
    prior, prior_options, generator = _prior(_inner(renamed, GENERATOR), len(widths))
    base = generator["constant_input.weight"].shape[1]
    if renamed["synthesis.encoder.conv1x1.weight"].shape[0] != base:
        raise WeightsError("The published checkpoint's encoder does not fit its generator.")
    config = {
        "prior": ComponentConfig(name=prior, options=prior_options),
        "encoder_channels": widths,
        "map2style_channels": renamed["synthesis.map2style.convs.0.bias"].numel(),
    }
    rest = {key: value for key, value in renamed.items() if not key.startswith(GENERATOR)}
    return _Part(config, rest | {f"{GENERATOR}{k}": v for k, v in generator.items()})


def _fusion(renamed: Mapping[str, Tensor]) -> _Part:
    return _Part({"fusion_blocks": count_numbered(renamed, r"fusion\.body\.(\d+)\.")}, renamed)


# Each module's tensors, under its own name, to what they say.
TRANSLATIONS: Mapping[str, Callable[[Mapping[str, Tensor]], _Part]] = {
    "restoration": _restoration,
    "synthesis": _synthesis,
    "fusion": _fusion,
}


def _prior(
    state: dict[str, Tensor], levels: int
) -> tuple[str, dict[str, Any], Mapping[str, Tensor]]:
    """Name, options and weights of the generator, as the reader of its prior knows them."""
    if not state:
        raise KeyError("synmodule.generator")
    size = sum(value.numel() * value.element_size() for value in state.values())
    found = recognise_prior([Checkpoint(Path("The generator"), "", state, {}, size)])
    if found is None:
        raise PluginError(
            "The generator of the published checkpoint is of no prior that is installed; pip "
            "install ugpnet-priors-stylegan2"
        )
    name, weights = found
    options = dict(weights.options)
    options["base_size"] = options["resolution"] // 2 ** (levels - 1)
    options.setdefault("channel_multiplier", 1)
    return name, options, weights.generator


def _inner(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _rename(key: str, alone: bool = True) -> str:
    """A key of ours; ``alone``: whether the restoration module may be a backbone and no more."""
    for published, ours in PREFIXES.items():
        if key.startswith(published):
            return ours + key.removeprefix(published)
    if alone and key.startswith(ALONE):
        return BACKBONE + key.removeprefix(ALONE)
    raise WeightsError(f"Key {key!r} is not one of a published UGPNet; get another checkpoint.")
