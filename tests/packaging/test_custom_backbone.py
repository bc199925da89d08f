"""The example of a third-party plugin: its whole life, in an environment of its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

EXAMPLE = Path(__file__).parents[2] / "examples" / "custom_backbone"
Environment = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def environment(environment_with: Callable[[Path], Environment]) -> Environment:
    """An environment with the wheel of the example."""
    return environment_with(EXAMPLE)


def test_it_is_listed_with_its_preset(environment: Environment) -> None:
    listing = json.loads(environment("-m", "ugpnet_core.cli", "list-backbones", "--json").stdout)
    assert not listing["problems"]
    (photon,) = (one for one in listing["backbones"] if one["name"] == "photon")
    assert (photon["distribution"], photon["version"]) == ("photon-restore", "1.2.0")
    assert [preset["name"] for preset in photon["presets"]] == ["photon-tiny"]
    assert "photon-tiny" in environment("-m", "ugpnet_core.cli", "list-backbones").stdout


def test_its_own_tests_pass(environment: Environment) -> None:
    done = environment("-m", "pytest", "-p", "no:cacheprovider", str(EXAMPLE))
    assert " passed" in done.stdout
    for word in ("failed", "skipped", "warning"):
        assert word not in done.stdout, done.stdout


def test_its_preset_passes_the_checks(environment: Environment, tmp_path: Path) -> None:
    check = ("-m", "ugpnet_core.cli", "check-backbone", "photon-tiny", "--json")
    report = json.loads(environment(*check, UGPNET_CACHE=str(tmp_path)).stdout)
    assert report["ok"]
    assert (report["distribution"], report["version"]) == ("photon-restore", "1.2.0")
    statuses = {result["name"]: result["status"] for result in report["results"]}
    assert {statuses[one] for one in ("sizes", "gradients", "pickling", "speed")} == {"passed"}


def test_its_life(
    environment: Environment, training_settings: dict[str, Any], photographs: Path, tmp_path: Path
) -> None:
    """Trained for a few steps, saved, used; then uninstalled and missed."""
    settings = {**training_settings, "output": str(tmp_path / "run")}
    del settings["prior"]
    settings["model"] = {
        **settings["model"],
        "backbone": {"name": "photon-tiny", "options": {"width": 4}},
    }
    (tmp_path / "photon.yaml").write_text(yaml.safe_dump(settings))
    ugpnet = ("-m", "ugpnet_core.cli")
    environment(*ugpnet, "train", "photon.yaml", cwd=tmp_path)
    model = tmp_path / "run" / "tiny.safetensors"
    image = photographs / "inner" / "0.png"
    restore = (*ugpnet, "restore", str(image), "-m", str(model), "-o")
    environment(*restore, "restored.png", cwd=tmp_path)
    assert (tmp_path / "restored.png").is_file()

    environment("-m", "pip", "uninstall", "-q", "-y", "photon-restore")
    missed = environment(*restore, "again.png", cwd=tmp_path, status=1)
    (line,) = missed.stderr.splitlines()
    assert line.endswith("needs plugins that are not installed; pip install photon-restore")
    assert "Traceback" not in missed.stderr
    assert not (tmp_path / "again.png").exists()
    listing = environment(*ugpnet, "list-backbones").stdout
    assert "nafnet" in listing
    assert "photon" not in listing
