"""What a weights file can be used for, as commands that can be typed."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from ugpnet_core.plugins import registry

SINGLE, DOUBLE = "'", '"'


def words(*parts: str | Path) -> str:
    """A command, quoted where a shell needs it; no file is taken for an option."""
    return shlex.join(
        f"./{part}" if isinstance(part, Path) and str(part).startswith("-") else str(part)
        for part in parts
    )


def setting(name: str, value: Any) -> str:
    """A setting for the command line, ``model.backbone={name: unet}``."""
    text = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, width=10**9, allow_unicode=True
    )
    text = text.removesuffix("...\n").strip()
    # The shell's own quotes are single ones.
    double = text.replace(SINGLE, DOUBLE)
    with suppress(yaml.YAMLError):
        if yaml.safe_load(double) == value:
            text = double
    return f"{name}={text}"


def training(*settings: str) -> str:
    """``ugpnet train`` with a configuration of the user's and some settings."""
    return words("ugpnet", "train", "CONFIG.yaml", *settings)


def located(section: str, path: Path, key: str | None = None) -> list[str]:
    """Where the weights of a section lie, as settings."""
    chosen = [setting(f"{section}.key", key)] if key else []
    return [setting(f"{section}.weights", str(path)), *chosen]


def component(name: str, options: Mapping[str, Any] | None) -> dict[str, Any]:
    """A plugin's entry as configurations have it."""
    return {"name": name, **({"options": dict(options)} if options else {})}


def task_of_scale(scale: int) -> dict[str, Any] | None:
    """A task that makes images so many times smaller, with its settings; None for none smaller."""
    if scale == 1:
        return None
    exact = (name for name, one in registry().tasks.items() if one.entry.scale == scale)
    name = next(exact, None)
    return component("sr", {"factor": scale}) if name is None else component(name, None)


def backbone_uses(
    path: Path, key: str | None, name: str, options: Mapping[str, Any] | None, scale: int
) -> list[str]:
    """A training that starts from a backbone's weights; where it enlarges 3 or 5 times, which
    divides no resolution of a prior, what else can be done with it."""
    if scale & (scale - 1):
        given = [
            part for each, value in (options or {}).items() for part in ("-O", setting(each, value))
        ]
        return [f"check it as a backbone: {words('ugpnet', 'check-backbone', name, *given)}"]
    task = task_of_scale(scale)
    settings = [
        f"model.backbone.name={name}",
        # Those of the user's configuration are for another network.
        setting("model.backbone.options", dict(options or {})),
        *([setting("model.task", task)] if task is not None else []),
        *located("restoration", path, key),
    ]
    return [f"start a training from it: {training(*settings)}"]


def prior_uses(
    path: Path, key: str | None, name: str, resolution: int | None, *, own: bool, trains: bool
) -> list[str]:
    """A prior file of it, pictures, and a training with it.

    Args:
        own: whether it is a prior file already.
        trains: whether an encoder can feed it.
    """
    settings = [
        setting("model.prior", component(name, None)),
        *([f"data.resolution={resolution}"] if resolution else []),
        *located("synthesis", path, key),
    ]
    uses = [f"train with it: {training(*settings)}"] if trains else []
    chosen = ["--key", key] if key else []
    if not own:
        convert = words("ugpnet", "convert", path, "prior.safetensors", *chosen)
        uses.insert(0, f"as a prior file: {convert}")
    sample = words("ugpnet", "sample", path, "-o", "grid.png", *chosen)
    return [*uses, f"see what it makes: {sample}"]


def published_uses(path: Path, key: str | None) -> list[str]:
    """A model file, restoring, measuring; with the model file, where only that can be read without
    a key."""
    chosen = ["--key", key] if key else []
    convert = words("ugpnet", "convert", path, "model.safetensors", *chosen)
    making = f"as a model file: {convert}"
    if key:
        return [making, *model_uses("model.safetensors")]
    return [*model_uses(path), making]


def model_uses(path: str | Path) -> list[str]:
    """Restoring, measuring."""
    restore = words("ugpnet", "restore", "photos/", "-o", "restored/", "-m", path)
    evaluate = words("ugpnet", "evaluate", "-m", path, "--data", "photos/")
    return [f"restore photographs: {restore}", f"measure it: {evaluate}"]


def module_uses(path: Path, key: str | None, module: str, settings: Mapping[str, Any]) -> list[str]:
    """A training that starts from one module of a UGPNet.

    Args:
        settings: of the model, those that the module depends on.
    """
    given = [
        *(setting(f"model.{name}", value) for name, value in settings.items()),
        *located(module, path, key),
    ]
    return [f"start a training from it: {training(*given)}"]


def together(path: Path, key: str | None, missing: Sequence[str]) -> str:
    """The command that makes a model of the parts of a published UGPNet; ``missing`` are the names
    of the others ("synmodule")."""
    others = [part.removesuffix("module").upper() + ".pth" for part in missing]
    chosen = ["--key", key] if key else []
    return words("ugpnet", "convert", path, *others, "model.safetensors", *chosen)
