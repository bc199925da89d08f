"""``ugpnet check-prior``: does a prior keep the promises of the plugin interface?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ugpnet_core.cli.checking import AsJson, ListChecks, Only, check_installed, list_checks_of
from ugpnet_core.cli.options import OptionPairs
from ugpnet_core.plugins import PriorEntry

if TYPE_CHECKING:
    from ugpnet_core.testing.running import Suite


def check_prior(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Prior; see list-priors.")
    ] = None,
    option: OptionPairs = None,
    only: Only = None,
    as_json: AsJson = False,
    list_checks: ListChecks = False,
) -> None:
    """Check that a prior keeps every promise of the plugin interface.

    Each check makes networks of its own, with random weights, and runs them on random codes: the
    sizes that are declared, independence of the batch and of earlier calls, gradients to codes
    and parameters, range, saving and loading, copies; generation from random codes and the
    discriminator, where there are such. No check stops the others. A large prior takes minutes;
    options make it smaller.

    Every line is one check: ok, FAIL with what is wrong and what to do, or - where the check does
    not apply. Exit status: 0 nothing failed, 1 something failed, 2 wrong usage.

    Examples: ugpnet check-prior stylegan2 -O resolution=32 -O narrow=0.0625

    ugpnet check-prior mine --only gradients --only batch_independence

    In tests of a plugin: ugpnet_core.testing.PriorConformance.
    """
    if list_checks:
        list_checks_of(_suite(), as_json)
        return
    check_installed(PriorEntry, _suite, name, option or [], only or [], as_json)


def _suite() -> Suite[Any]:
    from ugpnet_core.testing.priors.suite import PRIOR_SUITE

    return PRIOR_SUITE
