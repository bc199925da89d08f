"""The pages of a report: what they say, that their links lead somewhere, and odd names."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import torch

from ugpnet_core.evaluation.results import Comparison, Figure, ImageResult, MethodResult
from ugpnet_core.image import read_image
from ugpnet_core.reports.html import HtmlReport
from ugpnet_core.reports.html.names import UniqueNames, slug

Make = Callable[..., Any]
VOID = {"meta", "link", "img", "input", "wbr", "path", "br"}


class Page(HTMLParser):
    """A page whose elements must all be closed."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.rows: list[list[str]] = []
        self.names: list[str] = []  # of the rows: what stands in their heads, without the group
        self.texts: dict[str, str] = {}
        self.feed(path.read_text(encoding="utf-8"))
        assert self.open == []
        assert len(self.ids) == len(set(self.ids))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.links += [value for key in ("href", "src") if (value := found.get(key))]
        if found.get("id"):
            self.ids.append(str(found["id"]))
        if tag == "img":
            assert "alt" in found
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
            self.names.append("")
        if found.get("class") == "name":
            self.names[-1] = "?"
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data
            if self.names[-1] == "?":
                self.names[-1] = data
        elif self.open:
            tag = self.open[-1]
            self.texts[tag] = self.texts.get(tag, "") + data

    def row(self, name: str) -> list[str]:
        (found,) = (row for row, its in zip(self.rows, self.names, strict=True) if its == name)
        return found[1:]


