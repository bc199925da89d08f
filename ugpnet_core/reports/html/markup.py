"""Escaping, and figures as people read them."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence

from ugpnet_core.evaluation.results import Cost, Evaluation, Figure
from ugpnet_core.metrics.metric import Metric
from ugpnet_core.reports.html.names import shown

MISSING = "–"
_LONG_TITLE = 16  # letters; longer ones may take several lines


def escape(text: str) -> str:
    """A text for an element or a quoted attribute."""
    return html.escape(shown(text), quote=True)


def breakable(name: str) -> str:
    """A file's name for an element, with places where a line may end."""
    return re.sub(r"([/_.-])(?=.)", r"\1<wbr>", escape(name))


def name_span(name: str) -> str:
    """A method's name, as the head of a row."""
    return f'<span class="name">{escape(name)}</span>'


def value(number: float | None, digits: int, *, signed: bool = False) -> str:
    """A figure with so many decimals; a dash where there is none."""
    if number is None or math.isnan(number):
        return MISSING
    sign = "−" if number < 0 else "+" if signed and number > 0 else ""
    size = abs(number)
    return sign + ("∞" if math.isinf(size) else f"{size:.{digits}f}")


def interval(figure: Figure, digits: int, *, signed: bool = False) -> str:
    """The ends of a figure's interval; nothing where it has none."""
    if figure.low is None or figure.high is None:
        return ""
    low, high = (value(end, digits, signed=signed) for end in (figure.low, figure.high))
    return f"{low} to {high}"


def better(metric: Metric) -> str:
    """Which direction of a metric is better, in words."""
    return f"{metric.better} is better"


def metric_head(metric: Metric) -> str:
    """The head of a metric's column, with an arrow to the better direction, read as words."""
    long = " long" if len(metric.title) > _LONG_TITLE else ""
    arrow = "↑" if metric.better == "higher" else "↓"
    return (
        f'<th scope="col" class="number{long}">{escape(metric.title)}&nbsp;'
        f'<abbr class="arrow" title="{better(metric)}">{arrow}</abbr></th>'
    )


def best_of(metric: Metric, numbers: Sequence[float | None]) -> float | None:
    """The best number of a column as its digits show it; None where fewer than two can be
    compared."""
    known = [
        round(number, metric.digits)
        for number in numbers
        if number is not None and not math.isnan(number)
    ]
    if len(known) < 2:
        return None
    return max(known) if metric.better == "higher" else min(known)


def number_cell(
    text: str, *, best: bool = False, bold: bool = False, below: str = "", classes: str = ""
) -> str:
    """A cell with a figure, its interval in small below it, and a star if it is the best."""
    star = '<span class="star" role="img" aria-label="best">★</span>' if best else ""
    shown_value = f"<strong>{text}</strong>" if best or bold else text
    under = f'<span class="interval">{below}</span>' if below else ""
    names = f"number {classes}".strip()
    return f'<td class="{names}"><span class="figure">{star}{shown_value}</span>{under}</td>'


def cost_cells(cost: Cost | None) -> list[str]:
    """Parameters, multiply-accumulates, time and memory as texts."""
    if cost is None:
        return [MISSING] * len(COST_TITLES)
    return [
        _scaled(cost.parameters, ("", " k", " M", " G"), 1000),
        _scaled(cost.macs, ("", " k", " M", " G", " T"), 1000),
        MISSING if cost.seconds is None else _seconds(cost.seconds),
        _scaled(cost.memory, (" B", " KiB", " MiB", " GiB"), 1024),
    ]


COST_TITLES = ("Parameters", "MACs", "Time", "Peak memory")


def metrics_computed(evaluation: Evaluation, *, per_image: bool) -> list[Metric]:
    """The columns that have a figure; ``per_image``: of single photographs."""
    return [
        metric
        for metric in evaluation.metrics
        if not metric.missing and (metric.per_image or not per_image)
    ]


def _scaled(number: int | None, units: Sequence[str], step: int) -> str:
    if number is None:
        return MISSING
    power = 0
    while number >= step ** (power + 1) and power + 1 < len(units):
        power += 1
    size = number / step**power
    return f"{size:.0f}{units[power]}" if power == 0 or size >= 100 else f"{size:.3g}{units[power]}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"
