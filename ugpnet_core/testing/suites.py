"""All checks in their order: of backbones, and of priors."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from torch import nn

from ugpnet_core.testing.checks import (
    cost,
    declarations,
    forms,
    generation,
    independence,
    processes,
    shapes,
    slopes,
    surroundings,
    training,
)
from ugpnet_core.testing.report import Outcome, Report
from ugpnet_core.testing.running import Check, Suite
from ugpnet_core.testing.subject import Declared, Subject, subject_of

Function = Callable[[Subject], Outcome]

_RUNS = ("builds", "protocol", "runs")
_SHAPED = (*_RUNS, "shapes")
# Results can be compared only where they are the same again.
_ALIKE = (*_SHAPED, "determinism", "hidden_state")
# What is not in the state dict does not follow to other formats, devices and processes either.
_LOADED = (*_ALIKE, "save_and_load")
# Slopes can be compared only where all that makes them other than gradients is in order.
_GRADED = (*_LOADED, "float64", "input_unchanged", "gradients")


def _each(requires: tuple[str, ...], *functions: Function) -> Iterator[Check]:
    return (Check(function, requires) for function in functions)


_DECLARED = (
    Check(declarations.check_builds, whole=True),
    Check(declarations.check_protocol, ("builds",)),
    Check(declarations.check_declared_values, ("builds", "protocol"), whole=True),
)
_SHARED = (
    Check(shapes.check_runs, ("builds", "protocol"), whole=True),
    Check(shapes.check_shapes, _RUNS),
    Check(independence.check_determinism, _SHAPED),
    Check(independence.check_hidden_state, (*_SHAPED, "determinism")),
    Check(independence.check_batch_independence, _ALIKE),
    *_each(_RUNS, surroundings.check_random_state, surroundings.check_global_settings),
    Check(independence.check_threads, (*_ALIKE, "global_settings")),
    Check(surroundings.check_input_unchanged, (*_RUNS, "hidden_state")),
    *_each(_SHAPED, training.check_gradients, training.check_training_step),
    Check(independence.check_inference_mode, (*_ALIKE, "gradients")),
    Check(surroundings.check_full_precision, _RUNS),
    *_each(_ALIKE, forms.check_bfloat16, forms.check_channels_last),
    *_each(_ALIKE, forms.check_save_and_load, forms.check_deep_copy, forms.check_pickling),
    Check(processes.check_other_process, (*_LOADED, "random_state")),
    *_each(_LOADED, forms.check_float64, forms.check_other_device),
    Check(slopes.check_true_gradients, _GRADED),
)
BACKBONES = Suite(
    "backbone",
    (
        *_DECLARED,
        *_SHARED,
        Check(shapes.check_sizes, _SHAPED),
        Check(shapes.check_forward_agrees, _ALIKE),
        Check(cost.check_large_images, (*_ALIKE, "sizes")),
        Check(training.check_plain_images, _RUNS),
        *_each((*_RUNS, "determinism"), forms.check_compiles, forms.check_exports_onnx),
        Check(cost.check_speed, (*_ALIKE, "sizes"), whole=True),
    ),
    subject_of,
)


def prior_subject_of(what: Any, **options: Any) -> Subject:
    """``subject_of(what, "prior", **options)``."""
    return subject_of(what, "prior", **options)


PRIORS = Suite(
    "prior",
    (
        *_DECLARED,
        Check(declarations.check_weights, ("builds",), whole=True),
        *_SHARED,
        Check(generation.check_range, _SHAPED),
        Check(generation.check_random_codes, (*_SHAPED, "determinism")),
        *_each(
            (*_SHAPED, "determinism", "random_codes"),
            generation.check_mean_latent,
            generation.check_second_order,
        ),
        Check(generation.check_discriminator, ("builds", "protocol")),
    ),
    prior_subject_of,
)
SUITES = {suite.word: suite for suite in (BACKBONES, PRIORS)}
FUNCTIONS: dict[str, Function] = {
    check.function.__name__: check.function for suite in SUITES.values() for check in suite.checks
}


def check_names(word: str = "backbone") -> tuple[str, ...]:
    """The names of all checks of a ``backbone`` or a ``prior``, in their order."""
    return SUITES[word].names()


def run_checks(subject: Subject, **how: Any) -> Report:
    """Run checks on a subject; see :meth:`ugpnet_core.testing.running.Suite.run`."""
    return SUITES[subject.word].run(subject, **how)


def check_backbone(what: Any, **options: Any) -> Report:
    """Run every check on a backbone, and never stop at one that fails.

    Args:
        what: the name of an installed backbone or preset, an entry, a factory (a class or function
            that gives a network), a network, or a :class:`ugpnet_core.testing.Subject`.
        options: for its factory, as :func:`ugpnet_core.create_backbone` takes them. Without any,
            most checks take the small form that an entry may name.

    Raises:
        UnknownNameError: no such backbone is installed.
        ConfigError: an option is unknown or impossible.
    """
    return run_checks(subject_of(what, **options))


def check_prior(what: Any, **options: Any) -> Report:
    """Run every check on a prior, as :func:`check_backbone` does. Only a name or an entry brings
    its discriminator with it.

    Raises:
        UnknownNameError: no such prior is installed.
        ConfigError: an option is unknown or impossible.
    """
    return run_checks(prior_subject_of(what, **options))


# Names that the kit had for priors before it had one Subject for all; they go on working.


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


def run_prior_checks(subject: Subject, only: Collection[str] = (), **how: Any) -> Report:
    """``run_checks(subject, only=only, **how)``."""
    return run_checks(subject, only=only, **how)


def prior_check_names() -> tuple[str, ...]:
    """``check_names("prior")``."""
    return PRIORS.names()
