"""Make what the plugins' entries describe: backbones, priors, discriminators and tasks.

Priors and discriminators with weights out of files are made in
:mod:`ugpnet_core.model_files.prior`.
"""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any, cast

from ugpnet_core.config import TaskConfig
from ugpnet_core.errors import PluginError, UGPNetError
from ugpnet_core.plugins import (
    BackboneEntry,
    Installed,
    PriorEntry,
    TaskEntry,
    find,
    resolve,
    validate_options,
)
from ugpnet_core.plugins.discovery import describe_error
from ugpnet_core.protocols import Backbone, Prior, Task

if TYPE_CHECKING:
    from torch import nn


def create_backbone(
    name: str,
    *,
    weights: str | PathLike[str] | None = None,
    key: str | None = None,
    **options: Any,
) -> Backbone:
    """Make a backbone by name; options are named as in its published code.

    Args:
        name: A backbone or preset that ``ugpnet list-backbones`` shows.
        weights: A checkpoint (.safetensors or .pth) to load, strictly.
        key: The network of a checkpoint that holds several, by the name of its dictionary, or of
            its module in a larger state dict ("generator", "net_g"). Without ``weights`` it is an
            option as others are, for backbones that read a checkpoint themselves.
        options: Options of the network; a misspelt one is an error.

    Returns:
        An ``nn.Module`` on the CPU, in training mode.

    Raises:
        PluginError: The backbone is not installed, or its factory failed or made something else.
        ConfigError: An option is unknown or impossible.
        WeightsError: The checkpoint does not fit.

    Examples:
        >>> import torch
        >>> import ugpnet_core as ug
        >>> nafnet = ug.create_backbone("nafnet", width=8, enc_blk_nums=[1], dec_blk_nums=[1])
        >>> nafnet.kind, nafnet.feature_channels
        ('residual', 8)
        >>> nafnet(torch.rand(2, 3, 17, 30)).shape
        torch.Size([2, 3, 17, 30])
    """
    if weights is None and key is not None:
        options["key"] = key  # of a backbone that reads a checkpoint itself
    backbone = _make(find(BackboneEntry, name), options)
    if not isinstance(backbone, Backbone):
        raise PluginError(
            f"The factory of backbone {name!r} returned {type(backbone).__name__}, which lacks "
            "what ugpnet_core.protocols.Backbone asks for."
        )
    if weights is not None:
        from ugpnet_core.checkpoints.state_dict import load_weights

        load_weights(cast("nn.Module", backbone), weights, key)
    return backbone


def make_prior(name: str, **options: Any) -> Prior:
    """Make a prior's generator with new random weights, also where it has weights of its own.

    For what loads its own weights into it, and for training from nothing.
    """
    prior = _make(find(PriorEntry, name), options)
    if not isinstance(prior, Prior):
        raise PluginError(
            f"The factory of prior {name!r} returned {type(prior).__name__}, which lacks what "
            "ugpnet_core.protocols.Prior asks for."
        )
    return prior


def make_discriminator(name: str, **options: Any) -> nn.Module:
    """Make the discriminator that fits a prior with these options (N, 3, r, r) -> (N, 1), with new
    random weights.

    Raises:
        PluginError: the prior has none, so it cannot be trained with an adversarial loss.
    """
    made = require_discriminator(name)
    discriminator: nn.Module = _make(find(PriorEntry, name), options, made)
    return discriminator


def require_discriminator(name: str) -> str:
    """The factory of the discriminator that a prior brings.

    Raises:
        PluginError: it brings none, so it cannot be trained with an adversarial loss.
    """
    factory = find(PriorEntry, name).entry.discriminator
    if factory is None:
        raise PluginError(
            f"Prior {name!r} brings no discriminator; set adversarial_weight to 0 or choose "
            "another prior."
        )
    return factory


def create_task(name: str, **options: Any) -> Task:
    """Make a task (a degradation with its settings) by name.

    Args:
        name: A task that ``ugpnet list-tasks`` shows.
        options: Settings that differ from the task's defaults.

    Returns:
        A function of an image, float32 RGB (3, H, W) in [0, 1], and a numpy generator, to the
        degraded image (3, ceil(H / scale), ceil(W / scale)) in [0, 1].

    Raises:
        PluginError: The task is not installed, or its factory failed or made something else.
        ConfigError: An option is unknown or impossible.

    Examples:
        >>> import numpy as np
        >>> import torch
        >>> import ugpnet_core as ug
        >>> task = ug.create_task("sr4")
        >>> task.scale
        4
        >>> task(torch.rand(3, 20, 30), np.random.default_rng(0)).shape
        torch.Size([3, 5, 8])
    """
    task: Task = _make(find(TaskEntry, name), options)
    scale: object = getattr(task, "scale", None)
    is_scale = isinstance(scale, int) and scale >= 1
    if not callable(task) or not is_scale or not isinstance(getattr(task, "name", None), str):
        raise PluginError(
            f"The factory of task {name!r} returned {type(task).__name__}, which lacks what "
            "ugpnet_core.protocols.Task asks for: a call, a name, and a scale of 1 or more."
        )
    return task


def create_task_at(config: TaskConfig, resolution: int) -> Task:
    """Make a task whose settings fit images of a resolution, unless the settings say otherwise.

    The paper's settings are stated for 512 pixels; tasks that scale with the resolution have an
    option of that name.
    """
    options = dict(config.options)
    if "resolution" in find(TaskEntry, config.name).entry.options.model_fields:
        options.setdefault("resolution", resolution)
    return create_task(config.name, **options)


def _make(
    installed: Installed[BackboneEntry] | Installed[PriorEntry] | Installed[TaskEntry],
    options: dict[str, Any],
    factory: str | None = None,
) -> Any:
    """Call a plugin's factory; what it raises, except our own errors, is the plugin's fault."""
    entry = installed.entry
    valid = validate_options(entry, options)
    try:
        make = resolve(factory or entry.factory)
    except PluginError as error:
        whose = f"{installed.distribution} {installed.version}".strip()
        raise PluginError(f"{str(error).rstrip('.')} (of {whose}).") from error
    try:
        made = make(**valid)
    except (UGPNetError, KeyboardInterrupt):
        raise
    except BaseException as error:  # SystemExit, too: it is a plugin's, and not a user's
        raise PluginError(
            f"{factory or entry.factory!r} of {installed.distribution} failed to make "
            f"{entry.name!r} ({describe_error(error)}); choose other options, or tell its author."
        ) from error
    if isinstance(made, type):
        raise PluginError(
            f"{factory or entry.factory!r} of {installed.distribution} returned the class "
            f"{made.__name__} for {entry.name!r} and not one of its objects; tell its author."
        )
    return made
