"""The conformance checks for plugins, shipped for their authors.

    from ugpnet_core.testing import check_backbone, check_model, check_prior, check_task
    check_backbone("nafnet", width=8).raise_if_failed()
    check_prior("stylegan2", resolution=32).raise_if_failed()
    check_task("deblur", resolution=64).raise_if_failed()
    check_model("portraits-denoise").raise_if_failed()

Every check is also a function of its own (``check_gradients(subject)``), and
:class:`BackboneConformance` and :class:`PriorConformance` make a pytest test of each. Names are
loaded when they are first used, so that importing this package imports neither torch nor pytest.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ugpnet_core.testing.conformance import BackboneConformance, PriorConformance
    from ugpnet_core.testing.models import check_model, model_check_names
    from ugpnet_core.testing.report import CheckFailed, Outcome, Report, Result
    from ugpnet_core.testing.subject import Declared, Subject, subject_of
    from ugpnet_core.testing.suites import (
        PriorSubject,
        check_backbone,
        check_names,
        check_prior,
        prior_check_names,
        prior_subject_of,
        run_checks,
        run_prior_checks,
    )
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
    "check_model",
    "check_names",
    "check_prior",
    "check_task",
    "model_check_names",
    "prior_check_names",
    "prior_subject_of",
    "run_checks",
    "run_prior_checks",
    "subject_of",
    "task_check_names",
]

_HOMES = ("report", "subject", "suites", "tasks", "models", "conformance")


def __getattr__(name: str) -> Any:
    if name in __all__:
        for home in _HOMES:
            module = importlib.import_module(f"{__name__}.{home}")
            if name in vars(module):
                return vars(module)[name]
    if name[:6] == "check_":
        functions = importlib.import_module(f"{__name__}.suites").FUNCTIONS
        if name in functions:
            return functions[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
