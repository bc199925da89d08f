"""``ugpnet check-backbone``: does a backbone keep the promises of the plugin interface?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ugpnet_core.cli.checking import AsJson, ListChecks, Only, check_installed, list_checks_of
from ugpnet_core.cli.options import OptionPairs
from ugpnet_core.plugins import BackboneEntry

if TYPE_CHECKING:
    from ugpnet_core.testing.running import Suite


def check_backbone(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Backbone or preset; see list-backbones.")
    ] = None,
    option: OptionPairs = None,
    only: Only = None,
    as_json: AsJson = False,
    list_checks: ListChecks = False,
) -> None:
    """Check that a backbone keeps every promise of the plugin interface.

    Each check makes networks of its own, with random weights, and runs them on small images: the
    shapes and sizes that the entry declares, independence of the batch and of earlier calls,
    gradients, bfloat16, saving and loading, copies, speed, and more. No check stops the others.

    Every line is one check: ok, FAIL with what is wrong and what to do, or - where the entry
    declares nothing or the check does not apply. Exit status: 0 nothing failed, 1 something
    failed, 2 wrong usage. "ugpnet show NAME" repeats the outcome of the last whole check.

    Examples: ugpnet check-backbone nafnet -O width=8

    ugpnet check-backbone mine --only gradients --only sizes

    In tests of a plugin: ugpnet_core.testing.BackboneConformance.
    """
    if list_checks:
        list_checks_of(_suite(), as_json)
        return
    check_installed(BackboneEntry, _suite, name, option or [], only or [], as_json)


def _suite() -> Suite[Any]:
    from ugpnet_core.testing.suite import SUITE

    return SUITE
