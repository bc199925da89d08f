"""A chart of two figures against each other: where everything stands; chart.html draws it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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

    def ticks(self) -> list[tuple[str, str]]:
        """Places of round numbers on the axis, about five, and these with the decimals that they
        need."""
        rough = (self.high - self.low) / 7
        power = math.floor(math.log10(rough))
        step = next(
            (factor * 10.0**power for factor in (1, 2, 5) if factor * 10.0**power >= rough),
            10.0 ** (power + 1),
        )
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        ticks = [index * step for index in range(first, last + 1)]
        return [(f"{self(tick):.1f}", f"{tick:.{decimals}f}") for tick in ticks]


@dataclass(frozen=True)
class Series:
    """The points of one method.

    Attributes:
        colour: its number in the style sheet.
        form: outline of its mark.
        dots: path of a dot for each point.
        mean: place of its mark, "x y".
    """

    name: str
    colour: int
    form: str
    dots: str
    mean: str


@dataclass(frozen=True)
class Chart:
    """A point for each pair of figures, a large mark for each series' mean, and a legend.

    Attributes:
        label: of the chart as a whole, for those who do not see it.
        across, up: places on the axes, and the numbers there.
        width, height, left, right, top, bottom: of the drawing and of what the axes enclose.
        mark: half the size of a mean's mark.
    """

    x_title: str
    y_title: str
    label: str
    series: Sequence[Series]
    across: Sequence[tuple[str, str]]
    up: Sequence[tuple[str, str]]
    width: int = _WIDTH
    height: int = _HEIGHT
    left: int = _LEFT
    right: int = _WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = _HEIGHT - _BOTTOM
    mark: int = _MARK


def scatter(
    series: Mapping[str, Sequence[tuple[float, float]]], x_title: str, y_title: str, label: str
) -> Chart:
    """Place points and means.

    Args:
        series: finite points, at least one each; by name, in the order of the legend.
        label: of the chart as a whole, for those who do not see it.
    """
    every = [point for points in series.values() for point in points]
    x = _Axis.of([point[0] for point in every], _LEFT, _WIDTH - _RIGHT)
    y = _Axis.of([point[1] for point in every], _HEIGHT - _BOTTOM, _TOP)
    placed = []
    for index, (name, points) in enumerate(series.items()):
        means = (math.fsum(column) / len(points) for column in zip(*points, strict=True))
        across, up = (axis(mean) for axis, mean in zip((x, y), means, strict=True))
        dots = "".join(f"M{x(a):.1f} {y(b):.1f}h0" for a, b in points)
        form = _FORMS[index % len(_FORMS)]
        placed.append(Series(name, index % COLOURS, form, dots, f"{across:.1f} {up:.1f}"))
    return Chart(x_title, y_title, label, placed, x.ticks(), y.ticks())
