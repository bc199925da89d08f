"""The checks of trained models: a good one, and one fault each."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import ugpnet_core as ug
from ugpnet_core.cli import main
from ugpnet_core.config import TrainConfig
from ugpnet_core.errors import ConfigError, UnknownNameError
from ugpnet_core.model_files.model import save_model
from ugpnet_core.networks.ugpnet import UGPNet, build_model
from ugpnet_core.plugins import Installed, ModelEntry, PriorEntry, find
from ugpnet_core.testing import check_model, check_prior, model_check_names, task_check_names

Install = Callable[..., None]


@pytest.fixture
def model(training_config: Callable[..., TrainConfig]) -> UGPNet:
    torch.manual_seed(0)
    return build_model(training_config().model).eval()


@pytest.fixture
def install(installed_plugins: Callable[..., Any], tmp_path: Path) -> Install:
    """Installs a model under the name "mine", with another entry than is right where asked."""

    def add(model: UGPNet, **changes: Any) -> None:
        path = tmp_path / "mine.safetensors"
        save_model(model, path, licence=changes.get("licence", "MIT"))
        entry = ModelEntry(
            name="mine",
            description="x",
            file=str(path),
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            task="denoise",
            resolution=32,
            backbone="nafnet",
            prior="stylegan2",
            size=path.stat().st_size,
            parameters=sum(p.numel() for p in model.parameters()),
        )
        installed_plugins(Installed(replace(entry, **changes), "my-model", "1.0"))

    return add


def test_a_good_model_passes(model: UGPNet, install: Install, tmp_path: Path) -> None:
    install(model)
    report = check_model("mine")
    assert report.ok, str(report)
    assert tuple(result.name for result in report.results) == model_check_names()
    # A file has no entry to compare with.
    by_path = check_model(tmp_path / "mine.safetensors")
    assert by_path.ok
    assert by_path["declared_values"].status == "not declared"


@pytest.mark.parametrize(
    ("changes", "check", "message"),
    [
        ({"file": "/nowhere/at/all.safetensors"}, "file", "lacks its file"),
        ({"sha256": "0" * 64}, "file", "is damaged"),
        ({"size": 3}, "file", "The entry says size=3"),
        ({"task": "deblur"}, "declared_values", "task='deblur' and the file 'denoise'"),
        ({"resolution": 64}, "declared_values", "resolution=64 and the file 32"),
        ({"prior": "other"}, "declared_values", "prior='other' and the file 'stylegan2'"),
        ({"parameters": 3}, "declared_values", "parameters=3"),
        ({"licence": ""}, "description", "names a licence"),
    ],
)
def test_a_wrong_entry(
    model: UGPNet, install: Install, changes: dict[str, Any], check: str, message: str
) -> None:
    install(model, **changes)
    (failed,) = check_model("mine").failed
    assert failed.name == check
    assert message in failed.message


def test_a_model_that_is_not_trained(model: UGPNet, install: Install) -> None:
    with torch.no_grad():
        model.fusion.last.bias.fill_(50.0)
    install(model)
    (failed,) = check_model("mine").failed
    assert failed.name == "restores"
    assert failed.message.startswith("x_hat has values from")
    with torch.no_grad():
        model.fusion.last.bias.fill_(float("nan"))
    install(model)
    assert "no finite numbers" in check_model("mine")["loads"].message


def test_mistakes_of_the_caller() -> None:
    with pytest.raises(UnknownNameError):
        check_model("no-such-model")
    from ugpnet_core.testing.models import model_subject_of

    with pytest.raises(ConfigError, match="takes no options"):
        model_subject_of("mine", width=3)


def test_a_model_file_is_checked_by_its_path(
    model: UGPNet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.safetensors"
    ug.save_model(model, path)
    assert main(["check-model", str(path), "--only", "loads"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{path} (a file)")
    assert "ok    loads" in said
    assert main(["check-model", str(path), "--only", "declared_values", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["results"][0]["status"] == "not declared"
    assert main(["check-model", str(tmp_path / "other.safetensors")]) == 2
    assert main(["check-prior", str(path)]) == 2


def test_the_commands(model: UGPNet, install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install(model)
    assert main(["check-model", "mine", "--only", "file"]) == 0
    assert "ok    file" in capsys.readouterr().out
    install(model, resolution=64)
    assert main(["check-model", "mine", "--json"]) == 1
    assert not json.loads(capsys.readouterr().out)["ok"]
    assert main(["check-task", "sr2", "-O", "resolution=3"]) == 2
    assert main(["check-task", "denoise", "-O", "sigma=0.1", "--only", "builds"]) == 0
    assert "ok    builds" in capsys.readouterr().out
    for command, names in (("check-task", task_check_names), ("check-model", model_check_names)):
        capsys.readouterr()
        assert main([command, "--list", "--json"]) == 0
        promises = json.loads(capsys.readouterr().out)
        assert tuple(promises) == names()
        assert all(promises.values())
        assert main([command]) == 2


def test_listings_say_what_is_missing(
    model: UGPNet,
    install: Install,
    installed_plugins: Callable[..., Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    install(model, file="/nowhere/mine.safetensors", prior="film", task="rain")
    stylegan2 = find(PriorEntry, "stylegan2")
    packaged = "ugpnet_priors.portraits:gone.safetensors"
    bare = replace(stylegan2.entry, name="bare", file=packaged, sha256="0" * 64)
    installed_plugins(replace(stylegan2, entry=bare))
    for command, word, name in (
        ("list-models", "models", "mine"),
        ("list-priors", "priors", "bare"),
    ):
        assert main([command, "--json"]) == 0
        entries = json.loads(capsys.readouterr().out)[word]
        status = {entry["name"]: (entry["status"], entry["missing"]) for entry in entries}
        assert main([command]) == 0
        table = "".join(capsys.readouterr().out.split())
        if word == "models":
            words = ["no file /nowhere/mine.safetensors", "no prior film", "no task rain"]
            assert status["portraits"] == ("ok", [])
        else:
            words = [f"no file {packaged}"]
            assert status["stylegan2"] == ("ok", [])
        assert status[name] == (", ".join(words), words)
        assert "nofile" in table


def test_a_prior_without_its_file_of_weights_fails(
    installed_plugins: Callable[..., Any], tmp_path: Path
) -> None:
    stylegan2 = find(PriorEntry, "stylegan2")
    options = importlib.import_module("ugpnet_priors.stylegan2.options").StyleGAN2Options

    class Small(options):  # type: ignore[misc, valid-type]
        resolution: int = 16
        style_dim: int = 4
        num_mlp: int = 1
        narrow: float = 0.01
        base_size: int = 8

    gone = str(tmp_path / "gone.safetensors")
    entry = replace(
        stylegan2.entry, name="mine", options=Small, resolution=16, parameters=None, file=gone
    )
    installed_plugins(replace(stylegan2, entry=entry))
    only = ["builds", "weights"]
    from ugpnet_core.testing import prior_subject_of, run_prior_checks

    (failed,) = run_prior_checks(prior_subject_of("mine"), only).failed
    assert failed.name == "weights"
    assert "lacks its file" in failed.message
    assert check_prior("stylegan2", resolution=16, base_size=8, narrow=0.01, style_dim=4)[
        "weights"
    ].status == ("not declared")
