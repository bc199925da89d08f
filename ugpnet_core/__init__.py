"""Restore photographs with any regression network and a generative prior (UGPNet).

Everything that users need has its name here. A name is loaded when it is first used (PEP 562),
so that importing this package, and listing what is installed, never imports torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ugpnet_core.moved import redirect

if TYPE_CHECKING:
    from ugpnet_core.config import ComponentConfig, ModelConfig, TaskConfig, TrainConfig
    from ugpnet_core.degradations import degrade
    from ugpnet_core.engines.export import export_model
    from ugpnet_core.engines.onnx import load_onnx
    from ugpnet_core.errors import (
        ConfigError,
        DependencyError,
        ImageError,
        PluginError,
        SeveralNetworksError,
        SizeError,
        TrainingError,
        UGPNetError,
        UnknownNameError,
        WeightsError,
    )
    from ugpnet_core.evaluation.evaluate import evaluate
    from ugpnet_core.factory import create_backbone, create_task
    from ugpnet_core.image import read_image, write_image
    from ugpnet_core.inference.restored import Restored
    from ugpnet_core.inference.restorer import Restorer
    from ugpnet_core.model_files.model import load_model, save_model
    from ugpnet_core.model_files.prior import create_prior
    from ugpnet_core.networks.ugpnet import UGPNet, build_model
    from ugpnet_core.plugins import list_backbones, list_models, list_priors, list_tasks
    from ugpnet_core.protocols import UGPNetOutput
    from ugpnet_core.training.run import train
    from ugpnet_core.wrapping.wrapper import wrap_backbone

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
    "SeveralNetworksError",
    "SizeError",
    "TaskConfig",
    "TrainConfig",
    "TrainingError",
    "UGPNet",
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
    "evaluate",
    "export_model",
    "list_backbones",
    "list_models",
    "list_priors",
    "list_tasks",
    "load_model",
    "load_onnx",
    "read_image",
    "save_model",
    "train",
    "wrap_backbone",
    "write_image",
]

_HOMES = {
    "ugpnet_core.config": ("ComponentConfig", "ModelConfig", "TaskConfig", "TrainConfig"),
    "ugpnet_core.degradations": ("degrade",),
    "ugpnet_core.engines.export": ("export_model",),
    "ugpnet_core.engines.onnx": ("load_onnx",),
    "ugpnet_core.errors": (
        "ConfigError",
        "DependencyError",
        "ImageError",
        "PluginError",
        "SeveralNetworksError",
        "SizeError",
        "TrainingError",
        "UGPNetError",
        "UnknownNameError",
        "WeightsError",
    ),
    "ugpnet_core.factory": ("create_backbone", "create_task"),
    "ugpnet_core.model_files.prior": ("create_prior",),
    "ugpnet_core.inference.restored": ("Restored",),
    "ugpnet_core.inference.restorer": ("Restorer",),
    "ugpnet_core.model_files.model": ("load_model", "save_model"),
    "ugpnet_core.evaluation.evaluate": ("evaluate",),
    "ugpnet_core.image": ("read_image", "write_image"),
    "ugpnet_core.networks.ugpnet": ("UGPNet", "build_model"),
    "ugpnet_core.training.run": ("train",),
    "ugpnet_core.wrapping.wrapper": ("wrap_backbone",),
    "ugpnet_core.plugins": ("list_backbones", "list_models", "list_priors", "list_tasks"),
    "ugpnet_core.protocols": ("UGPNetOutput",),
}
redirect()

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
