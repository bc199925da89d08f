"""Third-party plugins, good and broken, as installed distributions."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]

ENTRY = """
from ugpnet_core.plugins import BackboneEntry, hookimpl

def entry(name, **fields):
    return BackboneEntry(**{"name": name, "description": "A test.", "kind": "direct",
        "factory": "acme_network:Network", "feature_channels": 4, **fields})
"""
HOOK = ENTRY + "\n@hookimpl\ndef ugpnet_backbones():\n    "
GOOD = """
from pydantic import Field
from ugpnet_core.plugins import BackboneEntry, Options, hookimpl

class AcmeOptions(Options):
    width: int = Field(default=4, gt=0)

@hookimpl
def ugpnet_backbones():
    return [BackboneEntry(
        name="acme", description="Two convolutions.", kind="residual", feature_channels=4,
        factory="ugpnet_backbones.acme.network:Acme", options=AcmeOptions, parameters=1_500_000,
        licence="MIT [b]",
    )]
"""
GOOD_NETWORK = """
from torch import nn

class Acme(nn.Module):
    kind = "residual"
    scale = 1
    size_multiple = 1

    def __init__(self, width):
        super().__init__()
        self.feature_channels = width
        self.body = nn.Conv2d(3, width, 3, padding=1)
        self.tail = nn.Conv2d(width, 3, 3, padding=1)

    def forward_features(self, x):
        return self.body(x)

    def head(self, f):
        return self.tail(f)
"""
# Each is one module: what it does wrong, and what the reported reason must say.
BROKEN: Mapping[str, tuple[str, str]] = {
    "raises": ("raise RuntimeError('no such luck')", "RuntimeError: no such luck"),
    "missing": ("import a_library_that_is_not_there", "a_library_that_is_not_there"),
    "exits": ("import sys; sys.exit('bye')", "SystemExit: bye"),
    "odd-exit": ("class E(BaseException): pass\nraise E('odd')", "E: odd"),
    "syntax": ("def f(:\n", "SyntaxError"),
    "number": (HOOK + "return 7", "ugpnet_backbones() returned 7, not a list"),
    "nothing": (HOOK + "return None", "returned None, not a list"),
    "strings": (HOOK + "return ['unet']", "returned 'unet' where a BackboneEntry belongs"),
    "generator": (HOOK + "yield entry('lazy')", "generator"),
    "options": (HOOK + "return [entry('o', options=dict)]", "BaseModel"),
    "types": (HOOK + "return [entry('t', feature_channels='64')]", "feature_channels='64'"),
    "kinds": (HOOK + "return [entry('k', kind='sideways')]", "kind='sideways'"),
    "path-name": (HOOK + "return [entry('../k')]", "name='../k'"),
    "fields": (HOOK + "return [entry('f', colour='red')]", "colour"),
    "hook-raises": (HOOK + "return [entry('e')][1]", "ugpnet_backbones() failed: IndexError"),
    "hook-exits": (HOOK + "exit(3)", "ugpnet_backbones() failed: SystemExit: 3"),
    "misspelt": (
        ENTRY + "\n@hookimpl\ndef ugpnet_backbone():\n    return [entry('m')]",
        "unknown hook 'ugpnet_backbone'; did you mean 'ugpnet_backbones'?",
    ),
    "arguments": (
        ENTRY + "\n@hookimpl\ndef ugpnet_backbones(width):\n    return [entry('a')]",
        "it takes no arguments",
    ),
    "no-hook": (ENTRY + "\ndef ugpnet_backbones():\n    return [entry('n')]", "@hookimpl"),
    "escape": ("raise RuntimeError('\\x1b[31m[bold]red\\n' + 'long ' * 60)", "[bold]red long"),
}


def _plugin(name: str, source: str) -> tuple[str, str, Mapping[str, str]]:
    module = f"acme_{name.replace('-', '_')}"
    return f"acme-{name}", f"[ugpnet]\n{name} = {module}\n", {f"{module}.py": source}


@pytest.fixture(scope="module")
def zoo(install_plugins: Callable[[object], Path]) -> Path:
    """One good plugin, inside our namespace, among all the broken ones, and one that prints."""
    good = {
        "ugpnet_backbones/acme/__init__.py": GOOD,
        "ugpnet_backbones/acme/network.py": GOOD_NETWORK,
    }
    printing = "print('hello from a plugin')\n" + HOOK + "print('again'); return [entry('loud')]"
    return install_plugins(
        [
            ("ugpnet-backbones-acme", "[ugpnet]\nacme = ugpnet_backbones.acme\n", good),
            _plugin("loud", printing),
            ("acme-nowhere", "[ugpnet]\nnowhere = acme_nowhere_at_all\n", {}),
            ("acme-twin-one", "[ugpnet]\ntwin = acme_twin1\n", {"acme_twin1.py": GOOD}),
            ("acme-twin-two", "[ugpnet]\ntwin = acme_twin2\n", {"acme_twin2.py": GOOD}),
            _plugin("same-one", HOOK + "return [entry('shared'), entry('own-one')]"),
            _plugin("same-two", HOOK + "return [entry('shared'), entry('own-two')]"),
            _plugin("double", HOOK + "return [entry('double'), entry('double')]"),
            *(_plugin(name, source) for name, (source, _) in BROKEN.items()),
        ]
    )


@pytest.fixture(scope="module")
def listing(zoo: Path, run_in: Run) -> Any:
    done = run_in(zoo, "-m", "ugpnet_core.cli", "list-backbones", "--json")
    assert "hello from a plugin" in done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def table(zoo: Path, run_in: Run) -> str:
    return run_in(zoo, "-m", "ugpnet_core.cli", "list-backbones").stdout


def _one_line(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("name", BROKEN)
def test_broken_plugin_is_listed_with_its_distribution_and_reason(
    name: str, listing: Any, table: str
) -> None:
    (problem,) = (one for one in listing["problems"] if one["plugin"] == name)
    assert problem["distribution"] == f"acme-{name}"
    assert problem["version"] == "1.0"
    assert BROKEN[name][1] in _one_line(problem["reason"])
    assert f"{name} (acme-{name} 1.0):" in _one_line(table)
    assert BROKEN[name][1] in _one_line(table)


def test_entry_point_to_nowhere_is_a_problem(listing: Any) -> None:
    (problem,) = (one for one in listing["problems"] if one["plugin"] == "nowhere")
    assert "acme_nowhere_at_all" in problem["reason"]


def test_everything_else_keeps_working(listing: Any, table: str) -> None:
    names = {one["name"]: one for one in listing["backbones"]}
    assert {"acme", "loud", "own-one", "own-two", "nafnet"} <= set(names)
    acme = names["acme"]
    assert (acme["distribution"], acme["version"]) == ("ugpnet-backbones-acme", "1.0")
    assert acme["options"]["width"]["default"] == 4
    assert acme["status"] == "ok"
    assert "1.50 M" in table
    broken = {one["distribution"] for one in listing["problems"]}
    assert not {name for name in broken if name.startswith("ugpnet-")}


@pytest.mark.parametrize(
    ("wanted", "owners"),
    [("twin", ["acme-twin-one", "acme-twin-two"]), ("shared", ["acme-same-one", "acme-same-two"])],
)
def test_a_name_claimed_twice_is_nobodys(
    wanted: str, owners: list[str], listing: Any, table: str
) -> None:
    problems = [one for one in listing["problems"] if wanted in (one["plugin"], one["entry"])]
    assert [one["distribution"] for one in problems] == owners
    for problem in problems:
        assert all(owner in problem["reason"] for owner in owners)
    assert wanted not in {one["name"] for one in listing["backbones"]}
    assert table.count(f"{wanted} (acme-") == 2


def test_one_distribution_that_claims_a_name_twice_is_told_once(listing: Any) -> None:
    (problem,) = (one for one in listing["problems"] if one["entry"] == "double")
    assert "claimed more than once, by acme-double" in problem["reason"]


def test_table_fits_the_terminal_and_shows_text_literally(table: str) -> None:
    assert max(map(len, table.splitlines())) <= 80
    assert "\x1b" not in table
    assert "MIT [b]" in table
    assert "\nacme: Two convolutions.\n" in table


def test_problems_of_one_kind_stay_out_of_the_other_lists(zoo: Path, run_in: Run) -> None:
    done = run_in(zoo, "-m", "ugpnet_core.cli", "list-tasks", "--json")
    plugins = {one["plugin"] for one in json.loads(done.stdout)["problems"]}
    assert "raises" in plugins
    assert "number" not in plugins


def test_third_party_backbone_is_made_and_runs(zoo: Path, run_in: Run) -> None:
    program = """
