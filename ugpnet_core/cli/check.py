"""``ugpnet check-backbone``: does a backbone keep the promises of the plugin interface?"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ugpnet_core.cli.check_lines import print_line, print_result
from ugpnet_core.cli.console import plain
from ugpnet_core.cli.options import OptionPairs, parse_options
from ugpnet_core.errors import PluginError, UnknownNameError
from ugpnet_core.testing.record import LastCheck, write_last_check

if TYPE_CHECKING:
    from ugpnet_core.testing.report import Report, Result


def check_backbone(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Backbone or preset; see list-backbones.")
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
        _list(as_json)
        return
    if name is None:
        raise typer.BadParameter("Give the name of a backbone; see ugpnet list-backbones.")
    options = parse_options(option or [])
    distribution, plugin_version = _source(name)
    header = " ".join([f"{name} ({distribution} {plugin_version})", *(option or [])])
    report = _run(name, options, only or [], None if as_json else header)
    core_version = version("ugpnet-core")
    if as_json:
        content = {
            "name": name,
            "distribution": distribution,
            "version": plugin_version,
            "core_version": core_version,
            "options": options,
            "ok": report.ok,
            "speed": report.speed,
            "results": [dataclasses.asdict(result) for result in report.results],
        }
        print(json.dumps(content, indent=2, default=str))
    else:
        print(report.summary)
    if not only:
        write_last_check(
            LastCheck(
                name=name,
                date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
                distribution=distribution,
                version=plugin_version,
                core_version=core_version,
                ok=report.ok,
                failed=tuple(result.name for result in report.failed),
                passed=sum(result.status == "passed" for result in report.results),
                speed=report.speed,
                options=tuple(option or []),
            )
        )
    if not report.ok:
        raise typer.Exit(1)


def _list(as_json: bool) -> None:
    from ugpnet_core.testing.suite import CHECKS

    if as_json:
        print(json.dumps({check.name: check.promise for check in CHECKS}, indent=2))
        return
    for check in CHECKS:
        print_line(check.name, check.promise, "")


def _source(name: str) -> tuple[str, str]:
    """The distribution that brings a backbone, or that fails to, and its version.

    Raises:
        UnknownNameError: no installed plugin has to do with that name.
    """
    from ugpnet_core.plugins import BackboneEntry, find, registry

    try:
        installed = find(BackboneEntry, name)
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

    from ugpnet_core.testing.subject import subject_of
    from ugpnet_core.testing.suite import require_check, run_checks

    for each in only:
        require_check(each)
    stdout = sys.stdout
    terminal = Console(stderr=True, markup=False, highlight=False)
    with contextlib.redirect_stdout(sys.stderr):
        subject = subject_of(name, **options)
        if header is not None:
            with contextlib.redirect_stdout(stdout):
                print(plain(header), flush=True)
        # Only a terminal shows it.
        status = terminal.status(f"Checking {plain(name)}")

        def begin(check: str) -> None:
            status.update(f"Checking {plain(name)}: {check}")
            status.start()

        def show(result: Result) -> None:
            status.stop()  # it stands where the line goes
            if header is not None:
                with contextlib.redirect_stdout(stdout):
                    print_result(result)

        try:
            return run_checks(subject, only, on_start=begin, on_result=show)
        finally:
            status.stop()
