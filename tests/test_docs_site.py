"""The documentation site: its sources name what is there, and what builds it works.

The site itself is built by ``make docs``, where MkDocs is installed.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

import ugpnet_core as ug
from examples.gallery import MODEL, ROOT, SCENES, file_of, make
from site_building.links import problems_of
from site_building.sources import linked, page_of, site_path

DOCS = ROOT / "docs"
SETTINGS = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))


def entries(part: Any) -> Iterator[str]:
    """The files that the navigation names."""
    if isinstance(part, str):
        yield part
    else:
        for one in part.values() if isinstance(part, dict) else part:
            yield from entries(one)


def test_the_navigation_names_every_page_once() -> None:
    named = list(entries(SETTINGS["nav"]))
    assert len(named) == len(set(named))
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert pages <= set(named)
    for one in set(named) - set(SETTINGS["extra"]["optional"]):
        assert (DOCS / one).is_file(), one


def test_the_reference_shows_everything_public_once() -> None:
    shown: list[str] = []
    for path in sorted((DOCS / "reference").glob("*.md")):
        shown += re.findall(r"^::: (\S+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(shown) == len(set(shown))
    errors = {name for name in ug.__all__ if name.endswith("Error")}
    assert "ugpnet_core.errors" in shown
    wanted = {f"ugpnet_core.{name}" for name in set(ug.__all__) - errors - {"__version__"}}
    assert wanted <= set(shown)
    from ugpnet_core.plugins import INTERFACE

    # wrap_backbone is shown among the names of users.
    others = {name for name in INTERFACE if not name.endswith("Error")} - {"wrap_backbone"}
    assert {f"ugpnet_core.plugins.{name}" for name in others} <= set(shown)


def test_nothing_is_loaded_from_elsewhere() -> None:
    assert SETTINGS["theme"]["font"] is False
    for path in (DOCS / "assets").iterdir():
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"https?://(?!www\.w3\.org/)", text), path


@pytest.mark.parametrize("path", sorted((DOCS / "figures").glob("*.svg")), ids=lambda p: p.stem)
def test_figures_are_drawings_with_words_for_those_who_do_not_see_them(path: Path) -> None:
    root = ElementTree.parse(path).getroot()
    space = "{http://www.w3.org/2000/svg}"
    assert root.get("viewBox")
    assert root.findtext(f"{space}title")
    assert root.findtext(f"{space}desc")
    assert not root.findall(f".//{space}image")


def test_pictures_are_small() -> None:
    gallery = list((DOCS / "gallery").iterdir())
    assert sum(path.stat().st_size for path in gallery) < 600_000
    assert {path.name for path in gallery} == {file_of(scene) for scene in SCENES}


def test_the_gallery_is_of_the_shipped_model() -> None:
    scene = SCENES[0]
    made = make(scene, ug.Restorer(MODEL, device="cpu"))
    text = (DOCS / "gallery.md").read_text(encoding="utf-8")
    section = text[text.index(f"## {scene.title}") :]
    before, after = map(float, re.findall(r"([\d.]+) dB", section)[:2])
    again = "run python -m examples.gallery, and look at what it makes"
    assert made.before == pytest.approx(before, abs=0.1), again
    assert made.after == pytest.approx(after, abs=0.1), again
    assert made.after > made.before + 3


def site(folder: Path, **pages: str) -> Path:
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return folder


def test_links_and_anchors_are_followed(tmp_path: Path) -> None:
    good = '<h1 id="top">A</h1><a href="b.html#here">b</a><a href="#top">up</a><a href="https://x">x</a>'
    folder = site(tmp_path, a=good, b='<p id="here"><img src="c.png"></p>')
    (folder / "c.png").write_bytes(b"")
    assert list(problems_of(folder)) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('<a href="b.html">b</a>', "links to b.html, which is not there"),
        ('<a href="#there">there</a>', "links to #there, a page without that anchor"),
        ('<img src="c.png">', "links to c.png, which is not there"),
        ('<script src="https://example.org/a.js"></script>', "from elsewhere"),
        ('<link rel="stylesheet" href="//example.org/a.css">', "from elsewhere"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, problem: str) -> None:
    (found,) = problems_of(site(tmp_path, a=text))
    assert found.startswith("a.html")
    assert problem in found


def test_the_check_fails_for_an_empty_site(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "site_building.links", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, "holds no pages" in done.stderr) == (1, True)


def test_notebooks_and_sources_become_pages(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "words"]},
        {"cell_type": "code", "source": ["1 + 1"]},
    ]
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    (tmp_path / "b.py").write_text("'''```'''\n", encoding="utf-8")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "c.png").write_bytes(b"\x89PNG\0")
    notebook, source = page_of("a.ipynb", tmp_path), page_of("b.py", tmp_path)
    assert notebook is not None
    assert notebook.startswith("# Title\nwords\n\n!!! note")
    assert "```python\n1 + 1\n```" in notebook
    assert source is not None
    assert "````python\n'''```'''\n````" in source
    assert page_of("folder/c.png", tmp_path) is None
    assert page_of("folder", tmp_path) is not None
    places = [site_path(path, tmp_path) for path in ("docs/x.md", "b.py", "folder", "folder/c.png")]
    assert places == ["x.md", "source/b.py.md", "source/folder/contents.md", "source/folder/c.png"]
    text = "[a](../b.py#one) `[not](x)`\n```\n[code](y.md)\n```\n[web](https://x.org)"
    assert linked("docs/z.md", text)[:1] == ["b.py"]
    assert "docs/y.md" not in linked("docs/z.md", text)