import torch, ugpnet_core as ug
backbone = ug.create_backbone("acme", width=6)
x = torch.rand(1, 3, 9, 7)
assert backbone.head(backbone.forward_features(x)).shape == (1, 3, 9, 7)
def message(function, *arguments, **options):
    try:
        function(*arguments, **options)
    except ug.UGPNetError as error:
        return type(error).__name__ + ": " + str(error)
print(message(ug.create_backbone, "acme", widht=6))
print(message(ug.create_backbone, "acme", width=0))
print(message(ug.create_backbone, "raises"))
print(message(ug.create_backbone, "shared"))
print(message(ug.create_backbone, "hint"))
print(message(ug.create_backbone, "acmee"))
"""
    done = run_in(zoo, "-c", program)
    misspelt, impossible, broken, claimed, unknown, near = done.stdout.splitlines()
    assert misspelt.startswith("ConfigError")
    assert "'widht'" in misspelt
    assert "'width'" in misspelt
    assert impossible.startswith("ConfigError")
    assert "greater than 0" in impossible
    assert "acme-raises" in broken
    assert "no such luck" in broken
    assert "acme-same-one and acme-same-two" in claimed
    assert unknown.startswith("UnknownNameError")
    assert "pip install ugpnet-backbones-hint" in unknown
    assert "did you mean acme" in near


def test_taking_the_name_of_a_shipped_plugin_names_both(
    install_plugins: Callable[[object], Path], run_in: Run
) -> None:
    target = install_plugins(
        [
            _plugin("rival", HOOK + "return [entry('nafnet'), entry('rival')]"),
            ("acme-prior", "[ugpnet]\nstylegan2 = acme_prior\n", {"acme_prior.py": GOOD}),
        ]
    )
    done = run_in(target, "-m", "ugpnet_core.cli", "list-backbones", "--json")
    listing = json.loads(done.stdout)
    names = {one["name"] for one in listing["backbones"]}
    assert "rival" in names
    assert "nafnet" not in names
    problems = {(one["plugin"], one["distribution"]): one for one in listing["problems"]}
    for key in (("rival", "acme-rival"), ("nafnet", "ugpnet-backbones-nafnet")):
        assert "acme-rival and ugpnet-backbones-nafnet" in problems[key]["reason"]
    for key in (("stylegan2", "acme-prior"), ("stylegan2", "ugpnet-priors-stylegan2")):
        assert "acme-prior and ugpnet-priors-stylegan2" in problems[key]["reason"]
