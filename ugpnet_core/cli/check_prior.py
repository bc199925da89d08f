"""``ugpnet check-prior``: does a prior keep the promises of the plugin interface?"""

from __future__ import annotations

from typing import Annotated

import typer

from ugpnet_core.cli.checking import AsJson, Full, ListChecks, Only, check_installed, list_checks_of
from ugpnet_core.cli.options import OptionPairs
from ugpnet_core.plugins import PriorEntry


def check_prior(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Prior; see list-priors.")
    ] = None,
    option: OptionPairs = None,
    only: Only = None,
    full: Full = False,
    as_json: AsJson = False,
    list_checks: ListChecks = False,
) -> None:
    """Check that a prior keeps every promise of the plugin interface.

    Each check makes networks of its own, with random weights, and runs them on random codes: the
    sizes that are declared, independence of the batch and of earlier calls, gradients to codes
    and parameters, range, saving and loading, copies; generation from random codes and the
    discriminator, where there are such. No check stops the others. Without options, most take the
    small form that the entry names; a large prior takes minutes.

    Every line is one check: ok, FAIL with what is wrong and what to do, WARN with what users will
    not like, or - where the check does not apply. Exit status: 0 nothing failed, 1 something
    failed, 2 wrong usage.

    Examples: ugpnet check-prior stylegan2 -O resolution=32 -O narrow=0.0625

    ugpnet check-prior mine --only gradients --only batch_independence

    In tests of a plugin: ugpnet_core.testing.PriorConformance.
    """
    if list_checks:
        list_checks_of("prior", as_json)
        return
    check_installed(PriorEntry, name, option or [], only or [], full, as_json)
