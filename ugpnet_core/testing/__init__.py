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
    from ugpnet_core.testing.former import (
        PriorSubject,
        prior_check_names,
        prior_subject_of,
        run_prior_checks,
    )
    from ugpnet_core.testing.models import check_model, model_check_names
    from ugpnet_core.testing.report import CheckFailed, Outcome, Report, Result
    from ugpnet_core.testing.subject import Declared, Subject, subject_of
    from ugpnet_core.testing.suites import check_backbone, check_names, check_prior, run_checks
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

_HOMES = {
    "conformance": ("BackboneConformance", "PriorConformance"),
    "models": ("check_model", "model_check_names"),
    "report": ("CheckFailed", "Outcome", "Report", "Result"),
    "former": ("PriorSubject", "prior_check_names", "prior_subject_of", "run_prior_checks"),
    "subject": ("Declared", "Subject", "subject_of"),
    "suites": ("check_backbone", "check_names", "check_prior", "run_checks"),
    "tasks": ("check_task", "task_check_names"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        value = getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    else:
        suites = importlib.import_module(f"{__name__}.suites") if name[:6] == "check_" else None
        if suites is None or name not in suites.FUNCTIONS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = suites.FUNCTIONS[name]
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
