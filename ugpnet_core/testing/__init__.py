"""The conformance checks for plugins, shipped for their authors.

    from ugpnet_core.testing import check_backbone, check_model, check_prior, check_task
    check_backbone("nafnet", width=8).raise_if_failed()
    check_prior("stylegan2", resolution=32).raise_if_failed()
    check_task("deblur", resolution=64).raise_if_failed()
    check_model("portraits-denoise").raise_if_failed()

Every check of a backbone is also a function of its own (``check_gradients(subject)``), and
:class:`BackboneConformance` and :class:`PriorConformance` make a pytest test of each. Names are
loaded when they are first used, so that importing this package imports neither torch nor pytest.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ugpnet_core.testing.checks.copies import (
        check_deep_copy,
        check_pickling,
        check_save_and_load,
    )
    from ugpnet_core.testing.checks.declarations import (
        check_builds,
        check_declared_values,
        check_parameter_count,
        check_protocol,
    )
    from ugpnet_core.testing.checks.deployment import check_compiles, check_exports_onnx
    from ugpnet_core.testing.checks.devices import check_other_device
    from ugpnet_core.testing.checks.independence import (
        check_batch_independence,
        check_determinism,
        check_global_settings,
        check_hidden_state,
        check_random_state,
    )
    from ugpnet_core.testing.checks.inputs import (
        check_features_unchanged,
        check_input_unchanged,
        check_plain_images,
    )
    from ugpnet_core.testing.checks.precision import (
        check_bfloat16,
        check_channels_last,
        check_float64,
    )
    from ugpnet_core.testing.checks.shapes import (
        check_feature_shape,
        check_forward_agrees,
        check_odd_sizes,
        check_runs,
        check_sizes,
    )
    from ugpnet_core.testing.checks.speed import check_speed
    from ugpnet_core.testing.checks.training import (
        check_gradients,
        check_input_gradient,
        check_train_and_eval,
        check_training_step,
    )
    from ugpnet_core.testing.conformance import BackboneConformance
    from ugpnet_core.testing.models import check_model, model_check_names
    from ugpnet_core.testing.priors.conformance import PriorConformance
    from ugpnet_core.testing.priors.subject import PriorSubject, prior_subject_of
    from ugpnet_core.testing.priors.suite import (
        check_prior,
        prior_check_names,
        run_prior_checks,
    )
    from ugpnet_core.testing.report import CheckFailed, Outcome, Report, Result
    from ugpnet_core.testing.subject import Declared, Subject, subject_of
    from ugpnet_core.testing.suite import check_backbone, check_names, run_checks
    from ugpnet_core.testing.tasks import check_task, task_check_names

__all__ = [
    "BackboneConformance",
    "CheckFailed",
    "Declared",
    "Outcome",
    "PriorConformance",
    "PriorSubject",
    "Report",
    "Result",
    "Subject",
    "check_backbone",
    "check_batch_independence",
    "check_bfloat16",
    "check_builds",
    "check_channels_last",
    "check_compiles",
    "check_declared_values",
    "check_deep_copy",
    "check_determinism",
    "check_exports_onnx",
    "check_feature_shape",
    "check_features_unchanged",
    "check_float64",
    "check_forward_agrees",
    "check_global_settings",
    "check_gradients",
    "check_hidden_state",
    "check_input_gradient",
    "check_input_unchanged",
    "check_model",
    "check_names",
    "check_odd_sizes",
    "check_other_device",
    "check_parameter_count",
    "check_pickling",
    "check_plain_images",
    "check_prior",
    "check_protocol",
    "check_random_state",
    "check_runs",
    "check_save_and_load",
    "check_sizes",
    "check_speed",
    "check_task",
    "check_train_and_eval",
    "check_training_step",
    "model_check_names",
    "prior_check_names",
    "prior_subject_of",
    "run_checks",
    "run_prior_checks",
    "subject_of",
    "task_check_names",
]

_HOMES = {
    "conformance": ("BackboneConformance",),
    "models": ("check_model", "model_check_names"),
    "priors.conformance": ("PriorConformance",),
    "priors.subject": ("PriorSubject", "prior_subject_of"),
    "priors.suite": ("check_prior", "prior_check_names", "run_prior_checks"),
    "report": ("CheckFailed", "Outcome", "Report", "Result"),
    "subject": ("Declared", "Subject", "subject_of"),
    "tasks": ("check_task", "task_check_names"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # The checks all have their names in the suite.
    home = importlib.import_module(f"{__name__}.{_HOME_OF.get(name, 'suite')}")
    value = getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