def pages(folder: Path) -> dict[str, Page]:
    """All pages below a folder, of which every link leads to a file of the folder."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.html")}
    read = {name: Page(path) for name, path in found.items()}
    for page in read.values():
        for link in page.links:
            parts = urlsplit(link)
            if link == "data:,":  # no icon
                continue
            assert not parts.scheme
            assert not parts.netloc
            target = (page.path.parent / unquote(parts.path)).resolve()
            assert target.is_file(), link
            assert folder.resolve() in target.parents
    return read


ODD = [
    "a b/1.png",
    "a-b/1.png",
    "A B/1.PNG",
    "<img src=x onerror=alert(1)>.png",
    "\"quoted\" 'twice' & more.png",
    "日本.png",
    "CON.png",
    "not utf-8 \udcff.png",
    "${name} $body.png",
    "</script>.png",
    "x" * 200 + ".png",
]


def test_odd_names_are_shown_as_they_are_and_their_files_do_not_collide(
    made: Make, tmp_path: Path
) -> None:
    some = made(ODD, methods=["degraded", 'net "a" <b>', "net 'a' (b)"])
    some.images = [
        {name: torch.full((3, 12, 12), (index * 4 + place) / 255) for place, name in enumerate(one)}
        for index, one in enumerate(some.images)
    ]
    some.write(tmp_path / "report")
    found = pages(tmp_path / "report")
    assert len(found) == 1 + len(ODD)
    names = [row[0] for row in found["index.html"].rows[-len(ODD) :]]
    assert names == [name.replace("\udcff", "�") for name in ODD]
    titles = {page.texts["h1"] for page in found.values()}
    assert {name.replace("\udcff", "�") for name in ODD} < titles
    levels = {
        round(float(read_image(path).pixels.mean()) * 255)
        for path in (tmp_path / "report").rglob("*.png")
    }
    assert levels == {index * 4 + place for index in range(len(ODD)) for place in range(4)}


def test_the_table_of_methods_shows_means_intervals_and_costs_and_marks_the_best(
    made: Make, tmp_path: Path
) -> None:
    some = made(["a.png", "b.png", "c.png"])
    some.write(tmp_path / "report")
    page = pages(tmp_path / "report")["index.html"]
    evaluation = some.evaluation
    heads = page.rows[0]
    assert heads[1].split("\xa0") == ["PSNR (dB)", "↑"]
    assert heads[2].split("\xa0") == ["LPIPS (a network with a long name)", "↓"]
    assert not any("FID" in head for head in heads)
    for metric, place, digits in (("psnr", 0, 2), ("lpips", 1, 4)):
        means = {name: evaluation.value(name, metric) for name in ("x_reg", "x_syn", "x_hat")}
        pick = max if metric == "psnr" else min
        best = pick(means, key=lambda name: means[name])
        for name, mean in means.items():
            text = page.row(name)[place]
            star = "★" if name == best else ""
            ends = f"{mean - 0.5:.{digits}f} to {mean + 0.5:.{digits}f}".replace("-", "−")
            assert text == f"{star}{mean:.{digits}f}{ends}"
    assert page.row("x_hat")[-4:] == ["12.35", "45.60", "12.3", "3.1"]
    assert page.row("x_hat − x_reg")[0] == "−0.50−0.75 to −0.25"
    text = page.path.read_text(encoding="utf-8")
    assert "FID was not computed: no weights &lt;here&gt;." in text
    assert "made up &amp; &lt;small&gt;" in text
    assert "broken &lt;file&gt;.png" in text


def test_the_best_of_each_class_is_bold(made: Make, tmp_path: Path) -> None:
    some = made(["a.png", "b.png"], methods=["degraded", "x_reg", "f", "g"])
    some.write(tmp_path / "report")
    text = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "bold the best of a class" in text
    f, g = (some.evaluation.value(name, "psnr") for name in ("f", "g"))
    assert f"<strong>{max(f, g):.2f}</strong>" in text
    assert f"<strong>{min(f, g):.2f}</strong>" not in text


def test_the_page_of_a_photograph_shows_its_own_figures(made: Make, tmp_path: Path) -> None:
    some = made(["a.png", "b.png"])
    some.write(tmp_path / "report")
    found = pages(tmp_path / "report")
    for page, image in (("0001-a", 0), ("0002-b", 1)):
        figures = some.evaluation.images[image].figures
        shown = found[f"denoise/{page}.html"]
        for method, row in figures.items():
            cells = [cell.lstrip("★") for cell in shown.row(method)]
            assert cells == [f"{row['psnr']:.2f}", f"{row['lpips']:.4f}"]
        away = figures["x_hat"]["psnr"] - figures["x_reg"]["psnr"]
        assert shown.row("x_hat − x_reg")[0] == f"{away:+.2f}".replace("-", "−")


def test_missing_and_infinite_figures_are_shown_as_such(made: Make, tmp_path: Path) -> None:
    some = made(["a.png", "b.png"])
    first, second = some.evaluation.images
    row = dict(first.figures)
    row["x_reg"] = {"psnr": math.inf}
    del row["x_hat"]
    methods = [
        dataclasses.replace(method, figures={"psnr": Figure(math.inf)})
        if method.name == "x_reg"
        else method
        for method in some.evaluation.methods
    ]
    broken = MethodResult("broken", "network", "network", {}, failed="it has no <weights>.")
    some.evaluation = dataclasses.replace(
        some.evaluation,
        images=(ImageResult("a.png", row), second),
        methods=(*methods, broken),
    )
    some.images = [
        {name: image for name, image in some.images[0].items() if name != "x_hat"},
        some.images[1],
    ]
    some.write(tmp_path / "report")
    found = pages(tmp_path / "report")
    assert found["denoise/0001-a.html"].row("x_reg") == ["★∞", "–"]
    assert found["denoise/0001-a.html"].row("x_hat") == ["–", "–"]
    assert found["denoise/0001-a.html"].row("x_hat − x_reg") == ["–", "–"]
    summary = found["index.html"]
    assert summary.row("x_reg")[:3] == ["★∞", "–", "–"]
    assert set(summary.row("broken")) == {"–"}
    assert "broken failed: it has no &lt;weights&gt;." in summary.path.read_text("utf-8")


def test_one_method_and_one_photograph_are_enough(made: Make, tmp_path: Path) -> None:
    some = made(["only.png"], methods=["degraded"])
    some.evaluation = dataclasses.replace(some.evaluation, problems=(), protocol={})
    some.write(tmp_path / "report")
    found = pages(tmp_path / "report")
    assert sorted(found) == ["denoise/0001-only.html", "index.html"]
    assert "★" not in "".join(map("".join, found["index.html"].rows))


def test_a_comparison_has_an_overview_and_a_page_for_each_task(made: Make, tmp_path: Path) -> None:
    tasks = [made(["a.png"], title=title) for title in ("denoise", "Denoise", "assets")]
    with HtmlReport(tmp_path / "report", "three tasks") as report:
        for task in tasks:
            task.keep(report)
        evaluations = tuple(task.evaluation for task in tasks)
        report.finish(Comparison("three", evaluations, {"models": "a & b"}))
    found = pages(tmp_path / "report")
    overview = found["index.html"]
    assert overview.texts["h1"] == "three tasks"
    assert sum(name.endswith("/index.html") for name in found) == 3
    assert len(found) == 1 + 3 + 3
    assert "a &amp; b" in overview.path.read_text("utf-8")
    (link,) = (each for each in overview.links if each.startswith("denoise/"))
    assert found[link].texts["h1"] == "denoise"


def test_large_pictures_have_small_copies_for_the_list(made: Make, tmp_path: Path) -> None:
    made(["a.png"], side=200).write(tmp_path / "report")
    small = sorted((tmp_path / "report").rglob("*-small.jpg"))
    assert len(small) == 5
    assert read_image(small[0]).pixels.shape == (3, 160, 160)
    index = pages(tmp_path / "report")["index.html"]
    assert [link for link in index.links if link.endswith("x_hat-small.jpg")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("x_hat", "x_hat"), ("Größe 2/a", "groe-2-a"), ("日本", "f"), ("nul", "f"), ("..", "f")],
)
def test_slugs_are_plain(text: str, expected: str) -> None:
    assert slug(text, "f") == expected


def test_slugs_of_one_set_differ() -> None:
    names = UniqueNames("assets")
    texts = ["a b", "a-b", "A B", "assets", "日", "本", "a b-2"]
    found = [names.of(text, "f") for text in texts]
    assert len(set(found)) == len(texts)
    assert "assets" not in found
    assert [names.of(text, "f") for text in texts] == found
