"""Tables of a comparison as LaTeX that needs no packages."""

from __future__ import annotations

from collections.abc import Sequence

from ugpnet_core.evaluation.results import Comparison, Evaluation, MethodResult
from ugpnet_core.metrics.metric import Metric
from ugpnet_core.reports.files import shown
from ugpnet_core.reports.tables import COST_COLUMNS, best, computed, cost_cells

LATEX_ARROWS = {"higher": r"$\uparrow$", "lower": r"$\downarrow$"}
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


def _latex_figures(evaluation: Evaluation) -> str:
    marked = best(evaluation)
    metrics = computed(evaluation)
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


def in_latex(text: str) -> str:
    """Text with everything escaped that LaTeX would take for a command."""
    return "".join(_LATEX.get(letter, letter) for letter in text)
