"""The page of one photograph: a slider between two of its pictures, figures, all pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from ugpnet_core.evaluation.results import Evaluation, Figure, ImageResult
from ugpnet_core.metrics.metric import Metric
from ugpnet_core.reports.html.markup import breakable, escape, html_table
from ugpnet_core.reports.html.page_data import Column, columns
from ugpnet_core.reports.html.pictures import Photograph
from ugpnet_core.reports.table import EMPTY, Number, Row, Table, best_of, columns_of, computed


class Neighbours(NamedTuple):
    """The pages before and after, in the order of the files, and the one with all photographs."""

    previous: str | None
    following: str | None
    all: str


def fields(
    evaluation: Evaluation, image: ImageResult, photograph: Photograph, neighbours: Neighbours
) -> Mapping[str, str]:
    """What the template of the page holds, by name."""
    names = list(photograph.pictures)
    methods = [name for name in names if name != "clean"]
    left, right = (methods[0], methods[-1]) if len(methods) > 1 else (names[-1], names[0])
    return {
        "name": breakable(image.name),
        "evaluation": escape(evaluation.title),
        "all": neighbours.all,
        "navigation": _navigation(neighbours),
        "position": f"{photograph.number} of {len(evaluation.images)}",
        "side": str(photograph.side),
        "left_options": _options(photograph, left),
        "right_options": _options(photograph, right),
        "left": escape(left),
        "right": escape(right),
        "left_picture": photograph.pictures[left],
        "right_picture": photograph.pictures[right],
        "figures": _figures(evaluation, image),
        "pictures": "".join(_picture(image, photograph, name) for name in names),
    }


def _navigation(neighbours: Neighbours) -> str:
    links = []
    for page, key, words in (
        (neighbours.previous, "previous", "← Previous"),
        (neighbours.following, "next", "Next →"),
    ):
        target = f'href="{page}"' if page else 'role="link" aria-disabled="true"'
        links.append(f'<a class="button" id="{key}" {target}>{words}</a>')
    return "".join(links)


def _options(photograph: Photograph, chosen: str) -> str:
    return "".join(
        f'<option value="{escape(name)}" data-file="{file}"'
        f"{' selected' if name == chosen else ''}>{escape(name)}</option>"
        for name, file in photograph.pictures.items()
    )


def _figures(evaluation: Evaluation, image: ImageResult) -> str:
    metrics = computed(evaluation, per_image=True)
    shown = columns(evaluation)
    marks = [_marked(evaluation, image, metric) for metric in metrics]
    rows = [
        Row(one.title, [column.get(one, EMPTY) for column in marks], signed=one.is_difference)
        for one in shown
    ]
    return html_table(Table("Method", columns_of(metrics), rows), "Figures of this photograph")


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


def _picture(image: ImageResult, photograph: Photograph, name: str) -> str:
    what = f"{name} of {image.name}"
    return (
        f'<figure><a href="{photograph.pictures[name]}"><img src="{photograph.pictures[name]}" '
        f'alt="{escape(what)}" width="{photograph.side}" height="{photograph.side}" '
        f'loading="lazy"></a><figcaption>{escape(name)}</figcaption></figure>'
    )
