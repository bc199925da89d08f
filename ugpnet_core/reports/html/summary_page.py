"""The page of an evaluation: its table, how it was measured, and the list of photographs."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ugpnet_core.evaluation.results import Evaluation
from ugpnet_core.reports.html.chart import scatter
from ugpnet_core.reports.html.markup import (
    better,
    breakable,
    escape,
    html_table,
    number_cell,
    value,
)
from ugpnet_core.reports.html.page_data import columns
from ugpnet_core.reports.html.pictures import Photograph
from ugpnet_core.reports.table import computed, costs_table, differences_table, methods_table

_SHOWN_FIRST = ("ugpnet", "network", "regression", "synthesis", "classical", "degraded")
"""Whose pictures the list shows at first: the first kind that there is."""


def methods_section(evaluation: Evaluation) -> str:
    """Means with their intervals, the best marked, and what each method costs."""
    table, costs = methods_table(evaluation), costs_table(evaluation)
    notes = [_legend(evaluation, table.has_best)]
    notes += [
        f"{escape(metric.title)} was not computed: {escape(metric.missing)}"
        for metric in evaluation.metrics
        if metric.missing
    ]
    notes += [
        f"{escape(method.name)} failed: {escape(method.failed)}"
        for method in evaluation.methods
        if method.failed
    ]
    notes += [
        f"{escape(method.name)}: {escape(method.cost.note)}"
        for method in evaluation.methods
        if method.cost and method.cost.note
    ]
    whole = table.beside(costs) if costs else table
    return html_table(whole, f"Methods on {evaluation.title}") + "".join(
        f'<p class="note">{note}</p>' for note in notes
    )


def differences_section(evaluation: Evaluation) -> str:
    """How far methods lie from another, photograph by photograph; nothing where none was asked."""
    table = differences_table(evaluation)
    if table is None:
        return ""
    return (
        f"<h2>Differences</h2>{html_table(table, 'Mean differences')}"
        '<p class="note">Means of differences photograph by photograph, with 95 % confidence '
        "intervals: one that does not hold 0 is a difference that other photographs of this kind "
        "would show, too.</p>"
    )


def trade_off_section(evaluation: Evaluation) -> str:
    """Perception against distortion, a point for each photograph; nothing without LPIPS."""
    metrics = {metric.key: metric for metric in computed(evaluation, per_image=True)}
    if not {"psnr", "lpips"} <= metrics.keys():
        return ""
    series = {}
    for method in evaluation.methods:
        if method.kind == "degraded":  # far from all others
            continue
        psnr, lpips = (evaluation.image_values(method.name, key) for key in ("psnr", "lpips"))
        points = [
            (a, b)
            for a, b in zip(psnr, lpips, strict=True)
            if a is not None and b is not None and math.isfinite(a + b)
        ]
        if points:
            series[method.name] = points
    if len(series) < 2:
        return ""
    x, y = metrics["psnr"].title, metrics["lpips"].title
    chart = scatter(series, f"{x}, higher is better", f"{y}, lower is better", f"{y} against {x}")
    return (
        f"<h2>Perception and distortion</h2>{chart}"
        '<p class="note">A dot for each photograph and method, a mark for the means. Lower right '
        "is better.</p>"
    )


def protocol_section(evaluation: Evaluation) -> str:
    """How it was measured, and what was left out."""
    items = "".join(
        f"<dt>{escape(subject)}</dt><dd>{escape(words)}</dd>"
        for subject, words in evaluation.protocol.items()
    )
    problems = "".join(
        f"<li><b>{escape(each.file or each.method)}</b>"
        f"{f' ({escape(each.method)})' if each.file and each.method else ''}: "
        f"{escape(each.reason)}</li>"
        for each in evaluation.problems
    )
    left_out = f'<h2>Problems</h2><ul class="problems">{problems}</ul>' if problems else ""
    return f'{left_out}<h2>Protocol</h2><dl class="protocol">{items}</dl>'


def photographs_section(
    evaluation: Evaluation, photographs: Mapping[str, Photograph], base: str
) -> str:
    """The list of photographs; scripts make it sortable.

    Args:
        base: from the page to the folder of the evaluation: "" or "NAME/".
    """
    metrics = computed(evaluation, per_image=True)
    shown_columns = columns(evaluation)
    names = list(next(iter(photographs.values())).pictures)
    first = _shown_first(evaluation, names)
    heads = "".join(
        f'<th scope="col" class="number"><button type="button" class="sort" '
        f'data-column="{index}">{escape(column.title)}</button></th>'
        for index, column in enumerate(shown_columns)
    )
    rows = []
    for image in evaluation.images:
        photograph = photographs[image.name]
        number = photograph.number
        cells = "".join(
            number_cell(
                value(
                    column.value(image.figures, metrics[0].key),
                    metrics[0].digits,
                    signed=column.reference is not None,
                )
            )
            for column in shown_columns
        )
        picture = photograph.small.get(first, photograph.small[names[0]])
        rows.append(
            f'<tr data-number="{number - 1}"><th scope="row"><a href="{base}{photograph.page}">'
            f'<img src="{base}{picture}" alt="" width="64" height="64" loading="lazy" '
            f'decoding="async"><span>{breakable(image.name)}</span></a></th>{cells}</tr>'
        )
    return (
        f'<section aria-labelledby="photographs"><h2 id="photographs">Photographs</h2>'
        f'<form class="controls" id="list-controls" hidden>'
        f"{_choice('metric', 'Figure', [(each.key, each.title) for each in metrics])}"
        f"{_choice('picture', 'Picture', [(name, name) for name in names], first)}</form>"
        f'<p class="note" id="order" aria-live="polite">{_count(len(rows))}</p>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="Photographs">'
        f'<table class="photographs" id="list"><thead><tr><th scope="col">'
        f'<button type="button" class="sort" data-column="name">Photograph</button></th>{heads}'
        f"</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        f'<p class="note" id="direction">{escape(metrics[0].title)}: {better(metrics[0])}.</p>'
        f"</section>"
    )


def _legend(evaluation: Evaluation, has_best: bool) -> str:
    words = (
        f"Means of {_count(len(evaluation.images))}, below them 95 % confidence intervals; ★ the "
        f"best of a column, {'bold the best of a class, ' if has_best else ''}"
        "↑ higher is better, ↓ lower is better."
    )
    sides = {each.cost.side for each in evaluation.methods if each.cost and each.cost.side}
    if len(sides) == 1:
        side = sides.pop()
        words += f" Costs are those of one image of {side}x{side} pixels."
    return words


def _shown_first(evaluation: Evaluation, names: list[str]) -> str:
    for kind in _SHOWN_FIRST:
        for method in evaluation.methods:
            if method.kind == kind and method.name in names:
                return method.name
    return names[-1]


def _choice(
    name: str, label: str, options: list[tuple[str, str]], chosen: str | None = None
) -> str:
    items = "".join(
        f'<option value="{escape(key)}"{" selected" if key == chosen else ""}>{escape(title)}'
        "</option>"
        for key, title in options
    )
    return (
        f'<label>{label} <select id="{name}" name="{name}" autocomplete="off">{items}</select>'
        "</label>"
    )


def _count(photographs: int) -> str:
    return "1 photograph" if photographs == 1 else f"{photographs} photographs"
