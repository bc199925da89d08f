"""Pages from the templates beside this file; whatever stands in a page is escaped."""

from __future__ import annotations

import functools
import math
import re

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from ugpnet_core.reports.html.names import shown
from ugpnet_core.reports.table import EMPTY


def render(template: str, **content: object) -> str:
    """A page, or a part of one.

    Args:
        template: its file.
        content: what stands in it, by the template's names.
    """
    return _environment().get_template(template).render(content)


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalized,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(decimals=decimals, breakable=breakable)
    return environment


def _finalized(value: object) -> object:
    return shown(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def breakable(name: str) -> Markup:
    """A file's name, with places where a line may end."""
    return Markup(re.sub(r"([/_.-])(?=.)", r"\1<wbr>", str(escape(shown(name)))))


def decimals(number: float | None, digits: int, signed: bool = False) -> str:
    """A figure with so many decimals; a dash where there is none."""
    if number is None or math.isnan(number):
        return EMPTY
    sign = "−" if number < 0 else "+" if signed and number > 0 else ""
    size = abs(number)
    return sign + ("∞" if math.isinf(size) else f"{size:.{digits}f}")
