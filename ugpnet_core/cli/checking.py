"""What the commands ``ugpnet check-...`` share: all but their words."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from ugpnet_core import plugins
from ugpnet_core.cli.check_lines import print_line, print_result
from ugpnet_core.cli.console import plain
from ugpnet_core.cli.options import parse_options
from ugpnet_core.errors import PluginError, UnknownNameError
from ugpnet_core.plugins import WORDS, ModelEntry, find

if TYPE_CHECKING:
    from ugpnet_core.testing.report import Report, Result
    from ugpnet_core.testing.running import Suite

Only: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(metavar="CHECK", help="Run this check only, by name; repeatable."),
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Full: TypeAlias = Annotated[
    bool,
    typer.Option("--full", help="Check the network itself, also where it has a small form."),
]
ListChecks: TypeAlias = Annotated[
    bool, typer.Option("--list", help="Show what is checked, and check nothing.")
]


def list_checks_of(word: str, as_json: bool) -> None:
    """Print the name and the promise of every check of a ``backbone``, ``prior``, ``task`` or
    ``model``."""
    suite = _suite(word)
    if as_json:
        print(json.dumps({check.name: check.promise for check in suite.checks}, indent=2))
        return
    for check in suite.checks:
        print_line(check.name, check.promise, "", width=_width(suite))


def check_installed(
    kind: type[Any],
    name: str | None,
    option: Sequence[str],
    only: Sequence[str],
    full: bool,
    as_json: bool,
) -> None:
    """Check what has a name, and print the report.

    Args:
        kind: of what is checked.
        name, option, only, full, as_json: as given on the command line; the name of a model may be
            the path of its file.

    Raises:
        typer.BadParameter: no name was given.
        UnknownNameError: no installed plugin has to do with that name.
        ConfigError: an option is unknown or impossible, or there is no check of a name.
        typer.Exit: something failed; with status 1.
    """
    word: Any = WORDS[kind]
    if name is None:
        raise typer.BadParameter(f"Give the name of a {word}; see ugpnet list-{word}s.")
    options = parse_options(list(option))
    distribution, plugin_version = _source(kind, name)
    source = f"{distribution} {plugin_version}" if distribution else "a file"
    suite = _suite(word)
    for each in only:
        suite.require(each)
    # What a plugin prints goes to stderr, so that stdout holds the report alone.
    with contextlib.redirect_stdout(sys.stderr):
        subject = suite.subject_of(name, **options)
    if not as_json:
        print(plain(" ".join([f"{name} ({source})", *option])))
        if subject.small and not full:
            print(f"  in a small form ({plain(subject.small[1])}); --full checks all of it")
    report = _run(suite, subject, only, full, not as_json)
    if as_json:
        content = {
            "name": name,
            "distribution": distribution,
            "version": plugin_version,
            "core_version": version("ugpnet-core"),
            "options": options,
            "small": subject.small[1] if subject.small and not full else "",
            "ok": report.ok,
            **({"speed": report.speed} if "speed" in suite.names() else {}),
            "results": [dataclasses.asdict(result) for result in report.results],
        }
        print(json.dumps(content, indent=2, default=str))
    else:
        print(report.summary)
    if not report.ok:
        raise typer.Exit(1)


def _suite(word: str) -> Suite:
    # Late, because it imports torch.
    from ugpnet_core.testing.models import MODEL_SUITE
    from ugpnet_core.testing.suites import SUITES
    from ugpnet_core.testing.tasks import TASK_SUITE

    return {**SUITES, "task": TASK_SUITE, "model": MODEL_SUITE}[word]


def _width(suite: Suite) -> int:
    return max(map(len, suite.names()))


def _source(kind: type[Any], name: str) -> tuple[str, str]:
    """The distribution that brings an entry, or that fails to, and its version; both are empty for
    a model file.

    Raises:
        UnknownNameError: no installed plugin has to do with that name.
    """
    try:
        installed = find(kind, name)
    except UnknownNameError:
        if kind is ModelEntry and Path(name).is_file():
            return "", ""
        raise
    except PluginError:
        for problem in plugins.registry().problems:
            if name in (problem.entry, problem.plugin):
                return problem.distribution, problem.version
        raise
    return installed.distribution, installed.version


def _run(suite: Suite, subject: Any, only: Sequence[str], full: bool, show: bool) -> Report:
    """Run the checks, and print each result as it comes where it is to be shown; one that is not
    run because of another is counted only."""
    from rich.console import Console

    stdout, name = sys.stdout, plain(subject.name)
    # Only a terminal shows it.
    status = Console(stderr=True, markup=False, highlight=False).status(f"Checking {name}")

    def begin(check: str) -> None:
        status.update(f"Checking {name}: {check}")
        status.start()

    def print_it(result: Result) -> None:
        status.stop()  # it stands where the line goes
        if show and not result.message.startswith("because "):
            with contextlib.redirect_stdout(stdout):
                print_result(result, _width(suite))

    with contextlib.redirect_stdout(sys.stderr):
        try:
            return suite.run(subject, only, full, on_start=begin, on_result=print_it)
        finally:
            status.stop()
