"""The page of one photograph: a slider between two of its pictures, figures, all pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from ugpnet_core.evaluation.results import Evaluation, Figure, ImageResult
from ugpnet_core.metrics.metric import Metric
from ugpnet_core.reports.html.page_data import Column, columns
from ugpnet_core.reports.html.pictures import PhotographFiles
from ugpnet_core.reports.table import EMPTY, Number, Row, Table, best_of, columns_of, computed


class Neighbours(NamedTuple):
    """The pages before and after, in the order of the files, and the one with all photographs."""

    previous: str | None
    following: str | None
    all: str


def photograph_page(
    evaluation: Evaluation, image: ImageResult, photograph: PhotographFiles, neighbours: Neighbours
) -> Mapping[str, Any]:
    """What photograph.html shows, by the names that it has there."""
    names = list(photograph.pictures)
    methods = [name for name in names if name != "clean"]
    left, right = (methods[0], methods[-1]) if len(methods) > 1 else (names[-1], names[0])
    return {
        "name": image.name,
        "evaluation": evaluation.title,
        "all": neighbours.all,
        "steps": (
            (neighbours.previous, "previous", "← Previous"),
            (neighbours.following, "next", "Next →"),
        ),
        "position": f"{photograph.number} of {len(evaluation.images)}",
        "side": photograph.side,
        "left": left,
        "right": right,
        "pictures": photograph.pictures,
        "figures": _figures(evaluation, image),
    }


def _figures(evaluation: Evaluation, image: ImageResult) -> Table:
    metrics = computed(evaluation, per_image=True)
    shown = columns(evaluation)
    marks = [_marked(evaluation, image, metric) for metric in metrics]
    rows = [
        Row(one.title, [column.get(one, EMPTY) for column in marks], signed=one.is_difference)
        for one in shown
    ]
    return Table("Method", columns_of(metrics), rows)


def _marked(evaluation: Evaluation, image: ImageResult, metric: Metric) -> dict[Column, Number]:
    """The figures of a metric; differences and the degraded image are never the best."""
    every = {one: one.value(image.figures, metric.key) for one in columns(evaluation)}
    known = {one: x for one, x in every.items() if x is not None and not math.isnan(x)}
    compared = {
        one.title: number
        for one, number in known.items()
        if not one.is_difference and evaluation.method(one.method).kind != "degraded"
    }
    top = best_of(compared, metric)
    return {one: Number(Figure(x), metric.digits, top=one.title in top) for one, x in known.items()}
