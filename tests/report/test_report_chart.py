"""The chart of a report: what is drawn where, read back through the ticks of its axes."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from ugpnet_core.reports.html.chart import scatter
from ugpnet_core.reports.html.pages import render

Points = list[tuple[float, float]]


def drawn(series: dict[str, Points]) -> str:
    return render("chart.html", chart=scatter(series, "PSNR", "LPIPS", "both"))


def read(chart: str) -> tuple[dict[str, Points], dict[str, tuple[float, float]]]:
    """Dots and means of each series, in the units of the axes."""
    figure = ElementTree.fromstring(chart)
    svg = next(each for each in figure if each.tag == "svg")
    ticks: dict[str, Points] = {"middle": [], "end": []}
    for text in svg.iter("text"):
        across = text.get("text-anchor") == "middle"
        place = float(str(text.get("x" if across else "y")))
        ticks[str(text.get("text-anchor"))].append((place, float(str(text.text))))
    assert min(len(each) for each in ticks.values()) >= 3
    known = [np.array(ticks[key]) for key in ("middle", "end")]
    lines = [np.polyfit(each[:, 0], each[:, 1], 1) for each in known]

    def units(x: str, y: str) -> tuple[float, float]:
        return float(np.polyval(lines[0], float(x))), float(np.polyval(lines[1], float(y)))

    paths = list(svg.iter("path"))
    dots = [each for each in paths if each.get("class") == "dots"]
    marks = [each for each in paths if each.get("class") == "mark"]
    names = [str(mark[0].text) for mark in marks]
    assert len({mark.get("d") for mark in marks}) == len(marks)  # not by colour alone
    found, means = {}, {}
    for name, dot, mark in zip(names, dots, marks, strict=True):
        found[name] = [units(*pair) for pair in re.findall(r"M(\S+) (\S+)h0", str(dot.get("d")))]
        moved = re.match(r"translate\((\S+) (\S+)\)", str(mark.get("transform")))
        assert moved
        means[name] = units(moved[1], moved[2])
    return found, means


@pytest.mark.parametrize(("shift", "spread"), [(20, 10), (0.1, 0.004), (-3, 1), (5000, 90000)])
def test_dots_and_means_stand_where_the_axes_say(shift: float, spread: float) -> None:
    rng = np.random.default_rng(0)
    series = {
        name: [(shift + spread * a, shift / 7 + spread * b / 3) for a, b in rng.random((9, 2))]
        for name in ("x_reg", "x_hat", "<a> & b")
    }
    dots, means = read(drawn(series))
    assert list(dots) == list(series)
    for name, points in series.items():
        near = spread / 500
        assert np.ravel(dots[name]) == pytest.approx(np.ravel(points), abs=near)
        assert means[name] == pytest.approx(np.mean(points, axis=0), abs=near)


def test_all_points_may_be_one() -> None:
    for value in (0.0, 12.5):
        dots, means = read(drawn({"a": [(value, value)]}))
        assert dots["a"][0] == pytest.approx((value, value), abs=0.05)
        assert means["a"] == pytest.approx((value, value), abs=0.05)
