"""``ugpnet doctor``: what works, what does not, and what to do about it."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from ugpnet_core import cli
from ugpnet_core.diagnosis import Finding, checks, machine, plugins, self_test, software
from ugpnet_core.plugins import Problem, Registry, presence, registry

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_everything_works_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    shown = capsys.readouterr().out
    for section in checks.CHECKS:
        assert f"\n{section}\n" in f"\n{shown}"
    assert "the same twice" in shown
    assert shown.rstrip().endswith("Everything works.")


def test_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "CHECKS", {"software": software.libraries})
    assert cli.main(["doctor", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["broken"] == []
    names = [finding["name"] for finding in shown["findings"]]
    assert {"python", "ugpnet-core", "torch", "pillow"} <= set(names)


def test_what_is_broken_is_named_with_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def raising() -> Iterator[Finding]:
        raise OSError("no\nsuch luck")
        yield

    broken = {"software": lambda: [_library("torch>=99")], "devices": raising}
    monkeypatch.setattr(checks, "CHECKS", broken)
    assert cli.main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert "BAD   torch: " in shown
    assert "to do: pip install 'torch>=99'" in shown
    assert "OSError: no such luck" in shown
    assert "Broken: torch, devices" in shown


def _library(requirement: str) -> Finding:
    return software._library(Requirement(requirement))


@pytest.mark.parametrize(
    ("requirement", "status", "found"),
    [
        ("pillow>=1", "ok", ""),
        ("nothing-of-this-name", "broken", "not installed"),
        ("numpy<1", "broken", "is needed"),
    ],
)
def test_libraries(requirement: str, status: str, found: str) -> None:
    finding = _library(requirement)
    assert finding.status == status
    assert found in finding.found
    assert bool(finding.advice) == (status == "broken")


def test_a_library_that_cannot_be_imported_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(software.IMPORTED, "pillow", "PIL.NoSuchModule")
    finding = _library("pillow")
    assert finding.status == "broken"
    assert "cannot be imported" in finding.found
    assert finding.advice == "pip install --force-reinstall pillow"


def test_extras_that_are_missing_say_what_they_bring(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def nothing(requirement: Requirement) -> None:
        asked.append(requirement.name)

    monkeypatch.setattr(software, "_installed", nothing)
    found = {finding.name: finding for finding in software.extras()}
    assert found["export"].status == "note"
    assert "ONNX" in found["export"].found
    assert found["export"].advice.endswith("pip install 'ugpnet-core[export]'")
    assert "onnxruntime" in asked
    assert "dev" not in found


def test_every_extra_has_words_for_what_it_brings() -> None:
    text = PROJECT.read_text(encoding="utf-8")
    (section,) = re.findall(r"^\[project.optional-dependencies\]$(.*?)^\[", text, re.M | re.S)
    extras = set(re.findall(r"^([\w-]+) = \[", section, re.M))
    assert set(software.BRINGS) == extras - set(software.NOT_FOR_USERS)


def test_broken_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem("acme", "acme-net", "1.0", "ImportError: no acme")
    broken = Registry(backbones=registry().backbones, problems=(problem,))
    monkeypatch.setattr(plugins, "registry", lambda: broken)
    found = {finding.name: finding for finding in plugins.plugins()}
    assert found["acme"].status == "broken"
    assert "no acme" in found["acme"].found
    assert "pip install --upgrade acme-net" in found["acme"].advice
    assert found["priors"].status == "note"


def test_a_plugin_that_lacks_what_it_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "acme_net-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: acme-net\nVersion: 1.0\n"
        "Requires-Dist: ugpnet-core>=0.9,<0.10\nRequires-Dist: acme-parts\n"
        "Requires-Dist: pluggy>=1\nRequires-Dist: acme-more; extra=='more'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    one = next(iter(registry().backbones.values()))
    ours = dataclasses.replace(one, distribution="acme-net", version="1.0")
    here = dataclasses.replace(one, distribution="of this process alone")
    monkeypatch.setattr(plugins, "registry", lambda: Registry(backbones={"a": ours, "b": here}))
    (found,) = [finding for finding in plugins.plugins() if finding.status == "broken"]
    assert found.name == "acme-net"
    assert re.fullmatch(
        r"acme-net 1\.0 needs ugpnet-core<0\.10,>=0\.9, and [\d.]+ is installed, "
        "needs acme-parts, which is not installed",
        found.found,
    )
    assert found.advice == "pip install --upgrade acme-net"


def test_a_model_whose_network_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    without = dataclasses.replace(registry(), backbones={})
    for module in (plugins, presence, self_test):
        monkeypatch.setattr(module, "registry", lambda: without)
    found = {finding.name: finding for finding in plugins.models()}
    assert (found["portraits"].status, found["portraits"].found) == ("broken", "no backbone nafnet")
    assert found["portraits"].advice == "pip install --upgrade ugpnet-priors-portraits"
    (tried,) = self_test.self_test()
    assert tried.status == "note"


def test_little_memory_and_little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "MEMORY", 2**60)
    monkeypatch.setattr(machine, "DISK", 2**70)
    for finding in (*machine.memory(), *machine.places()):
        assert finding.status == "note"
        assert finding.advice


def test_a_model_that_is_never_the_same_twice_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from ugpnet_core.inference.restorer import Restorer

    (fine,) = self_test.self_test()
    assert fine.status == "ok"
    plain = Restorer.restore_tensor

    def noisy(self: Restorer, x: torch.Tensor) -> Any:
        return plain(self, (x + 0.1 * torch.rand_like(x)).clamp(0, 1))

    monkeypatch.setattr(Restorer, "restore_tensor", noisy)
    (finding,) = self_test.self_test()
    assert finding.status == "broken"
    assert "differs" in finding.found
