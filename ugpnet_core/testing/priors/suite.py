"""All checks of priors in their order, and how they are run one after the other."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from ugpnet_core.errors import ConfigError
from ugpnet_core.plugins.discovery import describe_error
from ugpnet_core.testing.priors.copies import check_deep_copy, check_pickling, check_save_and_load
from ugpnet_core.testing.priors.declarations import (
    check_builds,
    check_declared_values,
    check_parameter_count,
    check_protocol,
    check_range,
    check_runs,
    check_shapes,
)
from ugpnet_core.testing.priors.discriminator import check_discriminator_gradients, check_logits
from ugpnet_core.testing.priors.independence import (
    check_batch_independence,
    check_determinism,
    check_global_settings,
    check_hidden_state,
    check_input_unchanged,
    check_random_state,
)
from ugpnet_core.testing.priors.precision import (
    check_bfloat16,
    check_channels_last,
    check_float64,
    check_other_device,
)
from ugpnet_core.testing.priors.random_codes import (
    check_mean_latent,
    check_mixing,
    check_random_codes,
    check_second_order,
    check_truncation,
)
from ugpnet_core.testing.priors.subject import PriorSubject, prior_subject_of
from ugpnet_core.testing.priors.training import (
    check_code_gradients,
    check_gradients,
    check_train_and_eval,
    check_training_step,
)
from ugpnet_core.testing.report import CheckFailed, Outcome, Report, Result
from ugpnet_core.testing.surroundings import untouched


@dataclass(frozen=True)
class PriorCheck:
    """A check of a prior by name. Where one that it requires has failed, it is not run."""

    function: Callable[[PriorSubject], Outcome]
    requires: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """``gradients`` for ``check_gradients``."""
        return self.function.__name__.removeprefix("check_")

    @property
    def promise(self) -> str:
        """What must hold, in one sentence."""
        return " ".join((self.function.__doc__ or "").split("\n\n")[0].split())


_BUILT = ("builds", "protocol")
_RUNS = (*_BUILT, "runs")
_SHAPED = (*_RUNS, "shapes")
# Results can be compared only where they are the same again.
_STABLE = (*_SHAPED, "determinism")

PRIOR_CHECKS: tuple[PriorCheck, ...] = (
    PriorCheck(check_builds),
    PriorCheck(check_protocol, ("builds",)),
    PriorCheck(check_declared_values, _BUILT),
    PriorCheck(check_parameter_count, ("builds",)),
    PriorCheck(check_runs, _BUILT),
    PriorCheck(check_shapes, _RUNS),
    PriorCheck(check_range, _SHAPED),
    PriorCheck(check_determinism, _SHAPED),
    PriorCheck(check_hidden_state, _STABLE),
    PriorCheck(check_batch_independence, _STABLE),
    PriorCheck(check_random_state, _RUNS),
    PriorCheck(check_global_settings, _RUNS),
    PriorCheck(check_input_unchanged, _RUNS),
    PriorCheck(check_train_and_eval, _STABLE),
    PriorCheck(check_code_gradients, _SHAPED),
    PriorCheck(check_gradients, _STABLE),
    PriorCheck(check_training_step, _SHAPED),
    PriorCheck(check_bfloat16, _STABLE),
    PriorCheck(check_channels_last, _STABLE),
    PriorCheck(check_float64, _STABLE),
    PriorCheck(check_other_device, _SHAPED),
    PriorCheck(check_save_and_load, _STABLE),
    PriorCheck(check_deep_copy, _STABLE),
    PriorCheck(check_pickling, _STABLE),
    PriorCheck(check_random_codes, _STABLE),
    PriorCheck(check_mixing, (*_STABLE, "random_codes")),
    PriorCheck(check_truncation, (*_STABLE, "random_codes")),
    PriorCheck(check_mean_latent, (*_STABLE, "random_codes")),
    PriorCheck(check_second_order, (*_STABLE, "random_codes")),
    PriorCheck(check_logits, _BUILT),
    PriorCheck(check_discriminator_gradients, (*_BUILT, "logits")),
)
PRIOR_CHECKS_BY_NAME = {check.name: check for check in PRIOR_CHECKS}


def check_prior(what: Any, **options: Any) -> Report:
    """Run every check on a prior, and never stop at one that fails.

    Args:
        what: the name of an installed prior, an entry, a factory (a class or function that gives a
            generator), a generator, or a :class:`PriorSubject`. Only a name or an entry brings
            its discriminator with it.
        options: for its factory, as :func:`ugpnet_core.create_prior` takes them.

    Raises:
        UnknownNameError: no such prior is installed.
        ConfigError: an option is unknown or impossible.
    """
    return run_prior_checks(prior_subject_of(what, **options))


def run_prior_checks(
    subject: PriorSubject,
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
        require_prior_check(name)
    results: list[Result] = []
    failed: set[str] = set()
    for check in PRIOR_CHECKS:
        if only and check.name not in only:
            continue
        on_start(check.name)
        cause = next((name for name in check.requires if name in failed), None)
        if cause is not None:
            result = Result(check.name, "not run", f"because {cause} failed")
        else:
            result = run_prior_check(check, subject)
        if result.status == "failed":
            failed.add(check.name)
        results.append(result)
        on_result(result)
    return Report(subject.name, tuple(results), word="Prior")


def run_prior_check(check: PriorCheck, subject: PriorSubject) -> Result:
    """Run one check; whatever it raises, except an interrupt, is a failure in one sentence."""
    started = time.perf_counter()
    with untouched():
        try:
            status, message = check.function(subject)
        except CheckFailed as failure:
            status, message = "failed", str(failure)
        except (Exception, SystemExit) as error:
            status, message = "failed", f"The prior raises {describe_error(error)}."
    return Result(check.name, status, message, time.perf_counter() - started)


def require_prior_check(name: str) -> PriorCheck:
    """Find a check by name.

    Raises:
        ConfigError: there is none; the message names the near ones.
    """
    if name not in PRIOR_CHECKS_BY_NAME:
        near = difflib.get_close_matches(name, PRIOR_CHECKS_BY_NAME, n=2)
        known = ", ".join(PRIOR_CHECKS_BY_NAME)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {known}."
        raise ConfigError(f"There is no check {name!r}; {hint}")
    return PRIOR_CHECKS_BY_NAME[name]


def prior_check_names() -> tuple[str, ...]:
    """The names of all checks of priors, in their order."""
    return tuple(PRIOR_CHECKS_BY_NAME)
