"""Modules under the names that they had before: a plugin that imports one of those goes on working,
with a DeprecationWarning that says the new name."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED: Mapping[str, str] = {
    "checkpoint_content": "checkpoints.file",
    "conversion": "model_files.conversion",
    "degradations.seeding": "seeding",
    "downloads": "checkpoints.downloads",
    "inference.prior_source": "inference.opened_prior",
    "inference.sheet": "image.sheet",
    "inspection": "model_files.inspection",
    "model_file": "model_files.model",
    "model_files.backbones": "checkpoints.backbones",
    "networks.capture": "wrapping.capture",
    "networks.complexity": "metrics.complexity",
    "networks.last_layer": "wrapping.last_layer",
    "networks.probe": "wrapping.probe",
    "networks.wrapping": "wrapping.wrapper",
    "prior_file": "model_files.prior",
    "prior_weights": "model_files.prior_weights",
    "published": "model_files.published",
    "recognition": "checkpoints.recognition",
    "restricted_pickle": "checkpoints.pickles.restricted",
    "stored_tensor": "checkpoints.pickles.stored_tensor",
    "studies.ablation.arms": "studies.ablation.variants",
    "torch_pickle": "checkpoints.pickles.torch_format",
    "weights": "checkpoints.state_dict",
}
ROOT = "ugpnet_core."


class _Old(Loader):
    """Fills a module with the names of the one that stands for it."""

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave making it to the import system."""

    def exec_module(self, module: ModuleType) -> None:
        """Copy what the new module has."""
        new = ROOT + MOVED[module.__name__.removeprefix(ROOT)]
        names = vars(importlib.import_module(new))
        vars(module).update({k: v for k, v in names.items() if not k.startswith("__")})
        warnings.warn(
            f"{module.__name__} is {new} now; import that.", DeprecationWarning, stacklevel=2
        )


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.removeprefix(ROOT) in MOVED and fullname.startswith(ROOT):
            return ModuleSpec(fullname, _Old())
        return None


def redirect() -> None:
    """Let old names be found, once; what exists goes first."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
