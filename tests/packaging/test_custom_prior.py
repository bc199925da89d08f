"""The example of a third-party prior: its whole life, in an environment of its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

EXAMPLE = Path(__file__).parents[2] / "examples" / "custom_prior"
Environment = Callable[..., "subprocess.CompletedProcess[str]"]
UGPNET = ("-m", "ugpnet_core.cli")
SMALL = {"resolution": 32, "base_size": 8, "width": 4, "style_dim": 4}


@pytest.fixture(scope="module")
def environment(environment_with: Callable[[Path], Environment]) -> Environment:
    """An environment with the wheel of the example."""
    return environment_with(EXAMPLE)


def test_it_is_listed(environment: Environment) -> None:
    listing = json.loads(environment(*UGPNET, "list-priors", "--json").stdout)
    assert not listing["problems"]
    (film,) = (one for one in listing["priors"] if one["name"] == "film")
    assert (film["distribution"], film["version"]) == ("film-prior", "0.3.0")
    assert set(film["options"]) == set(SMALL)


def test_its_own_tests_pass(environment: Environment) -> None:
    done = environment("-m", "pytest", "-p", "no:cacheprovider", str(EXAMPLE))
    assert " passed" in done.stdout
    for word in ("failed", "skipped", "warning"):
        assert word not in done.stdout, done.stdout


def test_it_passes_the_checks_with_what_it_declares(environment: Environment) -> None:
    report = json.loads(environment(*UGPNET, "check-prior", "film", "--json").stdout)
    assert report["ok"]
    assert (report["distribution"], report["version"]) == ("film-prior", "0.3.0")
    statuses = {result["name"]: result["status"] for result in report["results"]}
    # It names no file of weights, and all else is as declared.
    assert statuses.pop("weights") == "not declared"
    assert set(statuses.values()) == {"passed"}, statuses


def test_its_life(
    environment: Environment, training_settings: dict[str, Any], photographs: Path, tmp_path: Path
) -> None:
    """Trained for a few steps in all four stages, saved, looked at, used; then missed."""
    settings = {**training_settings, "output": str(tmp_path / "run")}
    prior = {"name": "film", "options": SMALL}
    settings["model"] = {**settings["model"], "prior": prior}
    (tmp_path / "film.yaml").write_text(yaml.safe_dump(settings))
    environment(*UGPNET, "train", "film.yaml", cwd=tmp_path)
    model = tmp_path / "run" / "tiny.safetensors"
    image = photographs / "inner" / "0.png"
    for words in (
        ("sample", str(tmp_path / "run" / "prior.safetensors"), "-o", "grid.png"),
        ("invert", str(image), "--prior", str(model), "--steps", "2", "-o", "inverted.png"),
        ("restore", str(image), "-m", str(model), "-o", "restored.png"),
    ):
        environment(*UGPNET, *words, cwd=tmp_path)
        assert (tmp_path / words[-1]).is_file()

    environment("-m", "pip", "uninstall", "-q", "-y", "film-prior")
    missed = environment(
        *UGPNET, "restore", str(image), "-m", str(model), "-o", "no.png", cwd=tmp_path, status=1
    )
    (line,) = missed.stderr.splitlines()
    assert line.endswith("needs plugins that are not installed; pip install film-prior")
    assert not (tmp_path / "no.png").exists()
    listing = environment(*UGPNET, "list-priors").stdout
    assert "stylegan2" in listing
    assert "film" not in listing
