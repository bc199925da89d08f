"""``ugpnet check-prior``: does a prior keep the promises of the plugin interface?"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ugpnet_core.cli.check_lines import print_line, print_result
from ugpnet_core.cli.console import plain
from ugpnet_core.cli.options import OptionPairs, parse_options
from ugpnet_core.errors import PluginError, UnknownNameError

if TYPE_CHECKING:
    from ugpnet_core.testing.report import Report, Result

WIDTH = 23


def check_prior(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Prior; see list-priors.")
    ] = None,
    option: OptionPairs = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="CHECK", help="Run this check only, by name; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    list_checks: Annotated[
        bool, typer.Option("--list", help="Show what is checked, and check nothing.")
    ] = False,
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
        _list(as_json)
        return
    if name is None:
        raise typer.BadParameter("Give the name of a prior; see ugpnet list-priors.")
    options = parse_options(option or [])
    distribution, plugin_version = _source(name)
    header = " ".join([f"{name} ({distribution} {plugin_version})", *(option or [])])
    report = _run(name, options, only or [], None if as_json else header)
    if as_json:
        content = {
            "name": name,
            "distribution": distribution,
            "version": plugin_version,
            "core_version": version("ugpnet-core"),
            "options": options,
            "ok": report.ok,
            "results": [dataclasses.asdict(result) for result in report.results],
        }
        print(json.dumps(content, indent=2, default=str))
    else:
        print(report.summary)
    if not report.ok:
        raise typer.Exit(1)


def _list(as_json: bool) -> None:
    from ugpnet_core.testing.priors.suite import PRIOR_CHECKS

    if as_json:
        print(json.dumps({check.name: check.promise for check in PRIOR_CHECKS}, indent=2))
        return
    for check in PRIOR_CHECKS:
        print_line(check.name, check.promise, "", width=WIDTH)


def _source(name: str) -> tuple[str, str]:
    """The distribution that brings a prior, or that fails to, and its version.

    Raises:
        UnknownNameError: no installed plugin has to do with that name.
    """
    from ugpnet_core.plugins import PriorEntry, find, registry

    try:
        installed = find(PriorEntry, name)
    except UnknownNameError:
        raise
    except PluginError:
        for problem in registry().problems:
            if name in (problem.entry, problem.plugin):
                return problem.distribution, problem.version
        raise
    return installed.distribution, installed.version


def _run(name: str, options: dict[str, Any], only: Sequence[str], header: str | None) -> Report:
    """Run the checks and, where there is a header, print it and each result as it comes.

    What a plugin prints goes to stderr, so that stdout holds the report alone.
    """
    from rich.console import Console

    from ugpnet_core.testing.priors.subject import prior_subject_of
    from ugpnet_core.testing.priors.suite import require_prior_check, run_prior_checks

    for each in only:
        require_prior_check(each)
    stdout = sys.stdout
    terminal = Console(stderr=True, markup=False, highlight=False)
    with contextlib.redirect_stdout(sys.stderr):
        subject = prior_subject_of(name, **options)
        if header is not None:
            with contextlib.redirect_stdout(stdout):
                print(plain(header), flush=True)
        # Only a terminal shows it.
        with terminal.status(f"Checking {plain(name)}") as status:

            def show(result: Result) -> None:
                if header is not None:
                    with contextlib.redirect_stdout(stdout):
                        print_result(result, WIDTH)

            return run_prior_checks(
                subject,
                only,
                on_start=lambda check: status.update(f"Checking {plain(name)}: {check}"),
                on_result=show,
            )
