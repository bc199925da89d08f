"""examples/notebooks: all are well-formed, hold no results, and run from top to bottom."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "examples" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
# What each of them leaves behind.
MADE = {
    "restore": ("before-and-after.png", "restored.png", "all/collins.png"),
    "your_network": ("my-net/my_net/network.py",),
    "compare": ("comparison/table.md", "report/index.html"),
}


def cells(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return found


def test_all_are_known_here() -> None:
    assert {path.stem for path in NOTEBOOKS} == set(MADE)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_form(path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    assert content["metadata"]["kernelspec"]["name"] == "python3"
    first, *others = content["cells"]
    assert "".join(first["source"]).startswith("# ")
    assert len({cell["id"] for cell in content["cells"]}) == len(content["cells"])
    for cell in (first, *others):
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
        else:
            assert cell["cell_type"] == "markdown"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_running(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("skimage")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UGPNET_CACHE", str(tmp_path / "cache"))
    names: dict[str, Any] = {"__name__": "notebook"}
    for cell in cells(path):
        if cell["cell_type"] == "code":
            run_cell("".join(cell["source"]), names)
    for made in MADE[path.stem]:
        assert (tmp_path / made).is_file(), made


def run_cell(source: str, names: dict[str, Any]) -> None:
    """Run a cell as Jupyter does; its last expression is shown, so it has to have a repr."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    if last is not None:
        assert isinstance(last, ast.Expr)
        repr(eval(compile(ast.Expression(last.value), "cell", "eval"), names))
