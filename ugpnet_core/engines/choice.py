"""Which engine computes the networks of a Restorer: torch, or onnxruntime."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Literal, NamedTuple

from ugpnet_core.engines.cached import exported
from ugpnet_core.engines.onnx import load_onnx
from ugpnet_core.engines.parts import Part
from ugpnet_core.networks.ugpnet import UGPNet

Engine = Literal["torch", "onnx"]
Faces = Literal["auto", "off"]


class Chosen(NamedTuple):
    """What a Restorer gets: its model, device and faces."""

    model: str | PathLike[str] | UGPNet
    device: str
    faces: Faces


def choose_engine(
    engine: Engine,
    model: str | PathLike[str],
    *,
    device: str = "auto",
    faces: Faces = "auto",
    say: Callable[[str], None] = lambda text: None,
) -> Chosen:
    """Make a model ready for an engine.

    Args:
        engine: ``"onnx"`` takes an exported file, or exports the model into a cache first. An
            exported file goes to onnxruntime whatever is said here.
        say: gets a line about what takes long, and about what cannot be done.

    Raises:
        ConfigError: the device cannot be used by the engine.
        DependencyError, PluginError, WeightsError: the model cannot be opened or exported.
    """
    is_file = Path(model).suffix.lower() == ".onnx"
    if engine == "torch" and not is_file:
        return Chosen(model, device, faces)
    where = "cpu" if device == "auto" else device
    if is_file:
        network = load_onnx(model, device=where)
    else:
        parts: tuple[Part, Part] = ("whole", "restoration")
        whole, restoration = (exported(model, part, say) for part in parts)
        network = load_onnx(whole, restoration, where)
    if network.whole is None and faces == "auto":
        say("This file holds the restoration module alone: faces are restored without the prior.")
        faces = "off"
    return Chosen(network, where, faces)
