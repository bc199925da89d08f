"""Plugins: everything that a plugin may import, and the discovery of what is installed.

A plugin is a module named by an entry point of the group ``ugpnet``. It implements one or more
of the four hooks with ``@hookimpl`` and returns entries: frozen, cheap descriptions of what it
brings. What an entry describes is imported only when it is used, so listing never imports torch.

A broken plugin never breaks anything else: :func:`discover` contains every failure and reports
it as a :class:`Problem` that names the distribution and the reason.

The names of ``INTERFACE`` are what plugins may rely on, with those of :mod:`ugpnet_core.testing`:
they change with ``PLUGIN_API`` only (docs/plugins.md). Those that need torch are loaded when they
are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ugpnet_core.errors import (
    ConfigError,
    DependencyError,
    ImageError,
    PluginError,
    SeveralNetworksError,
    SizeError,
    UGPNetError,
    WeightsError,
)
from ugpnet_core.plugins.discovery import (
    PLUGIN_API,
    Installed,
    Problem,
    Registry,
    describe_error,
    discover,
    registry,
)
from ugpnet_core.plugins.entries import (
    GROUP,
    HOOKS,
    WORDS,
    BackboneEntry,
    E,
    Entry,
    HookSpecs,
    ModelEntry,
    Options,
    Preset,
    PriorEntry,
    TaskEntry,
    hookimpl,
    hookspec,
)
from ugpnet_core.plugins.lookup import (
    find,
    find_any,
    list_backbones,
    list_models,
    list_priors,
    list_tasks,
    resolve,
    validate_options,
)

if TYPE_CHECKING:
    from ugpnet_core.checkpoints.file import Checkpoint
    from ugpnet_core.checkpoints.modules import (
        averaged,
        find_network,
        is_tensor,
        possible_prefixes,
    )
    from ugpnet_core.checkpoints.pickles.restricted import Inert
    from ugpnet_core.checkpoints.pickles.torch_format import PERSISTENT_OBJECT
    from ugpnet_core.checkpoints.recognition import count_numbered, recognise
    from ugpnet_core.checkpoints.state_dict import load_tensors, read_tensors
    from ugpnet_core.model_files.prior_weights import PriorWeights
    from ugpnet_core.networks.blocks import (
        ChannelLayerNorm,
        ConvBlock,
        TwoConvolutions,
        conv3x3,
    )
    from ugpnet_core.networks.regression import RegressionNetwork, check_images, cropped
    from ugpnet_core.protocols import (
        Backbone,
        ModulatedPrior,
        PairingTask,
        Prior,
        PriorOutput,
        SupervisedBackbone,
        Task,
        TrainablePrior,
    )
    from ugpnet_core.wrapping.capture import Call, plain_call
    from ugpnet_core.wrapping.probe import ProbeSizeError
    from ugpnet_core.wrapping.wrapper import WrappedBackbone, wrap_backbone

# Where the names are that are loaded when they are first used.
_HOMES = {
    "checkpoints.file": ("Checkpoint",),
    "checkpoints.modules": ("averaged", "find_network", "is_tensor", "possible_prefixes"),
    "checkpoints.pickles.restricted": ("Inert",),
    "checkpoints.pickles.torch_format": ("PERSISTENT_OBJECT",),
    "checkpoints.recognition": ("count_numbered", "recognise"),
    "checkpoints.state_dict": ("load_tensors", "read_tensors"),
    "model_files.prior_weights": ("PriorWeights",),
    "networks.blocks": ("ChannelLayerNorm", "ConvBlock", "TwoConvolutions", "conv3x3"),
    "networks.regression": ("RegressionNetwork", "check_images", "cropped"),
    "protocols": (
        "Backbone",
        "ModulatedPrior",
        "PairingTask",
        "Prior",
        "PriorOutput",
        "SupervisedBackbone",
        "Task",
        "TrainablePrior",
    ),
    "wrapping.capture": ("Call", "plain_call"),
    "wrapping.probe": ("ProbeSizeError",),
    "wrapping.wrapper": ("WrappedBackbone", "wrap_backbone"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

INTERFACE = (
    *("PLUGIN_API", "hookimpl", "Options", "Preset"),
    *("BackboneEntry", "PriorEntry", "ModelEntry", "TaskEntry"),
    *("ConfigError", "DependencyError", "ImageError", "PluginError", "SeveralNetworksError"),
    *("SizeError", "UGPNetError", "WeightsError", "describe_error"),
    *_HOME_OF,
)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"ugpnet_core.{_HOME_OF[name]}"), name)
    # The next access finds it without coming here.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "GROUP",
    "HOOKS",
    "INTERFACE",
    "PERSISTENT_OBJECT",
    "PLUGIN_API",
    "WORDS",
    "Backbone",
    "BackboneEntry",
    "Call",
    "ChannelLayerNorm",
    "Checkpoint",
    "ConfigError",
    "ConvBlock",
    "DependencyError",
    "E",
    "Entry",
    "HookSpecs",
    "ImageError",
    "Inert",
    "Installed",
    "ModelEntry",
    "ModulatedPrior",
    "Options",
    "PairingTask",
    "PluginError",
    "Preset",
    "Prior",
    "PriorEntry",
    "PriorOutput",
    "PriorWeights",
    "ProbeSizeError",
    "Problem",
    "Registry",
    "RegressionNetwork",
    "SeveralNetworksError",
    "SizeError",
    "SupervisedBackbone",
    "Task",
    "TaskEntry",
    "TrainablePrior",
    "TwoConvolutions",
    "UGPNetError",
    "WeightsError",
    "WrappedBackbone",
    "averaged",
    "check_images",
    "conv3x3",
    "count_numbered",
    "cropped",
    "describe_error",
    "discover",
    "find",
    "find_any",
    "find_network",
    "hookimpl",
    "hookspec",
    "is_tensor",
    "list_backbones",
    "list_models",
    "list_priors",
    "list_tasks",
    "load_tensors",
    "plain_call",
    "possible_prefixes",
    "read_tensors",
    "recognise",
    "registry",
    "resolve",
    "validate_options",
    "wrap_backbone",
]
