"""The layouts of PyTorch state dicts: BasicSR's, which is ours, and rosinality's.

rosinality: https://github.com/rosinality/stylegan2-pytorch (MIT); BasicSR:
https://github.com/XPixelGroup/BasicSR (Apache-2.0). Both compute the same and differ in names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ugpnet_core.plugins import (
    Checkpoint,
    SeveralNetworksError,
    WeightsError,
    averaged,
    is_tensor,
    load_tensors,
)
from ugpnet_priors.stylegan2.generator import NoiseMaps
from ugpnet_priors.stylegan2.ops import fir_kernel

State = dict[str, Tensor]
Renaming = Sequence[tuple[str, str]]
LARGEST = 4096  # pixels, of noise maps that are made for a checkpoint without any


@dataclass(frozen=True)
class Part:
    """What one file holds of a prior, in our keys; ``discriminator`` reads state dict and options
    of its discriminator, where there is one."""

    layout: str
    generator: State | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    discriminator: Callable[[], tuple[State, dict[str, Any]]] | None = None


_CONVOLUTION: Renaming = (
    (r"\.conv\.weight$", ".modulated_conv.weight"),
    (r"\.conv\.modulation\.", ".modulated_conv.modulation."),
    (r"\.noise\.weight$", ".weight"),
)
ROSINALITY_GENERATOR: Renaming = (
    (r"^style\.", "style_mlp."),
    (r"^input\.input$", "constant_input.weight"),
    (r"^conv1\.", "style_conv1."),
    (r"^convs\.", "style_convs."),
    (r"^noises\.noise_", "noises.noise"),
    *_CONVOLUTION,
)
ROSINALITY_DISCRIMINATOR: Renaming = ((r"^convs\.", "conv_body."),)


def basicsr(file: Checkpoint) -> Part | None:
    """Read a generator or a discriminator in BasicSR's layout; None where there is neither."""
    generator = _state(file, "style_conv1.modulated_conv.weight")
    if generator is not None:
        generator = _flat_biases(generator)
    options = {"w_avg": True} if generator and "w_avg" in generator else {}
    return _part("BasicSR's", file, generator, options, "conv_body.0.0.weight")


def rosinality(file: Checkpoint) -> Part | None:
    """Read generator, discriminator and mean of w in rosinality's layout; None where there is
    neither network."""
    generator = _state(file, "conv1.conv.modulation.weight")
    options = {}
    if generator is not None:
        generator = _flat_biases(_renamed(generator, ROSINALITY_GENERATOR))
        mean = _mean_style(file)
        if mean is not None:
            generator["w_avg"] = mean
            options["w_avg"] = True
        if not any(key.startswith("noises.") for key in generator):
            # Checkpoints of 2019 lack them, and draw new ones for each image.
            levels = sum(bool(re.match(r"to_rgbs\.\d+\.bias", key)) for key in generator)
            levels = min(levels, LARGEST.bit_length() - 3)
            generator |= {f"noises.{k}": v for k, v in NoiseMaps(4 << levels).state_dict().items()}
    return _part("rosinality's", file, generator, options, "convs.0.0.weight")


def _part(
    layout: str, file: Checkpoint, generator: State | None, options: Mapping[str, Any], sign: str
) -> Part | None:
    """With the discriminator that has the key ``sign``."""

    def discriminator() -> tuple[State, dict[str, Any]]:
        return _renamed(_state(file, sign) or {}, ROSINALITY_DISCRIMINATOR), {}

    if _places(file, sign):
        return Part(layout, generator, options, discriminator)
    return None if generator is None else Part(layout, generator, options)


def check_kernel(kernel: Tensor, where: str) -> None:
    """Refuse a resampling filter other than (1, 3, 3, 1), whatever its gain.

    Raises:
        WeightsError: it is another.
    """
    ours = fir_kernel()
    if kernel.shape != ours.shape or not (kernel.float() / kernel.sum()).allclose(ours, atol=1e-4):
        raise WeightsError(
            f"{where} resamples with another filter than (1, 3, 3, 1), which cannot be read; use "
            "a network with the usual one."
        )


def _places(file: Checkpoint, sign: str) -> dict[str, Mapping[Any, Any]]:
    """The state dicts that have a key, by their names in the file; "" is the file."""
    content = {"": file.content, **file.content}
    return {
        place: inner
        for place, inner in content.items()
        if isinstance(place, str)
        and isinstance(inner, Mapping)
        and (sign in inner or f"module.{sign}" in inner)
    }


def _state(file: Checkpoint, sign: str) -> State | None:
    """The state dict that has a key, of several the averaged copy, without the filters that never
    change; None where there is none.

    Raises:
        SeveralNetworksError: there are several.
    """
    found = _places(file, sign)
    places = averaged(found)
    if len(places) > 1:
        names = ", ".join(repr(place[:80]) for place in sorted(places)[:8])
        raise SeveralNetworksError(
            f"{file.path} holds several networks that could be meant, under {names}; name one with "
            "key= (--key)."
        )
    if not places:
        return None
    tensors = load_tensors(found[places[0]], file)
    for key in [key for key in tensors if re.search(r"(^|\.)kernel$", key)]:
        check_kernel(tensors.pop(key), str(file.path))
    return tensors


def _renamed(state: State, renaming: Renaming) -> State:
    renamed = {}
    for key, value in state.items():
        for pattern, replacement in renaming:
            key = re.sub(pattern, replacement, key)
        renamed[key] = value
    return renamed


def _flat_biases(state: State) -> State:
    """Early versions kept the biases of activations as maps (1, C, 1, 1)."""
    return {
        key: value.flatten() if key.endswith("activate.bias") else value
        for key, value in state.items()
    }


def _mean_style(file: Checkpoint) -> Tensor | None:
    """``latent_avg``, (style_dim,); some programs repeat it for every layer."""
    stored = file.content.get("latent_avg")
    if not is_tensor(stored):
        return None
    mean = load_tensors({"latent_avg": stored}, file)["latent_avg"].float()
    rows = mean.reshape(-1, mean.shape[-1]) if mean.dim() else mean.reshape(1, 1)
    if not (rows == rows[:1]).all():
        raise WeightsError(
            f"{file.path} has a mean of w for each layer, and this prior one for all of them; "
            "remove latent_avg from it."
        )
    return rows[0].clone()
