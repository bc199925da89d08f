"""``ugpnet check-backbone``: does a backbone keep the promises of the plugin interface?"""

from __future__ import annotations

from typing import Annotated

import typer

from ugpnet_core.cli.checking import AsJson, Full, ListChecks, Only, check_installed, list_checks_of
from ugpnet_core.cli.options import OptionPairs
from ugpnet_core.plugins import BackboneEntry


def check_backbone(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Backbone or preset; see list-backbones.")
    ] = None,
    option: OptionPairs = None,
    only: Only = None,
    full: Full = False,
    as_json: AsJson = False,
    list_checks: ListChecks = False,
) -> None:
    """Check that a backbone keeps every promise of the plugin interface.

    Each check makes networks of its own, with random weights, and runs them on small images: the
    shapes and sizes that the entry declares, independence of the batch and of earlier calls,
    gradients, bfloat16, saving and loading, copies, other processes, speed, and more. No check
    stops the others. Without options, most take the small form that the entry names.

    Every line is one check: ok, FAIL with what is wrong and what to do, WARN with what users will
    not like, or - where the entry declares nothing or the check does not apply. Exit status: 0
    nothing failed, 1 something failed, 2 wrong usage.

    Examples: ugpnet check-backbone nafnet -O width=8

    ugpnet check-backbone mine --only gradients --only sizes

    In tests of a plugin: ugpnet_core.testing.BackboneConformance.
    """
    if list_checks:
        list_checks_of("backbone", as_json)
        return
    check_installed(BackboneEntry, name, option or [], only or [], full, as_json)
