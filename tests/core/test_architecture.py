"""The house: rooms stand on each other, and nothing imports what is above it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from ugpnet_core.moved import MOVED

PACKAGE = Path(__file__).parents[2] / "ugpnet_core"
# From the roof to the ground; what is in one line may import only itself and lines below.
FLOORS = [
    ["cli"],
    ["studies"],
    ["reports"],
    ["evaluation"],
    ["training"],
    ["ui", "diagnosis"],
    ["engines"],
    ["inference"],
    ["testing"],
    ["model_files"],
    ["wrapping"],
    ["metrics"],
    ["networks", "losses"],
    ["degradations"],
    ["factory"],
    ["checkpoints"],
    ["faces"],
    ["image"],
    ["templates"],
    ["plugins"],
    ["config_files"],
    ["config"],
    ["protocols", "devices", "seeding", "atomic", "near", "progress", "moved"],
    ["errors"],
]
HEIGHT = {room: -floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


MODULES = modules()


# Names what is above it for type checkers only: at run time it loads each when that is used.
FACADE = PACKAGE / "plugins" / "__init__.py"


def imports(path: Path) -> Iterator[str]:
    """Every module of the core that a file imports, wherever in it: also what is imported late, or
    for types alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if path == FACADE:
        tree.body = [node for node in tree.body if not isinstance(node, ast.If)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names if one.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            for one in node.names:
                inner = f"{node.module}.{one.name}"
                yield inner if inner in MODULES else node.module


def room(module: str) -> str:
    return module.split(".")[1]


def test_every_room_has_its_floor() -> None:
    rooms = {room(name) for name in MODULES if name != "ugpnet_core"}
    assert rooms == set(HEIGHT)


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"ugpnet_core"}))
def test_nothing_is_imported_from_above(name: str) -> None:
    """The package itself has the names of everything, and is imported by nothing inside."""
    for other in imports(MODULES[name]):
        if other == "ugpnet_core":
            assert room(name) in ("cli", "testing", "inference"), f"{name} imports the package"
            continue
        above = HEIGHT[room(other)] - HEIGHT[room(name)]
        assert above < 0 or room(other) == room(name), f"{name} imports {other}"


def test_there_is_no_circle() -> None:
    graph = {
        name: {other for other in imports(path) if other not in (name, "ugpnet_core")}
        for name, path in MODULES.items()
        if name != "ugpnet_core"
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_core_imports_no_plugin() -> None:
    for name, path in MODULES.items():
        text = path.read_text(encoding="utf-8")
        found = [
            node
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.ImportFrom | ast.Import)
            and any(
                one.startswith(("ugpnet_backbones", "ugpnet_priors"))
                for one in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [])
                + [alias.name for alias in node.names]
            )
        ]
        assert not found, name


@pytest.mark.parametrize("old", sorted(MOVED))
def test_old_names_are_those_of_the_new_modules(old: str) -> None:
    code = f"""
import importlib, ugpnet_core
old = importlib.import_module("ugpnet_core.{old}")
new = importlib.import_module("ugpnet_core.{MOVED[old]}")
names = [name for name in vars(new) if not name.startswith("_")]
assert names and all(getattr(old, name) is getattr(new, name) for name in names)
assert new.__name__ == "ugpnet_core.{MOVED[old]}" == new.__spec__.name
"""
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert f"DeprecationWarning: ugpnet_core.{old} is ugpnet_core.{MOVED[old]} now" in done.stderr
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing of our own uses an old name


def test_the_document_has_the_floors_in_their_order() -> None:
    text = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    named = [room for row in rows for room in re.findall(r"`(\w+)`", row)]
    assert set(named) == set(HEIGHT) - {"moved"}
    heights = [HEIGHT[room] for room in named]
    assert heights == sorted(heights, reverse=True)
    for path in re.findall(r"`((?:\w+/)+\w+(?:\.py)?)`", text):
        assert (PACKAGE / path).exists() or (PACKAGE.parent / path).exists(), path
