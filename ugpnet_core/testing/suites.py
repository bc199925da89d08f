"""All checks in their order: of backbones, and of priors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ugpnet_core.testing.checks import (
    copies,
    declarations,
    deployment,
    devices,
    independence,
    inference,
    inputs,
    large,
    precision,
    processes,
    shapes,
    slopes,
    speed,
    training,
)
from ugpnet_core.testing.priors import declarations as prior_declarations
from ugpnet_core.testing.priors import discriminator, random_codes, weights
from ugpnet_core.testing.report import Outcome, Report
from ugpnet_core.testing.running import Check, Suite
from ugpnet_core.testing.subject import Subject, subject_of


def _backbone(what: Any, **options: Any) -> Subject:
    return subject_of(what, "backbone", **options)


def _prior(what: Any, **options: Any) -> Subject:
    return subject_of(what, "prior", **options)


_BUILT = ("builds", "protocol")
_RUNS = (*_BUILT, "runs")


def _shared(shaped: tuple[str, ...]) -> list[Check]:
    """The checks of all networks, whose results have their shapes if these checks pass."""
    # Results can be compared only where they are the same again.
    alike = (*_RUNS, "determinism", "hidden_state")
    loaded = (*alike, "save_and_load")
    return [
        Check(independence.check_determinism, shaped),
        Check(independence.check_hidden_state, (*shaped, "determinism")),
        Check(independence.check_batch_independence, alike),
        Check(independence.check_random_state, _RUNS),
        Check(independence.check_global_settings, _RUNS),
        Check(independence.check_threads, (*alike, "global_settings")),
        Check(inputs.check_input_unchanged, _RUNS),
        Check(training.check_train_and_eval, alike),
        Check(training.check_gradients, shaped),
        Check(training.check_input_gradient, shaped),
        Check(training.check_training_step, shaped),
        Check(inference.check_inference_mode, (*alike, "train_and_eval")),
        Check(inference.check_full_precision, _RUNS),
        Check(precision.check_bfloat16, alike),
        Check(precision.check_channels_last, alike),
        Check(copies.check_save_and_load, alike),
        Check(copies.check_deep_copy, alike),
        Check(copies.check_pickling, alike),
        Check(processes.check_other_process, (*loaded, "random_state")),
        # What is not in the state dict does not follow to other formats and devices either.
        Check(precision.check_float64, loaded),
        Check(devices.check_other_device, loaded),
    ]


# Slopes can be compared only where all that makes them other than gradients is in order.
_GRADED = (
    *_RUNS,
    "determinism",
    "hidden_state",
    "input_unchanged",
    "gradients",
    "input_gradient",
    "save_and_load",
)
_SIZED = (*_RUNS, "feature_shape", "sizes")
BACKBONES = Suite(
    "backbone",
    (
        Check(declarations.check_builds, whole=True),
        Check(declarations.check_protocol, ("builds",)),
        Check(declarations.check_declared_values, _BUILT, whole=True),
        Check(declarations.check_parameter_count, ("builds",), whole=True),
        Check(speed.check_runs, _BUILT, whole=True),
        Check(shapes.check_feature_shape, _RUNS),
        Check(shapes.check_sizes, (*_RUNS, "feature_shape")),
        Check(shapes.check_odd_sizes, _SIZED),
        *_shared((*_RUNS, "feature_shape")),
        Check(
            shapes.check_forward_agrees, (*_RUNS, "feature_shape", "determinism", "hidden_state")
        ),
        Check(large.check_large_images, (*_SIZED, "determinism", "hidden_state")),
        Check(inputs.check_features_unchanged, (*_RUNS, "hidden_state")),
        Check(slopes.check_true_gradients, (*_GRADED, "features_unchanged")),
        Check(inputs.check_plain_images, _RUNS),
        Check(deployment.check_compiles, (*_RUNS, "determinism")),
        Check(deployment.check_exports_onnx, (*_RUNS, "determinism")),
        Check(speed.check_speed, (*_SIZED, "determinism", "hidden_state"), whole=True),
    ),
    _backbone,
)
_CODES = (*_RUNS, "shapes", "determinism", "random_codes")
PRIORS = Suite(
    "prior",
    (
        Check(declarations.check_builds, whole=True),
        Check(prior_declarations.check_protocol, ("builds",)),
        Check(declarations.check_declared_values, _BUILT, whole=True),
        Check(declarations.check_parameter_count, ("builds",), whole=True),
        Check(weights.check_weights, ("builds",), whole=True),
        Check(speed.check_runs, _BUILT, whole=True),
        Check(prior_declarations.check_shapes, _RUNS),
        Check(prior_declarations.check_range, (*_RUNS, "shapes")),
        *_shared((*_RUNS, "shapes")),
        Check(slopes.check_true_gradients, _GRADED),
        Check(random_codes.check_random_codes, _CODES[:-1]),
        Check(random_codes.check_mixing, _CODES),
        Check(random_codes.check_truncation, _CODES),
        Check(random_codes.check_mean_latent, _CODES),
        Check(random_codes.check_second_order, _CODES),
        Check(discriminator.check_logits, _BUILT),
        Check(discriminator.check_discriminator_gradients, (*_BUILT, "logits")),
    ),
    _prior,
)
SUITES = {suite.word: suite for suite in (BACKBONES, PRIORS)}
FUNCTIONS: dict[str, Callable[[Subject], Outcome]] = {
    check.function.__name__: check.function
    for suite in (PRIORS, BACKBONES)
    for check in suite.checks
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
    return run_checks(subject_of(what, "prior", **options))
