"""Tables, before anyone decides how they look: Markdown, LaTeX, HTML and the terminal show them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ugpnet_core.evaluation.results import Cost, Evaluation, Figure, MethodResult, OutOfDomain
from ugpnet_core.metrics.metric import Better, Metric

EMPTY = "–"
DECIBELS = 2  # digits
COSTS = ("Parameters (M)", "GMACs", "Time (ms)", "Memory (MB)")


class Column(NamedTuple):
    """A head; ``better``: which of its numbers are."""

    title: str
    better: Better | None = None


class Number(NamedTuple):
    """A cell with a figure, which is shown with so many digits after the point.

    Attributes:
        best: of its class.
        top: of its column, the degraded images apart.
    """

    figure: Figure
    digits: int
    best: bool = False
    top: bool = False


Cell = Number | str


class Row(NamedTuple):
    """A row.

    Attributes:
        name: its head.
        group: the class of a method.
        signed: its numbers are differences.
    """

    name: str
    cells: Sequence[Cell]
    group: str = ""
    signed: bool = False


@dataclass(frozen=True)
class Table:
    """Rows below columns.

    Attributes:
        head: of the column of names.
        columns: one for each cell of a row.
    """

    head: str
    columns: Sequence[Column]
    rows: Sequence[Row]

    def beside(self, other: Table) -> Table:
        """This table with the columns of another one of the same rows."""
        pairs = zip(self.rows, other.rows, strict=True)
        rows = [mine._replace(cells=[*mine.cells, *its.cells]) for mine, its in pairs]
        return Table(self.head, [*self.columns, *other.columns], rows)

    @property
    def has_best(self) -> bool:
        """Whether a class has a best method."""
        return any(
            isinstance(cell, Number) and cell.best for row in self.rows for cell in row.cells
        )


def with_interval(figure: Figure, digits: int, *, signed: bool = False) -> str:
    """A figure as text: "28.31 [27.90, 28.72]"."""
    form = f"{'+' if signed else ''}.{digits}f"
    if figure.low is None or figure.high is None:
        return f"{figure.value:{form}}"
    return f"{figure.value:{form}} [{figure.low:{form}}, {figure.high:{form}}]"


def computed(evaluation: Evaluation, *, per_image: bool = False) -> list[Metric]:
    """The metrics that have figures; ``per_image``: of single photographs."""
    return [
        metric
        for metric in evaluation.metrics
        if not metric.missing and (metric.per_image or not per_image)
    ]


def columns_of(metrics: Iterable[Metric]) -> list[Column]:
    """A column for each."""
    return [Column(metric.title, metric.better) for metric in metrics]


def best_of(values: Mapping[str, float], metric: Metric) -> set[str]:
    """Who has the best value, as the metric's digits show it; nobody among fewer than two."""
    shown = {k: round(v, metric.digits) for k, v in values.items() if not math.isnan(v)}
    if len(shown) < 2:
        return set()
    best = (max if metric.better == "higher" else min)(shown.values())
    return {name for name, value in shown.items() if value == best}


def methods_table(evaluation: Evaluation) -> Table:
    """Means with their intervals, the best of each class and of each column marked."""
    metrics = computed(evaluation)
    marks = [_marked(evaluation.methods, metric) for metric in metrics]
    rows = [
        Row(method.name, [column.get(method.name, EMPTY) for column in marks], method.group)
        for method in evaluation.methods
    ]
    return Table("Method", columns_of(metrics), rows)


def _marked(methods: Sequence[MethodResult], metric: Metric) -> dict[str, Number]:
    """A column, by the name of the method."""
    known = [method for method in methods if metric.key in method.figures]

    def best(among: Iterable[MethodResult]) -> set[str]:
        return best_of({each.name: each.figures[metric.key].value for each in among}, metric)

    top = best(each for each in known if each.kind != "degraded")
    groups = {each.group for each in known}
    bests = {name for group in groups for name in best(m for m in known if m.group == group)}
    return {
        each.name: Number(
            each.figures[metric.key], metric.digits, each.name in bests, each.name in top
        )
        for each in known
    }


def costs_table(evaluation: Evaluation) -> Table | None:
    """What each method costs for one image; None where that was not measured."""
    if not any(method.cost for method in evaluation.methods):
        return None
    rows = [Row(method.name, _cost_cells(method.cost or Cost())) for method in evaluation.methods]
    return Table("Method", [Column(title) for title in COSTS], rows)


def _cost_cells(cost: Cost) -> list[str]:
    values = (
        (cost.parameters, 1e6, 2),
        (cost.macs, 1e9, 2),
        (cost.seconds, 1e-3, 1),
        (cost.memory, 1e6, 1),
    )
    return [
        EMPTY if value is None else f"{value / unit:.{digits}f}" for value, unit, digits in values
    ]


def differences_table(evaluation: Evaluation) -> Table | None:
    """How far methods lie from another, photograph by photograph; None where none was asked."""
    found = {(each.method, each.reference, each.metric): each for each in evaluation.differences}
    keys = {each.metric for each in evaluation.differences}
    metrics = [metric for metric in evaluation.metrics if metric.key in keys]
    rows = []
    for method, reference in dict.fromkeys(key[:2] for key in found):
        cells: list[Cell] = []
        for metric in metrics:
            each = found.get((method, reference, metric.key))
            cells.append(Number(each.figure, metric.digits) if each else EMPTY)
        rows.append(Row(difference(method, reference), cells, signed=True))
    return Table("Paired difference", columns_of(metrics), rows) if rows else None


def domains_table(study: OutOfDomain) -> Table:
    """Fig. 7 in numbers: PSNR in dB."""
    regression, synthesis, restored = study.drops
    pairs = ((restored, synthesis), (regression, synthesis), (regression, restored))
    heads = ["Number", *(f"PSNR({name})" for name in study.drops), *(difference(*p) for p in pairs)]
    rows = []
    for each in (study.inside, study.outside):
        figures = (*each.psnr.values(), each.gain, each.behind, each.loss)
        rows.append(Row(each.title, [str(each.count), *(Number(f, DECIBELS) for f in figures)]))
    drops = [Number(figure, DECIBELS) for figure in study.drops.values()]
    titles = difference(study.inside.title, study.outside.title)
    rows.append(Row(titles, ["", *drops, "", "", ""]))
    return Table("Photographs", [Column(head) for head in heads], rows)


def difference(one: str, other: str) -> str:
    """Words for the difference of two."""
    return f"{one} − {other}"
