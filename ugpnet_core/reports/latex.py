"""Tables of a comparison as LaTeX that needs no packages."""

from __future__ import annotations

from ugpnet_core.evaluation.results import Comparison, Evaluation
from ugpnet_core.reports.domains import conclusion
from ugpnet_core.reports.table import (
    Cell,
    Table,
    costs_table,
    domains_table,
    methods_table,
    with_interval,
)

LATEX_ARROWS = {"higher": r" $\uparrow$", "lower": r" $\downarrow$", None: ""}
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
    "−": "$-$",
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
        parts.append(latex_table(methods_table(evaluation), _caption(evaluation)))
        if costs := costs_table(evaluation):
            words = "; ".join(f"{key}: {text}" for key, text in comparison.settings.items())
            parts.append(latex_table(costs, f"{evaluation.title}: {words}."))
    for study in comparison.domains:
        words = f"{study.task}: {conclusion(study)} PSNR in dB, with intervals of 95 %."
        parts.append(latex_table(domains_table(study), words))
    return "\n\n".join(parts) + "\n"


def latex_table(table: Table, caption: str) -> str:
    """One table environment; the best of a class is bold, and a line parts the classes."""
    rows: list[str] = []
    for index, row in enumerate(table.rows):
        if not index or row.group != table.rows[index - 1].group:
            rows.append(r"\hline")
        cells = [_shown(cell, row.signed) for cell in row.cells]
        rows.append(" & ".join([in_latex(row.name), *cells]) + r" \\")
    heads = [in_latex(column.title) + LATEX_ARROWS[column.better] for column in table.columns]
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{in_latex(caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * len(heads)}}}",
        " & ".join([table.head, *heads]) + r" \\",
        *rows,
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines)


def _shown(cell: Cell, signed: bool) -> str:
    if isinstance(cell, str):
        return in_latex(cell)
    text = with_interval(cell.figure, cell.digits, signed=signed)
    value, _, interval = text.partition(" ")
    bold = rf"\textbf{{{value}}}" if cell.best else value
    return rf"{bold} {{\tiny {interval}}}" if interval else bold


def _caption(evaluation: Evaluation) -> str:
    words = (
        f"{evaluation.title}: {evaluation.protocol.get('task', '')}; "
        f"{len(evaluation.images)} photographs. Intervals are {evaluation.protocol['intervals']}. "
        "Bold: the best of each class."
    )
    return words + "".join(f" {m.title} not computed." for m in evaluation.metrics if m.missing)


def in_latex(text: str) -> str:
    """Text with everything escaped that LaTeX would take for a command."""
    return "".join(_LATEX.get(letter, letter) for letter in text)
