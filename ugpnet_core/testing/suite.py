"""All checks of backbones in their order."""

from __future__ import annotations

import dataclasses
from typing import Any

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
    working_size,
)
from ugpnet_core.testing.checks.speed import check_speed
from ugpnet_core.testing.checks.training import (
    check_gradients,
    check_input_gradient,
    check_train_and_eval,
    check_training_step,
)
from ugpnet_core.testing.report import Report
from ugpnet_core.testing.running import Check, Suite
from ugpnet_core.testing.subject import Subject, subject_of
from ugpnet_core.testing.surroundings import untouched

_BUILT = ("builds",)
_RUNS = ("builds", "protocol", "runs")
_SHAPED = (*_RUNS, "feature_shape")
# Results can be compared only where they are the same again.
_STABLE = (*_RUNS, "determinism", "hidden_state")

CHECKS: tuple[Check[Subject], ...] = (
    Check(check_builds),
    Check(check_protocol, _BUILT),
    Check(check_declared_values, ("builds", "protocol")),
    Check(check_parameter_count, _BUILT),
    Check(check_runs, ("builds", "protocol")),
    Check(check_feature_shape, _RUNS),
    Check(check_sizes, _SHAPED),
    Check(check_odd_sizes, (*_SHAPED, "sizes")),
    Check(check_determinism, _RUNS),
    Check(check_hidden_state, (*_RUNS, "determinism")),
    Check(check_forward_agrees, (*_STABLE, "feature_shape")),
    Check(check_batch_independence, _STABLE),
    Check(check_random_state, _RUNS),
    Check(check_global_settings, _RUNS),
    Check(check_input_unchanged, _RUNS),
    Check(check_features_unchanged, _RUNS),
    Check(check_train_and_eval, _STABLE),
    Check(check_gradients, _RUNS),
    Check(check_input_gradient, _RUNS),
    Check(check_training_step, _SHAPED),
    Check(check_plain_images, _RUNS),
    Check(check_bfloat16, _STABLE),
    Check(check_channels_last, _STABLE),
    Check(check_save_and_load, _STABLE),
    Check(check_deep_copy, _STABLE),
    Check(check_pickling, _STABLE),
    # What is not in the state dict does not follow to other formats and devices either.
    Check(check_float64, (*_STABLE, "save_and_load")),
    Check(check_other_device, (*_RUNS, "save_and_load")),
    Check(check_compiles, _STABLE),
    Check(check_exports_onnx, _STABLE),
    Check(check_speed, (*_STABLE, "sizes")),
)


def check_backbone(what: Any, **options: Any) -> Report:
    """Run every check on a backbone, and never stop at one that fails.

    Args:
        what: the name of an installed backbone or preset, an entry, a factory (a class or function
            that gives a network), a network, or a :class:`ugpnet_core.testing.Subject`.
        options: for its factory, as :func:`ugpnet_core.create_backbone` takes them.

    Raises:
        UnknownNameError: no such backbone is installed.
        ConfigError: an option is unknown or impossible.
    """
    return run_checks(subject_of(what, **options))


def _at_working_size(check: str, subject: Subject) -> Subject:
    """After the check of the protocol: where the usual probe size does not work, let the other
    checks use one that does, so that they say something of their own; the check of sizes says what
    is wrong."""
    if check != "protocol" or subject.size is not None:
        return subject
    try:
        with untouched():
            return dataclasses.replace(subject, size=working_size(subject))
    except Exception:
        return subject


SUITE = Suite(
    checks=CHECKS,
    subject_of=subject_of,
    kind="backbone",
    raiser="network",
    after=_at_working_size,
)
run_checks = SUITE.run
check_names = SUITE.names
