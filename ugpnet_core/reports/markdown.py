"""A comparison as Markdown: its tables, and how they came about."""

from __future__ import annotations

from collections.abc import Iterable

from ugpnet_core.evaluation.results import Comparison, Evaluation
from ugpnet_core.reports.domains import conclusion
from ugpnet_core.reports.table import (
    Cell,
    Table,
    costs_table,
    differences_table,
    domains_table,
    methods_table,
    with_interval,
)

ARROWS = {"higher": " ↑", "lower": " ↓", None: ""}


def markdown(comparison: Comparison) -> str:
    """All tables, with their protocol."""
    parts = [f"# {_in_markdown(comparison.name)}"]
    for evaluation in comparison.evaluations:
        parts.append(f"## {_in_markdown(evaluation.title)}")
        parts += [markdown_table(methods_table(evaluation)), _missing(evaluation)]
        if costs := costs_table(evaluation):
            parts.append(markdown_table(costs))
            parts += [
                f"- {_in_markdown(each.name)}: {_in_markdown(each.cost.note)}"
                for each in evaluation.methods
                if each.cost and each.cost.note
            ]
        if differences := differences_table(evaluation):
            parts.append(markdown_table(differences))
        parts.append(_list("Protocol", evaluation.protocol.items()))
    for study in comparison.domains:
        title = f"## {study.task}: {list(study.drops)[-1]} out of the domain of its prior"
        words = f"{conclusion(study)} PSNR in dB, with intervals of 95 %."
        parts += [_in_markdown(title), markdown_table(domains_table(study)), _in_markdown(words)]
    parts.append(_list("Measured", comparison.settings.items()))
    return "\n\n".join(part for part in parts if part) + "\n"


def markdown_table(table: Table) -> str:
    """One table; the best of a class is bold."""
    grouped = any(row.group for row in table.rows)
    head = [table.head, *["Class"] * grouped]
    head += [_in_markdown(column.title) + ARROWS[column.better] for column in table.columns]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for row in table.rows:
        words = [row.name, *[row.group] * grouped]
        lines.append([*map(_in_markdown, words), *(_shown(cell, row.signed) for cell in row.cells)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _shown(cell: Cell, signed: bool) -> str:
    if isinstance(cell, str):
        return _in_markdown(cell)
    value, space, interval = with_interval(cell.figure, cell.digits, signed=signed).partition(" ")
    return f"**{value}**{space}{interval}" if cell.best else value + space + interval


def _missing(evaluation: Evaluation) -> str:
    """What is missing from a table, and why, and what is wrong with methods."""
    lines = [
        f"{each.title} not computed: {each.missing}" for each in evaluation.metrics if each.missing
    ]
    lines += [f"{each.name} failed: {each.failed}" for each in evaluation.methods if each.failed]
    lines += [f"{each.method} {each.reason}" for each in evaluation.findings]
    return "\n".join(f"- {_in_markdown(line)}" for line in lines)


def _list(title: str, items: Iterable[tuple[str, str]]) -> str:
    lines = [f"- {_in_markdown(f'{subject}: {words}')}" for subject, words in items]
    return "\n".join([f"{title}:", "", *lines]) if lines else ""


def _in_markdown(text: str) -> str:
    """One line in which nothing is taken for a table's border or for emphasis."""
    plain = " ".join(text.split())
    return "".join(f"\\{letter}" if letter in "\\|*_`<>" else letter for letter in plain)
