"""Restore photographs with any regression network and a generative prior (UGPNet).

Everything that users need has its name here. A name is loaded when it is first used (PEP 562),
so that importing this package, and listing what is installed, never imports torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ugpnet_core.config import ComponentConfig, ModelConfig, TaskConfig, TrainConfig
    from ugpnet_core.degradations import degrade
    from ugpnet_core.errors import (
        ConfigError,
        DependencyError,
        ImageError,
        PluginError,
        SizeError,
        TrainingError,
        UGPNetError,
        UnknownNameError,
        WeightsError,
    )
    from ugpnet_core.factory import create_backbone, create_prior, create_task
    from ugpnet_core.inference.restored import Restored
    from ugpnet_core.inference.restorer import Restorer
    from ugpnet_core.model_file import load_model, save_model
    from ugpnet_core.networks.ugpnet import build_model
    from ugpnet_core.networks.wrapping import wrap_backbone
    from ugpnet_core.plugins import list_backbones, list_models, list_priors, list_tasks
    from ugpnet_core.protocols import UGPNetOutput

    __version__: str

__all__ = [
    "ComponentConfig",
    "ConfigError",
    "DependencyError",
    "ImageError",
    "ModelConfig",
    "PluginError",
    "Restored",
    "Restorer",
    "SizeError",
    "TaskConfig",
    "TrainConfig",
    "TrainingError",
    "UGPNetError",
    "UGPNetOutput",
    "UnknownNameError",
    "WeightsError",
    "__version__",
    "build_model",
    "create_backbone",
    "create_prior",
    "create_task",
    "degrade",
    "list_backbones",
    "list_models",
    "list_priors",
    "list_tasks",
    "load_model",
    "save_model",
    "wrap_backbone",
]

_HOMES = {
    "ugpnet_core.config": ("ComponentConfig", "ModelConfig", "TaskConfig", "TrainConfig"),
    "ugpnet_core.degradations": ("degrade",),
    "ugpnet_core.errors": (
        "ConfigError",
        "DependencyError",
        "ImageError",
        "PluginError",
        "SizeError",
        "TrainingError",
        "UGPNetError",
        "UnknownNameError",
        "WeightsError",
    ),
    "ugpnet_core.factory": ("create_backbone", "create_prior", "create_task"),
    "ugpnet_core.inference.restored": ("Restored",),
    "ugpnet_core.inference.restorer": ("Restorer",),
    "ugpnet_core.model_file": ("load_model", "save_model"),
    "ugpnet_core.networks.ugpnet": ("build_model",),
    "ugpnet_core.networks.wrapping": ("wrap_backbone",),
    "ugpnet_core.plugins": ("list_backbones", "list_models", "list_priors", "list_tasks"),
    "ugpnet_core.protocols": ("UGPNetOutput",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("ugpnet-core")
    elif name in _HOME_OF:
        value = getattr(importlib.import_module(_HOME_OF[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # The next access finds it without coming here.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
