"""Names that the kit had for priors before it had one Subject for all; they go on working."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from torch import nn

from ugpnet_core.testing.report import Report
from ugpnet_core.testing.subject import Declared, Subject, subject_of
from ugpnet_core.testing.suites import PRIORS, run_checks


def PriorSubject(  # noqa: N802 - it was a class
    *,
    name: str,
    make: Callable[[], nn.Module],
    make_discriminator: Callable[[], nn.Module] | None = None,
    resolution: int | None = None,
    parameters: int | None = None,
    fault: str | None = None,
) -> Subject:
    """A :class:`ugpnet_core.testing.Subject` that is a prior."""
    return Subject(
        name=name,
        make=make,
        word="prior",
        declared=Declared(resolution=resolution, parameters=parameters),
        make_discriminator=make_discriminator,
        fault=fault,
    )


def prior_subject_of(what: Any, **options: Any) -> Subject:
    """``subject_of(what, "prior", **options)``."""
    return subject_of(what, "prior", **options)


def prior_check_names() -> tuple[str, ...]:
    """``check_names("prior")``."""
    return PRIORS.names()


def run_prior_checks(subject: Subject, only: Collection[str] = (), **how: Any) -> Report:
    """``run_checks(subject, only=only, **how)``."""
    return run_checks(subject, only=only, **how)
