"""Which files the perceptual networks come from, and what a figure of theirs is called.

Nothing is downloaded. The trunk (VGG or SqueezeNet) is read from a file that the user names; the
linear layers of LPIPS are those inside the installed ``lpips`` package.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from ugpnet_core.checkpoints.state_dict import read_tensors
from ugpnet_core.config import PerceptualConfig
from ugpnet_core.errors import WeightsError

ENVIRONMENT = "UGPNET_PERCEPTUAL"
HOW_TO_GIVE = (
    "as 'perceptual.weights: PATH' in the configuration, '--perceptual-weights PATH' on the "
    f"command line, or in the environment variable {ENVIRONMENT}"
)
SUFFIXES = (".safetensors", ".pth", ".pt")
TrunkName = Literal["vgg16", "vgg19", "squeeze", "alex"]


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
    path = weights or _from_environment()
    network: Literal["vgg", "squeeze", "alex"] = "vgg"
    if path is not None:
        held = {name for name in ("squeezenet", "alexnet", "vgg16") if _in_folder(path, name)}
        if path.is_file():
            network = "alex" if path.name.startswith("alexnet") else "squeeze"
        elif "squeezenet" in held:
            network = "squeeze"
        elif "alexnet" in held and "vgg16" not in held:
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
    try:
        check_perceptual(config, contextual=False)
    except WeightsError as error:
        if config.weights is not None:
            raise
        return None, str(error)
    return config, ""


def check_perceptual(config: PerceptualConfig, contextual: bool = True) -> None:
    """Make sure, before anything long starts, that every needed file is there and fits.

    Args:
        contextual: whether the features of the contextual loss are needed too (VGG19).

    Raises:
        WeightsError: a file is missing or is not that network; the message says which file is
            wanted and how to give it.
    """
    if config.network == "alex":
        if contextual:
            raise WeightsError(
                "perceptual.network alex has no contextual loss; choose vgg or squeeze."
            )
        read_trunk(config, "alex")
        return
    if config.network == "squeeze":
        read_trunk(config, "squeeze")
        return
    read_trunk(config, "vgg16")
    if contextual:
        read_trunk(config, "vgg19")


def read_trunk(config: PerceptualConfig, trunk: TrunkName) -> Mapping[str, Tensor]:
    """Read the convolutions of a trunk, keyed as in torchvision's ``MODEL().features``, float32.

    Raises:
        WeightsError: the file is missing, damaged, or another network.
    """
    path = find_trunk(config, trunk)
    state = {
        key.removeprefix("features."): value.float()
        for key, value in read_tensors(path).items()
        if not key.startswith("classifier.")
    }
    wanted = empty_trunk(trunk).state_dict()
    if any(key not in state or state[key].shape != wanted[key].shape for key in wanted):
        raise WeightsError(
            f"{path} does not hold {_title(trunk)} in torchvision's layout; give another file "
            f"{HOW_TO_GIVE}."
        )
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


def find_trunk(config: PerceptualConfig, trunk: TrunkName) -> Path:
    """Find the file of a trunk: the configured path, the environment variable, torch's cache.

    Raises:
        WeightsError: there is none.
    """
    given = config.weights or _from_environment()
    prefix = {"squeeze": "squeezenet", "alex": "alexnet"}.get(trunk, trunk)
    if given is None and trunk != "squeeze":
        given = Path(torch.hub.get_dir()) / "checkpoints"
        found = _in_folder(given, prefix)
    elif given is not None and given.is_file() and trunk in ("squeeze", "alex"):
        found = given
    else:
        found = _in_folder(given, prefix) if given is not None else None
    if found is not None:
        return found
    where = f"in {given}" if given is not None else "anywhere"
    wanted = (
        "the SqueezeNet 1.1 features (safetensors, torchvision's layout)"
        if trunk == "squeeze"
        else "a folder with vgg16*.pth and vgg19*.pth (or .safetensors, torchvision's layout)"
    )
    raise WeightsError(
        f"The perceptual network needs {_title(trunk)} weights and there are none {where}; give "
        f"{wanted} {HOW_TO_GIVE}."
    )


def read_lpips_weights(network: Literal["vgg", "squeeze", "alex"]) -> list[Tensor]:
    """Read the linear layers of LPIPS 0.1 from the ``lpips`` package: one (1, C, 1, 1) a tap."""
    import importlib.util

    spec = importlib.util.find_spec("lpips")
    if spec is None or spec.origin is None:
        raise WeightsError("The linear layers of LPIPS are missing: pip install lpips")
    path = Path(spec.origin).parent / "weights" / "v0.1" / f"{network}.pth"
    state = torch.load(path, map_location="cpu", weights_only=True)
    return [state[f"lin{index}.model.1.weight"].float() for index in range(len(state))]


def _from_environment() -> Path | None:
    value = os.environ.get(ENVIRONMENT)
    return Path(value) if value else None


def _in_folder(folder: Path, prefix: str) -> Path | None:
    if not folder.is_dir():
        return None
    found = [path for path in folder.iterdir() if path.name.startswith(prefix)]
    return min((path for path in found if path.suffix in SUFFIXES), default=None)


def _title(trunk: TrunkName) -> str:
    titles = {"vgg16": "VGG16", "vgg19": "VGG19", "squeeze": "SqueezeNet 1.1", "alex": "AlexNet"}
    return titles[trunk]
