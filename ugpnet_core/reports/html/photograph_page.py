"""The page of one photograph: a slider between two of its pictures, figures, all pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ugpnet_core.evaluation.results import Evaluation, ImageResult
from ugpnet_core.reports.html.markup import (
    MISSING,
    best_of,
    breakable,
    escape,
    metric_head,
    metrics_computed,
    name_span,
    number_cell,
    value,
)
from ugpnet_core.reports.html.page_data import Column, columns
from ugpnet_core.reports.html.pictures import Photograph


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
    metrics = metrics_computed(evaluation, per_image=True)
    heads = "".join(metric_head(metric) for metric in metrics)
    rows = []
    shown = columns(evaluation)
    compared = [c for c in shown if not c.reference and _can_be_best(evaluation, c)]
    best = {
        metric.key: best_of(metric, [c.value(image.figures, metric.key) for c in compared])
        for metric in metrics
    }
    for column in shown:
        cells = []
        for metric in metrics:
            number = column.value(image.figures, metric.key)
            text = value(number, metric.digits, signed=column.reference is not None)
            is_best = (
                column in compared
                and text != MISSING
                and number is not None
                and round(number, metric.digits) == best[metric.key]
            )
            cells.append(number_cell(text, best=is_best))
        kind = ' class="difference"' if column.reference else ""
        rows.append(
            f'<tr{kind}><th scope="row">{name_span(column.title)}</th>{"".join(cells)}</tr>'
        )
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Figures">'
        '<table class="methods"><caption class="unseen">Figures of this photograph</caption>'
        f'<thead><tr><th scope="col">Method</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _can_be_best(evaluation: Evaluation, column: Column) -> bool:
    return evaluation.method(column.method).kind != "degraded"


def _picture(image: ImageResult, photograph: Photograph, name: str) -> str:
    what = f"{name} of {image.name}"
    return (
        f'<figure><a href="{photograph.pictures[name]}"><img src="{photograph.pictures[name]}" '
        f'alt="{escape(what)}" width="{photograph.side}" height="{photograph.side}" '
        f'loading="lazy"></a><figcaption>{escape(name)}</figcaption></figure>'
    )
