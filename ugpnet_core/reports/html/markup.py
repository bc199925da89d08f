"""Escaping, and figures as people read them."""

from __future__ import annotations

import html
import math
import re

from ugpnet_core.evaluation.results import Figure
from ugpnet_core.metrics.metric import Metric
from ugpnet_core.reports.html.names import shown
from ugpnet_core.reports.table import EMPTY, Cell, Column, Row, Table

_LONG_TITLE = 16  # letters; longer ones may take several lines


def escape(text: str) -> str:
    """A text for an element or a quoted attribute."""
    return html.escape(shown(text), quote=True)


def breakable(name: str) -> str:
    """A file's name for an element, with places where a line may end."""
    return re.sub(r"([/_.-])(?=.)", r"\1<wbr>", escape(name))


def value(number: float | None, digits: int, *, signed: bool = False) -> str:
    """A figure with so many decimals; a dash where there is none."""
    if number is None or math.isnan(number):
        return EMPTY
    sign = "−" if number < 0 else "+" if signed and number > 0 else ""
    size = abs(number)
    return sign + ("∞" if math.isinf(size) else f"{size:.{digits}f}")


def interval(figure: Figure, digits: int, *, signed: bool = False) -> str:
    """The ends of a figure's interval; nothing where it has none."""
    if figure.low is None or figure.high is None:
        return ""
    low, high = (value(end, digits, signed=signed) for end in (figure.low, figure.high))
    return f"{low} to {high}"


def better(metric: Metric | Column) -> str:
    """Which direction of a metric is better, in words."""
    return f"{metric.better} is better"


def html_table(table: Table, label: str) -> str:
    """A table, with a star at the best of a column and the best of a class in bold; differences
    among other rows are marked as such.

    Args:
        label: what it is, for those who do not see it.
    """
    heads = "".join(map(_head, table.columns))
    mixed = any(not row.signed for row in table.rows)
    rows = "".join(_row(row, mixed and row.signed) for row in table.rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}">'
        f'<table class="methods"><caption class="unseen">{escape(label)}</caption>'
        f'<thead><tr><th scope="col">{escape(table.head)}</th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def number_cell(text: str, *, best: bool = False, bold: bool = False, below: str = "") -> str:
    """A cell with a figure, its interval in small below it, and a star if it is the best."""
    star = '<span class="star" role="img" aria-label="best">★</span>' if best else ""
    shown_value = f"<strong>{text}</strong>" if best or bold else text
    under = f'<span class="interval">{below}</span>' if below else ""
    return f'<td class="number"><span class="figure">{star}{shown_value}</span>{under}</td>'


def _head(column: Column) -> str:
    """The head of a column, with an arrow to the better direction, read as words."""
    long = " long" if len(column.title) > _LONG_TITLE else ""
    arrow = ""
    if column.better:
        sign = "↑" if column.better == "higher" else "↓"
        arrow = f'&nbsp;<abbr class="arrow" title="{better(column)}">{sign}</abbr>'
    return f'<th scope="col" class="number{long}">{escape(column.title)}{arrow}</th>'


def _row(row: Row, apart: bool) -> str:
    group = f'<span class="group">{escape(row.group)}</span>' if row.group else ""
    kind = ' class="difference"' if apart else ""
    cells = "".join(_cell(cell, row.signed) for cell in row.cells)
    name = f'<span class="name">{escape(row.name)}</span>{group}'
    return f'<tr{kind}><th scope="row">{name}</th>{cells}</tr>'


def _cell(cell: Cell, signed: bool) -> str:
    if isinstance(cell, str):
        return number_cell(escape(cell))
    text = value(cell.figure.value, cell.digits, signed=signed)
    below = interval(cell.figure, cell.digits, signed=signed)
    return number_cell(text, best=cell.top, bold=cell.best, below=below)
