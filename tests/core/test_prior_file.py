"""Prior files: what describes them, who reads them, and what happens when they do not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import ugpnet_core as ug
from ugpnet_core.config import TrainConfig
from ugpnet_core.errors import ConfigError, PluginError, WeightsError
from ugpnet_core.inference.opened_prior import open_prior
from ugpnet_core.model_files import prior_readers
from ugpnet_core.model_files.prior import (
    FORMAT,
    check_weights,
    create_discriminator,
    read_prior,
    write_prior,
)
from ugpnet_core.model_files.prior_weights import PriorWeights
from ugpnet_core.plugins import Installed, PriorEntry, Registry, resolve
from ugpnet_core.training.pretrained import read_pretrained_prior
from ugpnet_core.training.run import train

OPTIONS: dict[str, Any] = {
    "resolution": 32,
    "style_dim": 8,
    "num_mlp": 1,
    "narrow": 1 / 64,
    "w_avg": True,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    generator: Any = ug.create_prior("stylegan2", **OPTIONS)
    generator.w_avg.normal_()
    weights = PriorWeights(
        layout="rosinality's",
        options=OPTIONS,
        generator=generator.state_dict(),
        discriminator=create_discriminator("stylegan2", **OPTIONS).state_dict(),
        facts={"resolution": 32, "widths": {4: 8}},
    )
    write_prior(tmp_path / "prior.safetensors", "stylegan2", weights, "CC0-1.0")
    return tmp_path / "prior.safetensors"


def rewritten(path: Path, **changes: str | None) -> Path:
    with safe_open(path, framework="pt") as file:
        metadata = {**file.metadata(), **changes}
    kept = {key: value for key, value in metadata.items() if value is not None}
    save_file(load_file(path), path, metadata=kept)
    return path


def test_a_prior_file_describes_itself(path: Path) -> None:
    weights = read_prior(path)
    assert weights is not None
    assert weights.options == OPTIONS
    assert (weights.layout, weights.facts["resolution"]) == ("rosinality's", 32)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    assert (metadata["format"], metadata["prior"], metadata["licence"]) == (
        "ugpnet-prior-1",
        "stylegan2",
        "CC0-1.0",
    )
    made: Any = ug.create_prior("stylegan2", weights=path)
    for key, value in made.state_dict().items():
        assert torch.equal(value, weights.generator[key])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": "ugpnet-prior-2"}, f"'ugpnet-prior-2' and this version reads '{FORMAT}'"),
        ({"options": None}, "description inside .* is damaged"),
        ({"options": "{"}, "description inside .* is damaged"),
        ({"options": "[]"}, "description inside .* is damaged"),
        ({"facts": "3"}, "description inside .* is damaged"),
        ({"prior": None}, "description inside .* is damaged"),
        ({"prior": "other"}, "holds a prior 'other' and not 'stylegan2'"),
        ({"options": '{"resolution": 33}'}, "describes what cannot be made"),
        ({"options": '{"unknown": 33}'}, "describes what cannot be made"),
        ({"options": json.dumps({**OPTIONS, "num_mlp": 2})}, "does not fit StyleGAN2Generator"),
    ],
)
def test_a_damaged_description_is_refused(
    path: Path, changes: dict[str, str | None], said: str
) -> None:
    with pytest.raises(WeightsError, match=said):
        ug.create_prior("stylegan2", weights=rewritten(path, **changes))


def test_a_key_has_nothing_to_choose_in_it(path: Path) -> None:
    said = "holds one network, which is taken as it is; leave the key 'generator' out"
    with pytest.raises(WeightsError, match=said):
        read_prior(path, key="generator")
    with pytest.raises(WeightsError, match=f"Prior 'stylegan2' {said}"):
        open_prior("stylegan2", key="generator")


def test_a_stray_tensor_is_refused(path: Path) -> None:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    save_file({**load_file(path), "other.x": torch.ones(1)}, path, metadata=metadata)
    with pytest.raises(WeightsError, match=r"description inside .* is damaged"):
        read_prior(path)


# --- in a training ------------------------------------------------------------------------------


@torch.no_grad()
def test_a_training_takes_the_options_that_it_was_not_given(
    training_config: Callable[..., TrainConfig], path: Path
) -> None:
    config = training_config(
        prior=None,
        model__prior__options={"base_size": 8},
        synthesis={"iterations": 1, "batch_size": 2, "weights": path},
    )
    joined, _ = read_pretrained_prior(config)
    assert joined.model.prior.options == {**OPTIONS, "base_size": 8}
    with torch.enable_grad():
        model_path = train(config, "all")
    assert model_path is not None
    generator: Any = ug.load_model(model_path).synthesis.generator
    stored = read_prior(path)
    assert stored is not None
    assert torch.equal(generator.w_avg, stored.generator["w_avg"])
    against = training_config(
        prior=None, model__prior__options={"style_dim": 4}, synthesis={"weights": path}
    )
    with pytest.raises(ConfigError, match="'style_dim' of prior 'stylegan2' is 4 here and 8 in"):
        train(against, "all")


# --- readers --------------------------------------------------------------------------------------


def with_reader(
    monkeypatch: pytest.MonkeyPatch,
    installed_plugins: Callable[..., Registry],
    read: Callable[[Any], Any],
) -> None:
    entry = PriorEntry(name="acme", description="", factory="acme:make", reader="acme:read")
    installed_plugins(Installed(entry, "acme-priors", "1.0"))
    monkeypatch.setattr(
        prior_readers,
        "resolve",
        lambda name: read if name == entry.reader else resolve(name),
    )


def test_any_prior_may_bring_a_reader(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    installed_plugins: Callable[..., Registry],
) -> None:
    torch.save({"decoder.weight": torch.ones(2)}, tmp_path / "acme.pt")

    def read(files: Any) -> PriorWeights | None:
        (file,) = files
        stored = file.content.get("decoder.weight")
        return None if stored is None else PriorWeights("acme's", {}, {"weight": stored.load()})

    with_reader(monkeypatch, installed_plugins, read)
    found = read_prior(tmp_path / "acme.pt", "acme")
    assert found is not None
    assert torch.equal(found.generator["weight"], torch.ones(2))
    assert read_prior(tmp_path / "acme.pt", "stylegan2") is None
    torch.save({"other": torch.ones(2)}, tmp_path / "other.pt")
    assert read_prior(tmp_path / "other.pt") is None


def test_a_reader_that_fails_is_its_plugins_fault(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    installed_plugins: Callable[..., Registry],
) -> None:
    torch.save({"x": torch.ones(2)}, tmp_path / "x.pt")

    def read(files: Any) -> PriorWeights | None:
        raise RuntimeError("no such layer")

    with_reader(monkeypatch, installed_plugins, read)
    with pytest.raises(PluginError, match=r"acme-priors failed .RuntimeError: no such layer.*tell"):
        read_prior(tmp_path / "x.pt")


def test_shapes_are_compared_without_memory() -> None:
    options = {"resolution": 1024, "style_dim": 512}
    weights = PriorWeights("", options, {"w_avg": torch.zeros(512)})
    with pytest.raises(WeightsError, match="keys are missing and 1 unknown"):
        check_weights("stylegan2", weights, "file")


def test_a_finished_prior_stage_leaves_its_file_alone(
    training_config: Callable[..., TrainConfig],
) -> None:
    config = training_config()
    train(config, "prior")
    (path,) = config.output.glob("*-prior.safetensors")
    first = path.read_bytes(), path.stat().st_mtime_ns
    # Trainings that began with it know it by its bytes, so that it must keep them.
    train(config, "prior", resume=True)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == first
    path.unlink()
    train(config, "prior", resume=True)
    assert read_prior(path, "stylegan2") is not None
