"""Which files the perceptual networks come from, and what a figure of theirs is called.

Nothing is downloaded. The trunk (VGG or SqueezeNet) is read from a file that the user names; the
linear layers of LPIPS are those inside the installed ``lpips`` package.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from ugpnet_core.checkpoints.frozen import FrozenNetwork, given_by, optional
from ugpnet_core.checkpoints.state_dict import read_tensors
from ugpnet_core.config import PerceptualConfig
from ugpnet_core.errors import WeightsError

ENVIRONMENT = "UGPNET_PERCEPTUAL"
TrunkName = Literal["vgg16", "vgg19", "squeeze", "alex"]


def _network(title: str, prefix: str, wanted: str, *, is_a_file: bool = True) -> FrozenNetwork:
    how = (
        f"{wanted} as 'perceptual.weights: PATH' in the configuration, '--perceptual-weights PATH' "
        f"on the command line, or in the environment variable {ENVIRONMENT}"
    )
    return FrozenNetwork(title, (prefix,), how, ENVIRONMENT, is_a_file)


_LAYOUT = "in torchvision's layout (.pth or .safetensors)"
_FOLDER = f"a folder with vgg16*.pth and vgg19*.pth {_LAYOUT}"
TRUNKS: Mapping[TrunkName, FrozenNetwork] = {
    "vgg16": _network("VGG16", "vgg16", _FOLDER, is_a_file=False),
    "vgg19": _network("VGG19", "vgg19", _FOLDER, is_a_file=False),
    "squeeze": _network("SqueezeNet 1.1", "squeezenet", f"its features {_LAYOUT}"),
    "alex": _network("AlexNet", "alexnet", f"a file alexnet* {_LAYOUT}"),
}


class PerceptualNames(NamedTuple):
    """What logs, model files and tables call the figures of a :class:`PerceptualConfig`."""

    lpips: str
    contextual: str
    frechet: str


def describe(config: PerceptualConfig) -> PerceptualNames:
    """Name the perceptual distance, the contextual features and the Fréchet distance."""
    if config.network == "squeeze":
        return PerceptualNames(
            "LPIPS (SqueezeNet trunk of BSD origin)", "SqueezeNet 1.1 fire3", "FD-SqueezeNet"
        )
    if config.network == "alex":
        return PerceptualNames("LPIPS-Alex", "none", "FD-AlexNet")
    return PerceptualNames("LPIPS-VGG", "VGG19 relu3_4", "FD-VGG16")


def perceptual_config(weights: Path | None, resize: int | None = None) -> PerceptualConfig:
    """Make the configuration that a path asks for (default: the environment variable's).

    A file, or a folder that holds ``squeezenet*``, is a SqueezeNet trunk; a file ``alexnet*``, or a
    folder that holds one and no ``vgg16*``, is an AlexNet trunk; everything else is VGG.
    """
    path = weights or given_by(ENVIRONMENT)
    network: Literal["vgg", "squeeze", "alex"] = "vgg"
    if path is not None and path.is_file():
        network = "alex" if path.name.startswith("alexnet") else "squeeze"
    elif path is not None:
        held = {name for name, trunk in TRUNKS.items() if trunk.within(path)}
        if "squeeze" in held:
            network = "squeeze"
        elif "alex" in held and "vgg16" not in held:
            network = "alex"
    return PerceptualConfig(network=network, weights=path, resize=resize)


def optional_perceptual(
    weights: Path | None, resize: int | None = None
) -> tuple[PerceptualConfig | None, str]:
    """Make the configuration for figures that can be left out.

    Returns:
        The configuration and ""; or None and, in one sentence, which file is wanted.

    Raises:
        WeightsError: a path was given, here or in the environment, and it does not fit.
    """
    config = perceptual_config(weights, resize)

    def checked() -> PerceptualConfig:
        check_perceptual(config, contextual=False)
        return config

    return optional(checked, asked=config.weights)


def check_perceptual(config: PerceptualConfig, contextual: bool = True) -> None:
    """Make sure, before anything long starts, that every needed file is there and fits.

    Args:
        contextual: whether the features of the contextual loss are needed too (VGG19).

    Raises:
        WeightsError: a file is missing or is not that network; the message says which file is
            wanted and how to give it.
    """
    if config.network == "alex" and contextual:
        raise WeightsError("perceptual.network alex has no contextual loss; choose vgg or squeeze.")
    if config.network != "vgg":
        read_trunk(config, config.network)
        return
    read_trunk(config, "vgg16")
    if contextual:
        read_trunk(config, "vgg19")


def read_trunk(config: PerceptualConfig, trunk: TrunkName) -> Mapping[str, Tensor]:
    """Read the convolutions of a trunk, keyed as in torchvision's ``MODEL().features``, float32.

    Raises:
        WeightsError: the file is missing, damaged, or another network.
    """
    path = TRUNKS[trunk].find(config.weights)
    state = {
        key.removeprefix("features."): value.float()
        for key, value in read_tensors(path).items()
        if not key.startswith("classifier.")
    }
    wanted = empty_trunk(trunk).state_dict()
    if any(key not in state or state[key].shape != wanted[key].shape for key in wanted):
        raise TRUNKS[trunk].misfit(path)
    return {key: state[key] for key in wanted}


def empty_trunk(trunk: TrunkName) -> nn.Sequential:
    """Build torchvision's ``MODEL().features`` on the device "meta": shapes without values."""
    from torchvision import models

    build = {
        "vgg16": models.vgg16,
        "vgg19": models.vgg19,
        "squeeze": models.squeezenet1_1,
        "alex": models.alexnet,
    }
    with torch.device("meta"):
        layers: nn.Sequential = build[trunk](weights=None).features
    return layers


def read_lpips_weights(network: Literal["vgg", "squeeze", "alex"]) -> list[Tensor]:
    """Read the linear layers of LPIPS 0.1 from the ``lpips`` package: one (1, C, 1, 1) a tap."""
    import importlib.util

    spec = importlib.util.find_spec("lpips")
    if spec is None or spec.origin is None:
        raise WeightsError("The linear layers of LPIPS are missing: pip install lpips")
    path = Path(spec.origin).parent / "weights" / "v0.1" / f"{network}.pth"
    state = torch.load(path, map_location="cpu", weights_only=True)
    return [state[f"lin{index}.model.1.weight"].float() for index in range(len(state))]
