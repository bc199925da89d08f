"""All checks of priors in their order."""

from __future__ import annotations

from typing import Any

from ugpnet_core.testing.checks.copies import check_deep_copy, check_pickling, check_save_and_load
from ugpnet_core.testing.checks.devices import check_other_device
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
from ugpnet_core.testing.priors.weights import check_weights
from ugpnet_core.testing.report import Report
from ugpnet_core.testing.running import Check, Suite

_BUILT = ("builds", "protocol")
_RUNS = (*_BUILT, "runs")
_SHAPED = (*_RUNS, "shapes")
# Results can be compared only where they are the same again.
_STABLE = (*_SHAPED, "determinism")

PRIOR_CHECKS: tuple[Check[PriorSubject], ...] = (
    Check(check_builds),
    Check(check_protocol, ("builds",)),
    Check(check_declared_values, _BUILT),
    Check(check_parameter_count, ("builds",)),
    Check(check_weights, ("builds",)),
    Check(check_runs, _BUILT),
    Check(check_shapes, _RUNS),
    Check(check_range, _SHAPED),
    Check(check_determinism, _SHAPED),
    Check(check_hidden_state, _STABLE),
    Check(check_batch_independence, _STABLE),
    Check(check_random_state, _RUNS),
    Check(check_global_settings, _RUNS),
    Check(check_input_unchanged, _RUNS),
    Check(check_train_and_eval, _STABLE),
    Check(check_code_gradients, _SHAPED),
    Check(check_gradients, _STABLE),
    Check(check_training_step, _SHAPED),
    Check(check_bfloat16, _STABLE),
    Check(check_channels_last, _STABLE),
    Check(check_float64, _STABLE),
    Check(check_other_device, _SHAPED),
    Check(check_save_and_load, _STABLE),
    Check(check_deep_copy, _STABLE),
    Check(check_pickling, _STABLE),
    Check(check_random_codes, _STABLE),
    Check(check_mixing, (*_STABLE, "random_codes")),
    Check(check_truncation, (*_STABLE, "random_codes")),
    Check(check_mean_latent, (*_STABLE, "random_codes")),
    Check(check_second_order, (*_STABLE, "random_codes")),
    Check(check_logits, _BUILT),
    Check(check_discriminator_gradients, (*_BUILT, "logits")),
)
PRIOR_SUITE = Suite(checks=PRIOR_CHECKS, subject_of=prior_subject_of, kind="prior", raiser="prior")
run_prior_checks = PRIOR_SUITE.run
prior_check_names = PRIOR_SUITE.names


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
