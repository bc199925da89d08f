"""Tables of evaluations as papers and programs take them: Markdown, LaTeX, CSV, JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ugpnet_core.evaluation.report import (
    as_json,
    as_key,
    as_record,
    shown,
    versions,
    with_interval,
)
from ugpnet_core.evaluation.results import (
    Comparison,
    Cost,
    Evaluation,
    Figure,
    MethodResult,
    Metric,
)
from ugpnet_core.weights import write_whole

COST_COLUMNS = ("Parameters (M)", "GMACs", "Time (ms)", "Memory (MB)")
COST_KEYS = ("parameters", "macs", "seconds", "memory")
ARROWS = {"higher": "↑", "lower": "↓"}
LATEX_ARROWS = {"higher": r"$\uparrow$", "lower": r"$\downarrow$"}
EMPTY = "–"
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "–": "--",
}


def best(evaluation: Evaluation) -> set[tuple[str, str]]:
    """The best method of each group by each metric, as the table's digits show it.

    Returns:
        Pairs of method and metric key. A group of one method has no best one.
    """
    marked = set()
    groups = {method.group for method in evaluation.methods}
    for group in groups:
        members = [method for method in evaluation.methods if method.group == group]
        for metric in evaluation.metrics:
            values = {
                method.name: round(method.figures[metric.key].value, metric.digits)
                for method in members
                if metric.key in method.figures
            }
            if len(values) > 1:
                top = max(values.values()) if metric.better == "higher" else min(values.values())
                marked |= {(name, metric.key) for name, value in values.items() if value == top}
    return marked


def markdown(comparison: Comparison) -> str:
    """All tables, with their protocol, as Markdown."""
    parts = [f"# {_in_markdown(comparison.name)}"]
    for evaluation in comparison.evaluations:
        marked = best(evaluation)
        metrics = _computed(evaluation)
        parts.append(f"## {_in_markdown(evaluation.title)}")
        head = ["Method", "Class", *(f"{m.title} {ARROWS[m.better]}" for m in metrics)]
        parts.append(
            _markdown_table(
                head,
                (
                    [
                        method.name,
                        method.group,
                        *(
                            _bold(
                                _cell(method.figures.get(m.key), m), (method.name, m.key) in marked
                            )
                            for m in metrics
                        ),
                    ]
                    for method in evaluation.methods
                ),
            )
        )
        parts += _words(evaluation)
        if any(method.cost for method in evaluation.methods):
            rows = [[each.name, *cost_cells(each.cost)] for each in evaluation.methods]
            parts.append(_markdown_table(["Method", *COST_COLUMNS], rows))
            parts += [
                f"- {_in_markdown(each.name)}: {_in_markdown(each.cost.note)}"
                for each in evaluation.methods
                if each.cost and each.cost.note
            ]
        if evaluation.differences:
            parts.append(_differences(evaluation))
        parts.append(_list("Protocol", evaluation.protocol.items()))
    parts.append(_list("Measured", comparison.settings.items()))
    return "\n\n".join(part for part in parts if part) + "\n"


def latex(comparison: Comparison) -> str:
    """One table environment per task, plain LaTeX, and one of the costs.

    The protocol stands in comments above, and its first lines in the caption.
    """
    parts = [f"% {comparison.name}: made by ugpnet compare. UTF-8; needs no packages."]
    for evaluation in comparison.evaluations:
        parts.append(
            "\n".join(
                f"% {subject}: {' '.join(words.split())}"
                for subject, words in evaluation.protocol.items()
            )
        )
        parts.append(_latex_figures(evaluation))
        if any(method.cost for method in evaluation.methods):
            parts.append(_latex_costs(evaluation, comparison))
    return "\n\n".join(parts) + "\n"


def write_comparison(comparison: Comparison, folder: Path) -> list[Path]:
    """Write table.md, table.tex, table.csv, per-image.csv and results.json into a folder."""
    contents = {
        "table.md": markdown(comparison).encode(),
        "table.tex": latex(comparison).encode(),
        "table.csv": table_csv(comparison),
        "per-image.csv": per_image_csv(comparison),
        "results.json": as_json(comparison_record(comparison)),
    }
    for name, content in contents.items():
        write_whole(folder / name, content)
    return [folder / name for name in contents]


def table_csv(comparison: Comparison) -> bytes:
    """One row per task and method: every figure with the ends of its interval, and its cost."""
    keys = _metric_keys(comparison)
    head = ["task", "method", "kind", "class"]
    head += [f"{key}{end}" for key in keys for end in ("", "_low", "_high")]
    head += [*COST_KEYS, "side", "failed"]
    rows = []
    for evaluation in comparison.evaluations:
        for method in evaluation.methods:
            row: list[object] = [evaluation.title, method.name, method.kind, method.group]
            for key in keys:
                figure = method.figures.get(key)
                row += [None] * 3 if figure is None else [figure.value, figure.low, figure.high]
            cost = method.cost or Cost()
            row += [cost.parameters, cost.macs, cost.seconds, cost.memory, cost.side]
            rows.append([*row, method.failed])
    return _csv(head, rows)


def per_image_csv(comparison: Comparison) -> bytes:
    """One row per task, photograph and method."""
    keys = _metric_keys(comparison, per_image=True)
    rows = [
        [evaluation.title, image.name, name, *(figures.get(key) for key in keys)]
        for evaluation in comparison.evaluations
        for image in evaluation.images
        for name, figures in image.figures.items()
    ]
    return _csv(["task", "file", "method", *keys], rows)


def comparison_record(comparison: Comparison) -> dict[str, Any]:
    """A comparison without its images, as JSON can hold it."""
    return {
        "name": comparison.name,
        "settings": dict(comparison.settings),
        "tasks": [
            {"task": evaluation.title, **as_record(evaluation), "costs": _costs(evaluation)}
            for evaluation in comparison.evaluations
        ],
        "versions": versions(),
    }


def cost_cells(cost: Cost | None) -> list[str]:
    """Parameters in millions, GMACs, milliseconds and megabytes, as text."""
    if cost is None:
        return [EMPTY] * len(COST_COLUMNS)
    values = (
        (cost.parameters, 1e6, 2),
        (cost.macs, 1e9, 2),
        (cost.seconds, 1e-3, 1),
        (cost.memory, 1e6, 1),
    )
    return [
        EMPTY if value is None else f"{value / unit:.{digits}f}" for value, unit, digits in values
    ]


def in_latex(text: str) -> str:
    """Text with everything escaped that LaTeX would take for a command."""
    return "".join(_LATEX.get(letter, letter) for letter in text)


def _costs(evaluation: Evaluation) -> dict[str, Any]:
    return {
        as_key(method.name): {key: getattr(method.cost, key) for key in COST_KEYS}
        | {"side": method.cost.side, "note": method.cost.note}
        for method in evaluation.methods
        if method.cost is not None
    }


def _computed(evaluation: Evaluation) -> list[Metric]:
    return [metric for metric in evaluation.metrics if not metric.missing]


def _cell(figure: Figure | None, metric: Metric) -> str:
    return EMPTY if figure is None else with_interval(figure, metric)


def _words(evaluation: Evaluation) -> list[str]:
    """What is missing from a table, and why."""
    lines = [
        f"{each.title} not computed: {each.missing}" for each in evaluation.metrics if each.missing
    ]
    lines += [f"{each.name} failed: {each.failed}" for each in evaluation.methods if each.failed]
    return ["\n".join(f"- {_in_markdown(line)}" for line in lines)]


def _differences(evaluation: Evaluation) -> str:
    metrics = {metric.key: metric for metric in evaluation.metrics}
    rows = [
        [
            f"{each.method} - {each.reference}",
            metrics[each.metric].title,
            _cell(each.figure, metrics[each.metric]),
        ]
        for each in evaluation.differences
    ]
    return _markdown_table(["Difference, image by image", "Figure", "Mean"], rows)


def _latex_figures(evaluation: Evaluation) -> str:
    marked = best(evaluation)
    metrics = _computed(evaluation)
    head = ["Method", *(f"{in_latex(m.title)} {LATEX_ARROWS[m.better]}" for m in metrics)]
    rows = []
    group = None
    for method in evaluation.methods:
        if method.group != group:
            rows.append(r"\hline")
            group = method.group
        cells = [in_latex(method.name)]
        for metric in metrics:
            cells.append(_latex_cell(method, metric, (method.name, metric.key) in marked))
        rows.append(" & ".join(cells) + r" \\")
    words = (
        f"{evaluation.title}: {evaluation.protocol.get('task', '')}; "
        f"{len(evaluation.images)} photographs. Intervals are {evaluation.protocol['intervals']}. "
        "Bold: the best of each class."
    )
    words += "".join(f" {m.title} not computed." for m in evaluation.metrics if m.missing)
    return _latex_table(head, rows, words)


def _latex_cell(method: MethodResult, metric: Metric, is_best: bool) -> str:
    figure = method.figures.get(metric.key)
    if figure is None:
        return "--"
    value = shown(figure.value, metric)
    text = rf"\textbf{{{value}}}" if is_best else value
    if figure.low is None or figure.high is None:
        return text
    return rf"{text} {{\tiny [{shown(figure.low, metric)}, {shown(figure.high, metric)}]}}"


def _latex_costs(evaluation: Evaluation, comparison: Comparison) -> str:
    rows = [r"\hline"]
    rows += [
        " & ".join(in_latex(cell) for cell in [method.name, *cost_cells(method.cost)]) + r" \\"
        for method in evaluation.methods
    ]
    words = [f"{subject}: {text}" for subject, text in comparison.settings.items()]
    return _latex_table(["Method", *COST_COLUMNS], rows, f"{evaluation.title}: {'; '.join(words)}.")


def _latex_table(head: Sequence[str], rows: Sequence[str], caption: str) -> str:
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{in_latex(caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
        " & ".join(head) + r" \\",
        *rows,
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines)


def _markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    lines += [
        [cell if cell.startswith("**") else _in_markdown(cell) for cell in row] for row in rows
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _bold(text: str, wanted: bool) -> str:
    if not wanted:
        return text
    value, space, interval = text.partition(" ")
    return f"**{value}**{space}{interval}"


def _list(title: str, items: Iterable[tuple[str, str]]) -> str:
    lines = [f"- {_in_markdown(f'{subject}: {words}')}" for subject, words in items]
    return "\n".join([f"{title}:", "", *lines]) if lines else ""


def _in_markdown(text: str) -> str:
    """One line in which nothing is taken for a table's border or for emphasis."""
    plain = " ".join(text.split())
    return "".join(f"\\{letter}" if letter in "\\|*_`<>" else letter for letter in plain)


def _metric_keys(comparison: Comparison, per_image: bool = False) -> list[str]:
    return list(
        dict.fromkeys(
            metric.key
            for evaluation in comparison.evaluations
            for metric in evaluation.metrics
            if metric.per_image or not per_image
        )
    )


def _csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    for row in rows:
        writer.writerow([f"{value:.8g}" if isinstance(value, float) else value for value in row])
    return text.getvalue().encode("utf-8", "surrogateescape")
