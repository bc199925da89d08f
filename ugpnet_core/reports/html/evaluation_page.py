"""What the page of an evaluation shows: its tables, its chart, and the list of photographs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ugpnet_core.evaluation.results import Evaluation, Figure
from ugpnet_core.reports.html.chart import Chart, scatter
from ugpnet_core.reports.html.page_data import Column, columns
from ugpnet_core.reports.html.pictures import PhotographFiles
from ugpnet_core.reports.table import (
    EMPTY,
    Cell,
    Number,
    computed,
    costs_table,
    differences_table,
    methods_table,
)

_SHOWN_FIRST = ("ugpnet", "network", "regression", "synthesis", "classical", "degraded")
"""Whose pictures the list shows at first: the first kind that there is."""


def evaluation_page(
    evaluation: Evaluation, photographs: Mapping[str, PhotographFiles]
) -> Mapping[str, Any]:
    """What evaluation.html shows, by the names that it has there."""
    return {
        "methods": methods_shown(evaluation),
        "differences": differences_table(evaluation),
        "chart": _trade_off(evaluation),
        "list": _list(evaluation, photographs),
        "problems": evaluation.problems,
        "protocol": evaluation.protocol,
    }


def methods_shown(evaluation: Evaluation) -> Mapping[str, Any]:
    """Means with their intervals and what each method costs, and notes on them."""
    table, costs = methods_table(evaluation), costs_table(evaluation)
    notes = [_legend(evaluation, table.has_best)]
    notes += [f"{m.title} was not computed: {m.missing}" for m in evaluation.metrics if m.missing]
    notes += [f"{m.name} failed: {m.failed}" for m in evaluation.methods if m.failed]
    notes += [f"{m.name}: {m.cost.note}" for m in evaluation.methods if m.cost and m.cost.note]
    return {
        "table": table.beside(costs) if costs else table,
        "label": f"Methods on {evaluation.title}",
        "notes": notes,
    }


def _trade_off(evaluation: Evaluation) -> Chart | None:
    """Perception against distortion, a point for each photograph; None without LPIPS."""
    metrics = {metric.key: metric for metric in computed(evaluation, per_image=True)}
    if not {"psnr", "lpips"} <= metrics.keys():
        return None
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
        return None
    x, y = metrics["psnr"].title, metrics["lpips"].title
    return scatter(series, f"{x}, higher is better", f"{y}, lower is better", f"{y} against {x}")


def _list(evaluation: Evaluation, photographs: Mapping[str, PhotographFiles]) -> Mapping[str, Any]:
    """The list of photographs; scripts make it sortable."""
    metrics = computed(evaluation, per_image=True)
    first, shown = metrics[0], columns(evaluation)
    names = list(next(iter(photographs.values())).pictures)
    chosen = _shown_first(evaluation, names)

    def cell(column: Column, figures: Mapping[str, Mapping[str, float]]) -> tuple[Cell, bool]:
        value = column.value(figures, first.key)
        number = EMPTY if value is None else Number(Figure(value), first.digits)
        return number, column.is_difference

    return {
        "metrics": [(each.key, each.title) for each in metrics],
        "pictures": [(name, name) for name in names],
        "chosen": chosen,
        "count": _count(len(evaluation.images)),
        "heads": [column.title for column in shown],
        "rows": [
            {
                "name": image.name,
                "page": photograph.page,
                "picture": photograph.small.get(chosen, photograph.small[names[0]]),
                "cells": [cell(column, image.figures) for column in shown],
            }
            for image in evaluation.images
            for photograph in (photographs[image.name],)
        ],
        "direction": f"{first.title}: {first.better} is better.",
    }


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


def _count(photographs: int) -> str:
    return "1 photograph" if photographs == 1 else f"{photographs} photographs"
