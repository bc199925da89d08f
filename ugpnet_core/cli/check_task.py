"""``ugpnet check-task``: does a task keep the promises of the plugin interface?"""

from __future__ import annotations

from typing import Annotated

import typer

from ugpnet_core.cli.checking import AsJson, ListChecks, Only, check_installed, list_checks_of
from ugpnet_core.cli.options import OptionPairs
from ugpnet_core.plugins import TaskEntry


def check_task(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Task; see list-tasks.")
    ] = None,
    option: OptionPairs = None,
    only: Only = None,
    as_json: AsJson = False,
    list_checks: ListChecks = False,
) -> None:
    """Check that a task (a degradation) keeps every promise of the plugin interface.

    Pictures of several sizes are degraded: type, size and range of what comes out, that the
    picture itself stays as it is, that all that is random comes from the generator that it is
    given, that nothing is remembered, and that copies for loader processes do the same.

    Every line is one check: ok, FAIL with what is wrong and what to do, or - where it does not
    apply. Exit status: 0 nothing failed, 1 something failed, 2 wrong usage.

    Examples: ugpnet check-task deblur -O resolution=64

    ugpnet check-task mine --only determinism

    In tests of a plugin: ugpnet_core.testing.check_task.
    """
    if list_checks:
        list_checks_of("task", as_json)
        return
    check_installed(TaskEntry, name, option or [], only or [], False, as_json)
