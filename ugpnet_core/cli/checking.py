"""What ``ugpnet check-backbone`` and ``ugpnet check-prior`` share: all but their words."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from ugpnet_core import plugins
from ugpnet_core.cli.check_lines import print_line, print_result
from ugpnet_core.cli.console import plain
from ugpnet_core.cli.options import parse_options
from ugpnet_core.errors import PluginError, UnknownNameError
from ugpnet_core.plugins import WORDS, find

if TYPE_CHECKING:
    from ugpnet_core.testing.report import Report, Result
    from ugpnet_core.testing.running import Suite

Only: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(metavar="CHECK", help="Run this check only, by name; repeatable."),
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
ListChecks: TypeAlias = Annotated[
    bool, typer.Option("--list", help="Show what is checked, and check nothing.")
]


def list_checks_of(suite: Suite[Any], as_json: bool) -> None:
    """Print the name and the promise of every check."""
    if as_json:
        print(json.dumps({check.name: check.promise for check in suite.checks}, indent=2))
        return
    for check in suite.checks:
        print_line(check.name, check.promise, "", width=_width(suite))


def check_installed(
    kind: type[Any],
    load_suite: Callable[[], Suite[Any]],
    name: str | None,
    option: Sequence[str],
    only: Sequence[str],
    as_json: bool,
) -> None:
    """Check what has a name, print the report, and record the outcome of a whole check.

    Args:
        kind: of what is checked.
        load_suite: gives its checks; called late, because it imports torch.
        name, option, only, as_json: as given on the command line.

    Raises:
        typer.BadParameter: no name was given.
        UnknownNameError: no installed plugin has to do with that name.
        ConfigError: an option is unknown or impossible, or there is no check of a name.
        typer.Exit: something failed; with status 1.
    """
    word = WORDS[kind]
    if name is None:
        raise typer.BadParameter(f"Give the name of a {word}; see ugpnet list-{word}s.")
    options = parse_options(list(option))
    distribution, plugin_version = _source(kind, name)
    header = " ".join([f"{name} ({distribution} {plugin_version})", *option])
    suite = load_suite()
    report = _run(suite, name, options, only, None if as_json else header)
    core_version = version("ugpnet-core")
    if as_json:
        content = {
            "name": name,
            "distribution": distribution,
            "version": plugin_version,
            "core_version": core_version,
            "options": options,
            "ok": report.ok,
            **({"speed": report.speed} if "speed" in suite.names() else {}),
            "results": [dataclasses.asdict(result) for result in report.results],
        }
        print(json.dumps(content, indent=2, default=str))
    else:
        print(report.summary)
    if not report.ok:
        raise typer.Exit(1)


def _width(suite: Suite[Any]) -> int:
    return max(map(len, suite.names()))


def _source(kind: type[Any], name: str) -> tuple[str, str]:
    """The distribution that brings an entry, or that fails to, and its version.

    Raises:
        UnknownNameError: no installed plugin has to do with that name.
    """
    try:
        installed = find(kind, name)
    except UnknownNameError:
        raise
    except PluginError:
        for problem in plugins.registry().problems:
            if name in (problem.entry, problem.plugin):
                return problem.distribution, problem.version
        raise
    return installed.distribution, installed.version


def _run(
    suite: Suite[Any], name: str, options: dict[str, Any], only: Sequence[str], header: str | None
) -> Report:
    """Run the checks and, where there is a header, print it and each result as it comes.

    What a plugin prints goes to stderr, so that stdout holds the report alone.
    """
    from rich.console import Console

    for each in only:
        suite.require(each)
    stdout = sys.stdout
    terminal = Console(stderr=True, markup=False, highlight=False)
    with contextlib.redirect_stdout(sys.stderr):
        subject = suite.subject_of(name, **options)
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
                    print_result(result, _width(suite))

        try:
            return suite.run(subject, only, on_start=begin, on_result=show)
        finally:
            status.stop()
