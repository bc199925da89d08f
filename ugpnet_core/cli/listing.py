"""``ugpnet list-backbones``, ``list-priors``, ``list-models`` and ``list-tasks``."""

from __future__ import annotations

import dataclasses
import json
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

import typer

from ugpnet_core.cli.console import output, plain
from ugpnet_core.cli.records import entry_record
from ugpnet_core.plugins import (
    BackboneEntry,
    E,
    Installed,
    Problem,
    registry,
)
from ugpnet_core.plugins.presence import missing_parts

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Column = tuple[str, Callable[[Any], object]]


def list_backbones(as_json: Json = False) -> None:
    """Show the installed regression networks (backbones).

    Example: ugpnet list-backbones --json
    """
    columns: list[Column] = [
        ("kind", lambda entry: entry.kind),
        ("channels", lambda entry: entry.feature_channels),
        ("scale", lambda entry: entry.scale),
        ("params", lambda entry: millions(entry.parameters)),
    ]
    _list("backbone", registry().backbones, columns, as_json)


def list_priors(as_json: Json = False) -> None:
    """Show the installed priors (pretrained generators).

    Example: ugpnet list-priors --json
    """
    columns: list[Column] = [
        ("resolution", lambda entry: entry.resolution),
        ("params", lambda entry: millions(entry.parameters)),
    ]
    _list("prior", registry().priors, columns, as_json)


def list_models(as_json: Json = False) -> None:
    """Show the installed trained models, for restore -m and evaluate -m.

    Example: ugpnet list-models --json
    """
    columns: list[Column] = [
        ("task", lambda entry: entry.task),
        ("size", lambda entry: entry.resolution),
        ("params", lambda entry: millions(entry.parameters)),
    ]
    _list("model", registry().models, columns, as_json)


def list_tasks(as_json: Json = False) -> None:
    """Show the installed tasks (degradations), for degrade --task and trainings.

    Example: ugpnet list-tasks --json
    """
    columns: list[Column] = [("scale", lambda entry: entry.scale)]
    _list("task", registry().tasks, columns, as_json)


def _list(
    word: str, installed: Mapping[str, Installed[E]], columns: list[Column], as_json: bool
) -> None:
    problems = [problem for problem in registry().problems if problem.kind in (None, word)]
    if as_json:
        listing = {
            f"{word}s": [entry_record(one) for one in installed.values()],
            "problems": [dataclasses.asdict(problem) for problem in problems],
            "slow": list(registry().slow),
        }
        print(json.dumps(listing, indent=2))
        return
    _print_table(word, installed, columns, problems)
    if word == "backbone":
        _print_presets(registry().presets.values(), columns)
    if problems:
        _print_problems(problems, everything=not installed)
    for sentence in registry().slow:
        print(plain(sentence), file=sys.stderr)


def _print_table(
    word: str,
    installed: Mapping[str, Installed[E]],
    columns: list[Column],
    problems: list[Problem],
) -> None:
    """Print a table of what is installed, broken or not, and a line of description each."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = output()
    # Distributions have long names; on a narrow terminal they are broken after a hyphen.
    narrow = console.width < 110
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0 if narrow else (0, 1))
    for title in ("name", *(column for column, _ in columns), "distribution", "licence", "status"):
        table.add_column(title, overflow="fold", no_wrap=title == "distribution")

    def row(source: Installed[E] | Problem, name: str, *cells: object) -> None:
        words = plain(f"{source.distribution} {source.version}")
        distribution = textwrap.fill(words, 18) if narrow else words
        texts = [plain("-" if cell in (None, "") else str(cell)) for cell in (name, *cells)]
        texts.insert(-2, distribution)
        table.add_row(*map(Text, texts))

    for one in installed.values():
        entry: Any = one.entry
        licence = getattr(entry, "licence", None)
        status = ", ".join(missing_parts(one)) or "ok"
        row(one, entry.name, *(read(entry) for _, read in columns), licence, status)
    for problem in problems:
        row(problem, problem.entry or problem.plugin, *(None for _ in columns), None, "broken")

    if installed or problems:
        console.print(table)
    else:
        console.print(f"No {word} is installed.")
    for one in installed.values():
        console.print(Text(f"{one.entry.name}: {plain(one.entry.description)}"))


def _print_problems(problems: list[Problem], everything: bool) -> None:
    """Print why something cannot be used; ``everything`` says that nothing else is installed."""
    from rich.text import Text

    console = output()
    console.print("Broken:" if everything else "\nBroken, and left out (everything else works):")
    for problem in problems:
        name = plain(problem.entry or problem.plugin)
        source = plain(f"{problem.distribution} {problem.version}")
        console.print(Text(f"{name} ({source}): {plain(problem.reason)}"))


def _print_presets(installed: Iterable[Installed[BackboneEntry]], columns: list[Column]) -> None:
    """Print a table of presets, each beneath its backbone; nothing where there are none."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    by_backbone: dict[str, list[BackboneEntry]] = {}
    for one in installed:
        by_backbone.setdefault(one.entry.preset_of or "", []).append(one.entry)
    if not by_backbone:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
    names = [preset.name for presets in by_backbone.values() for preset in presets]
    # A name that is broken cannot be copied; one that leaves no room for anything else is.
    whole = max(map(len, names)) <= 36
    for title in ("presets", *(column for column, _ in columns), "description"):
        table.add_column(title, overflow="fold", no_wrap=whole and title == "presets")
    for backbone, presets in by_backbone.items():
        table.add_row(Text(plain(backbone)))
        for preset in presets:
            cells = [read(preset) for _, read in columns]
            texts = ["-" if cell is None else str(cell) for cell in (*cells, preset.description)]
            table.add_row(Text(f"  {plain(preset.name)}"), *map(Text, map(plain, texts)))
    output().print(table)


def millions(parameters: int | None) -> str | None:
    """A number of parameters as tables show it; None where it is not known."""
    return None if parameters is None else f"{parameters / 1e6:.2f} M"
