"""A chart of two figures against each other, as SVG within a page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ugpnet_core.reports.html.markup import escape

_WIDTH, _HEIGHT = 640, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 16, 10, 34
_MARK = 8  # half the size of a mean's mark
# Outlines of marks, in units of _MARK round (0, 0): series differ by form, too.
_FORMS = (
    "M-1 -1H1V1H-1Z",
    "M0 -1.2 1.2 1H-1.2Z",
    "M0 -1.3 1.3 0 0 1.3 -1.3 0Z",
    "M-1.1 0A1.1 1.1 0 1 0 1.1 0 1.1 1.1 0 1 0 -1.1 0Z",
    "M0 1.2 1.2 -1H-1.2Z",
    "M-.4 -1.2H.4V-.4H1.2V.4H.4V1.2H-.4V.4H-1.2V-.4H-.4Z",
)
COLOURS = 6
"""How many colours the style sheet has, as --series-0 and so on."""


@dataclass(frozen=True)
class _Axis:
    """From figures to places."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def of(cls, values: Sequence[float], start: float, end: float) -> _Axis:
        low, high = min(values), max(values)
        margin = 0.06 * (high - low) or 0.5 * abs(high) or 1.0
        return cls(low - margin, high + margin, start, end)

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> tuple[list[float], int]:
        """Round numbers on the axis, about five, and the decimals that they need."""
        rough = (self.high - self.low) / 7
        power = math.floor(math.log10(rough))
        step = next(
            (factor * 10.0**power for factor in (1, 2, 5) if factor * 10.0**power >= rough),
            10.0 ** (power + 1),
        )
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        return [index * step for index in range(first, last + 1)], decimals


def scatter(
    series: Mapping[str, Sequence[tuple[float, float]]], x_title: str, y_title: str, label: str
) -> str:
    """A point for each pair of figures, a large mark for each series' mean, and a legend.

    Args:
        series: finite points, at least one each; by name, in the order of the legend.
        label: of the chart as a whole, for those who do not see it.
    """
    every = [point for points in series.values() for point in points]
    x = _Axis.of([point[0] for point in every], _LEFT, _WIDTH - _RIGHT)
    y = _Axis.of([point[1] for point in every], _HEIGHT - _BOTTOM, _TOP)
    dots, marks, legend = [], [], []
    for index, (name, points) in enumerate(series.items()):
        colour = f'style="--series: var(--series-{index % COLOURS})"'
        form = _FORMS[index % len(_FORMS)]
        places = "".join(f"M{x(a):.1f} {y(b):.1f}h0" for a, b in points)
        dots.append(f'<path class="dots" {colour} d="{places}"/>')
        means = (math.fsum(column) / len(points) for column in zip(*points, strict=True))
        across, up = (axis(mean) for axis, mean in zip((x, y), means, strict=True))
        marks.append(
            f'<path class="mark" {colour} transform="translate({across:.1f} {up:.1f}) '
            f'scale({_MARK})" d="{form}"><title>{escape(name)}</title></path>'
        )
        legend.append(
            f'<li><svg viewBox="-1.5 -1.5 3 3" width="16" height="16" aria-hidden="true">'
            f'<path class="mark" {colour} d="{form}"/></svg>{escape(name)}</li>'
        )
    return (
        f'<figure class="chart"><p class="axis">↑ {escape(y_title)}</p>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">'
        f"{_grid(x, y)}{''.join(dots)}{''.join(marks)}</svg>"
        f'<p class="axis across">{escape(x_title)} →</p>'
        f'<figcaption><ul class="legend">{"".join(legend)}</ul></figcaption></figure>'
    )


def _grid(x: _Axis, y: _Axis) -> str:
    parts = []
    ticks, decimals = x.ticks()
    for tick in ticks:
        place = f"{x(tick):.1f}"
        parts.append(
            f'<path class="grid" d="M{place} {_TOP}V{_HEIGHT - _BOTTOM}"/>'
            f'<text x="{place}" y="{_HEIGHT - _BOTTOM + 24}" text-anchor="middle">'
            f"{tick:.{decimals}f}</text>"
        )
    ticks, decimals = y.ticks()
    for tick in ticks:
        place = f"{y(tick):.1f}"
        parts.append(
            f'<path class="grid" d="M{_LEFT} {place}H{_WIDTH - _RIGHT}"/>'
            f'<text x="{_LEFT - 8}" y="{place}" dy="0.35em" text-anchor="end">'
            f"{tick:.{decimals}f}</text>"
        )
    return "".join(parts)
