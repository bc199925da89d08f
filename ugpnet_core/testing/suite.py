"""All checks in their order, and how they are run one after the other."""

from __future__ import annotations

import dataclasses
import difflib
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from ugpnet_core.errors import ConfigError
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
    check_other_device,
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
from ugpnet_core.testing.report import CheckFailed, Outcome, Report, Result, in_words
from ugpnet_core.testing.subject import Subject, subject_of
from ugpnet_core.testing.surroundings import settings, untouched


@dataclass(frozen=True)
class Check:
    """A check by name. Where one that it requires has failed, it is not run: it would fail for
    the same reason and say it worse."""

    function: Callable[[Subject], Outcome]
    requires: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """``gradients`` for ``check_gradients``."""
        return self.function.__name__.removeprefix("check_")

    @property
    def promise(self) -> str:
        """What must hold, in one sentence."""
        return (self.function.__doc__ or "").splitlines()[0]


_BUILT = ("builds",)
_RUNS = ("builds", "protocol", "runs")
_SHAPED = (*_RUNS, "feature_shape")
# Results can be compared only where they are the same again.
_STABLE = (*_RUNS, "determinism", "hidden_state")

CHECKS: tuple[Check, ...] = (
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
BY_NAME = {check.name: check for check in CHECKS}


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


def run_checks(
    subject: Subject,
    only: Collection[str] = (),
    on_start: Callable[[str], None] = lambda name: None,
    on_result: Callable[[Result], None] = lambda result: None,
) -> Report:
    """Run checks one after the other, each on networks of its own.

    Args:
        only: names of the checks to run; all where empty.
        on_start: called with the name of each check before it runs.
        on_result: called with each result.

    Raises:
        ConfigError: there is no check of a name.
    """
    for name in only:
        require_check(name)
    results: list[Result] = []
    failed: dict[str, str] = {}
    changed = ""
    for check in CHECKS:
        if only and check.name not in only:
            continue
        on_start(check.name)
        cause = next((name for name in check.requires if name in failed), None)
        if cause is not None:
            result = Result(check.name, "not run", f"because {cause} failed")
        else:
            with untouched():
                before = settings()
                result = run_check(check, subject)
                if not changed and check.name != "global_settings":
                    changed = _changes(before)
        if check.name == "global_settings" and changed and result.status == "passed":
            # What importing a plugin changes happens once only, in the first check.
            result = dataclasses.replace(result, status="failed", message=changed)
        if result.status == "failed":
            failed[check.name] = result.message
        elif check.name == "protocol":
            subject = _at_working_size(subject)
        results.append(result)
        on_result(result)
    return Report(subject.name, tuple(results))


def run_check(check: Check, subject: Subject) -> Result:
    """Run one check; whatever it raises, except an interrupt, is a failure in one sentence."""
    started = time.perf_counter()
    try:
        status, message = check.function(subject)
    except CheckFailed as failure:
        status, message = "failed", str(failure)
    except (Exception, SystemExit) as error:
        status, message = "failed", f"The network raises {in_words(error)}."
    return Result(check.name, status, message, time.perf_counter() - started)


def require_check(name: str) -> Check:
    """Find a check by name.

    Raises:
        ConfigError: there is none; the message names the near ones.
    """
    if name not in BY_NAME:
        near = difflib.get_close_matches(name, BY_NAME, n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(BY_NAME)}."
        raise ConfigError(f"There is no check {name!r}; {hint}")
    return BY_NAME[name]


def check_names() -> Sequence[str]:
    """The names of all checks, in their order."""
    return tuple(BY_NAME)


def _changes(before: dict[str, Any]) -> str:
    for name, value in settings().items():
        if value != before[name]:
            return (
                f"Importing, making or running the network changes torch's {name} from "
                f"{before[name]} to {value} for the whole process; leave that to the caller."
            )
    return ""


def _at_working_size(subject: Subject) -> Subject:
    """Where the usual probe size does not work, let the other checks use one that does, so that
    they say something of their own; the check of sizes says what is wrong."""
    if subject.size is not None:
        return subject
    try:
        with untouched():
            return dataclasses.replace(subject, size=working_size(subject))
    except Exception:
        return subject
