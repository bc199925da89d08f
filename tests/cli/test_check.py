"""``ugpnet check-backbone``."""

from __future__ import annotations

import json
import re
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

from ugpnet_core import cli
from ugpnet_core.networks.regression import RegressionNetwork
from ugpnet_core.plugins import BackboneEntry, Installed, Options, Problem, Registry
from ugpnet_core.testing import check_names

pytestmark = pytest.mark.usefixtures("no_other_process")


class Plain(RegressionNetwork):
    kind = "direct"
    feature_channels = 4

    def __init__(self, words: str = "") -> None:
        super().__init__()
        print(words)
        self.first = nn.Conv2d(3, 4, 1)
        self.last = nn.Conv2d(4, 3, 1)

    def forward_features(self, x: Tensor) -> Tensor:
        return self.first(x)  # type: ignore[no-any-return]

    def head(self, f: Tensor) -> Tensor:
        return self.last(f)  # type: ignore[no-any-return]


class InPlace(Plain):
    def forward_features(self, x: Tensor) -> Tensor:
        return super().forward_features(x.mul_(2))


class Raises(Plain):
    def __init__(self, words: str = "") -> None:
        raise RuntimeError("no \x1b[31mluck\n at all")


class WordsOptions(Options):
    words: str = "made"


@pytest.fixture(autouse=True)
def acme(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, installed_plugins: Callable[..., Registry]
) -> None:
    """Plugins as if they were installed, and a cache of our own."""
    module = types.ModuleType("acme_check")
    vars(module).update(Plain=Plain, InPlace=InPlace, Raises=Raises)
    monkeypatch.setitem(sys.modules, "acme_check", module)

    def entry(name: str, factory: str) -> Installed[BackboneEntry]:
        made = BackboneEntry(
            name=name,
            description="A test.",
            factory=f"acme_check:{factory}",
            kind="direct",
            feature_channels=4,
            options=WordsOptions,
        )
        return Installed(made, "acme", "2.0")

    names = {
        "plain": "Plain",
        "in-place": "InPlace",
        "raises": "Raises",
        "nowhere": "Nowhere",
    }
    installed_plugins(
        *(entry(name, factory) for name, factory in names.items()),
        base=Registry(),
        problems=(Problem("torn", "acme-torn", "0.3", "import failed: ImportError: no acme"),),
    )
    monkeypatch.setenv("UGPNET_CACHE", str(tmp_path))


def test_a_good_backbone(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check-backbone", "plain", "-O", "words=hello"]) == 0
    shown = capsys.readouterr()
    first, *lines, last = shown.out.splitlines()
    assert first == "plain (acme 2.0) words=hello"
    assert "hello" not in "".join(lines)  # what a plugin prints goes elsewhere
    assert "hello" in shown.err
    marks = [line.split()[0] for line in lines if line[2:4].strip()]
    assert set(marks) == {"ok", "-"}
    assert len(marks) == len(check_names())
    assert max(map(len, lines)) <= 80
    assert " passed, " in last
    assert "failed" not in last


def test_a_defect_is_one_line_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check-backbone", "in-place"]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.count("FAIL") == 1
    assert "FAIL input_unchanged forward_features changes the image" in shown
    assert "or clone it first." in shown
    assert "1 failed, " in shown


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("raises", "The network cannot be made: RuntimeError: no [31mluck at all"),
        ("nowhere", "cannot be imported: AttributeError"),
        ("torn", "the plugin 'torn' of acme-torn 0.3 is broken: import failed: ImportError: no"),
    ],
)
def test_a_broken_plugin_is_a_failed_report(
    name: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check-backbone", name]) == 1
    shown = capsys.readouterr()
    assert said in " ".join(shown.out.split())
    assert "Traceback" not in shown.out + shown.err
    assert "\x1b" not in shown.out
    assert shown.out.splitlines()[-1].startswith("1 failed (")


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check-backbone", "in-place", "--json", "--option", "words=x"]) == 1
    shown: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert shown["name"] == "in-place"
    assert (shown["distribution"], shown["version"]) == ("acme", "2.0")
    assert shown["options"] == {"words": "x"}
    assert shown["ok"] is False
    failed = [result for result in shown["results"] if result["status"] == "failed"]
    assert [result["name"] for result in failed] == ["input_unchanged"]
    assert [result["name"] for result in shown["results"]] == list(check_names())


def test_only_some_checks(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["check-backbone", "in-place", "--only", "protocol", "--only", "sizes"]
    assert cli.main(words) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4


@pytest.mark.parametrize("command", ["backbone", "prior", "task", "model"])
def test_the_help_names_checks_that_there_are(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([f"check-{command}", "--list", "--json"]) == 0
    there = json.loads(capsys.readouterr().out)
    assert cli.main([f"check-{command}", "--help"]) == 0
    named = re.findall(r"--only ([a-z_]+)", capsys.readouterr().out)
    assert named or command == "model"
    assert set(named) <= set(there)


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check-backbone", "--list"]) == 0
    shown = capsys.readouterr().out
    assert [line.split()[0] for line in shown.splitlines() if line[2] != " "] == list(check_names())
    assert cli.main(["check-backbone", "--list", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == list(check_names())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Give the name of a backbone"),
        (["plian"], "did you mean plain"),
        (["plain", "-O", "word=x"], "did you mean 'words'"),
        (["plain", "-O", "words"], "'words' is no option"),
        (["plain", "--only", "gradient"], "did you mean gradients"),
    ],
)
def test_wrong_usage_is_status_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check-backbone", *arguments]) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out == ""
