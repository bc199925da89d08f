"""Encoders from timm: made by name, with their pretrained weights if asked for."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Sequence
from typing import Any

import timm
import torch

from ugpnet_core.plugins import ConfigError, WeightsError, read_tensors, recognise

logger = logging.getLogger(__name__)

# How timm's models are told to take any size. Most have no such setting and take it anyway.
_ANY_SIZE: tuple[dict[str, Any], ...] = ({"strict_img_size": False}, {"dynamic_img_size": True})
# A lost connection is an OSError, or an exception of whoever timm lets download.
_DOWNLOADERS = {"huggingface_hub", "httpx", "httpx2", "requests", "urllib3", "http"}


def make_encoder(
    name: str,
    pretrained: bool = False,
    checkpoint_path: str | None = None,
    out_indices: Sequence[int] | None = None,
    img_size: int | None = None,
) -> Any:
    """Make an encoder: an ``nn.Module`` that maps images (N, 3, H, W) to a list of feature maps,
    finest first, and describes them in ``feature_info``.

    Args:
        name: as ``timm.list_models()`` has it, with or without the tag of its weights.
        pretrained: load timm's weights, which are downloaded unless they are in its cache.
        checkpoint_path: load this checkpoint (.safetensors or .pth) instead.
        out_indices: which of the encoder's maps to give (default: timm's choice).
        img_size: the size that position embeddings and windows are made for.

    Raises:
        ConfigError: timm has no such encoder or no weights of it, or the encoder has no feature
            maps or does not know ``img_size``.
        WeightsError: the weights cannot be downloaded, or the checkpoint does not fit.
    """
    if pretrained and checkpoint_path is not None:
        raise ConfigError(
            "Both pretrained and checkpoint_path are given; choose one, as each loads weights."
        )
    weights = _published_weights(name)
    options: dict[str, Any] = {"out_indices": out_indices, "img_size": img_size}
    if pretrained:
        return _downloaded(name, options, weights)
    encoder = _untrained(name, options)
    return encoder if checkpoint_path is None else _from_file(name, options, checkpoint_path)


def _published_weights(name: str) -> Any:
    """What timm knows of the weights of an encoder; None if it knows nothing."""
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "see timm.list_models()."
        raise ConfigError(f"timm has no encoder {name!r}; {hint}")
    try:
        return timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        architecture = name.split(".")[0]
        tags = timm.list_models(f"{architecture}.*", pretrained=True)
        raise ConfigError(
            f"timm has no weights {name!r}; choose {' or '.join([architecture, *tags])}."
        ) from error


def _create(name: str, options: dict[str, Any], **weights: Any) -> Any:
    """Make an encoder that takes any size, if it can."""
    arguments: dict[str, Any] = {"features_only": True, **options, **weights}
    for any_size in _ANY_SIZE:
        try:
            return timm.create_model(name, **any_size, **arguments)
        except TypeError as error:
            # A constructor that does not know the setting; anything else is raised again below.
            logger.debug("%s does not take %s: %s", name, any_size, error)
    return timm.create_model(name, **arguments)


def _untrained(name: str, options: dict[str, Any]) -> Any:
    try:
        return _create(name, options)
    except TypeError as error:
        if options["img_size"] is None:
            raise
        raise ConfigError(f"Encoder {name!r} has no img_size; leave it out ({error}).") from error
    except (RuntimeError, AttributeError, AssertionError, IndexError) as error:
        reason = str(error) or type(error).__name__
        if options["out_indices"] is not None:
            raise ConfigError(
                f"Encoder {name!r} does not give the feature maps {list(options['out_indices'])} "
                f"({reason}); choose other out_indices, or leave them out."
            ) from error
        raise ConfigError(
            f"Encoder {name!r} cannot be made to give feature maps ({reason}); choose another."
        ) from error


def _downloaded(name: str, options: dict[str, Any], weights: Any) -> Any:
    source = weights and (weights.hf_hub_id or weights.url)
    if not source:
        raise ConfigError(f"timm has no weights of encoder {name!r}; choose pretrained=False.")
    place = f"the Hugging Face hub ({source})" if weights.hf_hub_id else source
    logger.warning(
        "Encoder %s: its pretrained weights are downloaded from %s, unless timm's cache has them.",
        name,
        place,
    )
    try:
        return _create(name, options, pretrained=True)
    except Exception as error:
        if not isinstance(error, OSError) and _package(error) not in _DOWNLOADERS:
            raise
        raise WeightsError(
            f"The pretrained weights of encoder {name!r} cannot be downloaded from {place}; "
            "connect this machine to the network, or get the file elsewhere and give its path as "
            f"checkpoint_path, or choose pretrained=False ({_in_short(error)})."
        ) from error


def _from_file(name: str, options: dict[str, Any], path: str) -> Any:
    tensors = read_tensors(path)
    problem = f"{path} does not fit encoder {name!r}"
    # timm accepts a checkpoint that has nothing in common with the encoder. With the same random
    # numbers twice, what a checkpoint lacks is what comes out the same.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        random = _create(name, options)
        torch.manual_seed(0)
        try:
            encoder = _create(
                name, options, pretrained=True, pretrained_cfg_overlay={"state_dict": tensors}
            )
        except Exception as error:  # timm's converters can raise almost anything
            raise WeightsError(
                f"{problem} ({_in_short(error)}); it looks like {recognise(tensors)}."
            ) from error
    lacking = [
        key
        for (key, loaded), drawn in zip(
            encoder.named_parameters(), random.parameters(), strict=True
        )
        if loaded.requires_grad and loaded.dim() > 1 and torch.equal(loaded, drawn)
    ]
    if lacking:
        raise WeightsError(
            f"{problem}: it lacks {len(lacking)} of its weights (for instance {lacking[0]!r}); it "
            f"looks like {recognise(tensors)}."
        )
    return encoder


def _package(error: Exception) -> str:
    return type(error).__module__.partition(".")[0]


def _in_short(error: Exception) -> str:
    """In one line, of which torch's lists of misfits are the second."""
    lines = str(error).splitlines() or [type(error).__name__]
    return " ".join(line.strip() for line in lines[:2]).rstrip(".")
