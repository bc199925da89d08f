"""Tables of a comparison as Markdown, and what all kinds of tables share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ugpnet_core.evaluation.results import Comparison, Cost, Evaluation, Figure, OutOfDomain
from ugpnet_core.metrics.metric import Metric
from ugpnet_core.reports.domains import conclusion, decibels
from ugpnet_core.reports.files import with_interval

COST_COLUMNS = ("Parameters (M)", "GMACs", "Time (ms)", "Memory (MB)")
ARROWS = {"higher": "↑", "lower": "↓"}
EMPTY = "–"


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
        metrics = computed(evaluation)
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
    for study in comparison.domains:
        parts += _out_of_domain(study)
    parts.append(_list("Measured", comparison.settings.items()))
    return "\n\n".join(part for part in parts if part) + "\n"


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


def computed(evaluation: Evaluation) -> list[Metric]:
    """The columns that have figures."""
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
    return _markdown_table(["Paired difference", "Figure", "Mean"], rows)


def _out_of_domain(study: OutOfDomain) -> list[str]:
    """Fig. 7 in numbers, and what they say."""
    regression, synthesis, restored = methods = list(study.drops)
    head = ["Photographs", "Number", *(f"PSNR({_in_markdown(name)})" for name in methods)]
    pairs = ((restored, synthesis), (regression, synthesis), (regression, restored))
    head += [_in_markdown(" - ".join(pair)) for pair in pairs]
    rows = [
        [
            each.title,
            str(each.count),
            *map(decibels, (*each.psnr.values(), each.gain, each.behind, each.loss)),
        ]
        for each in (study.inside, study.outside)
    ]
    titles = f"{study.inside.title} - {study.outside.title}"
    rows.append([titles, "", *map(decibels, study.drops.values()), "", "", ""])
    return [
        _in_markdown(f"## {study.task}: {restored} out of the domain of its prior"),
        _markdown_table(head, rows),
        _in_markdown(f"{conclusion(study)} PSNR in dB, with intervals of 95 %."),
    ]


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
