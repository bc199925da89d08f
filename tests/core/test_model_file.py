"""Model files: what is saved comes back, and what cannot be loaded says why."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

import ugpnet_core as ug
from ugpnet_core import factory
from ugpnet_core.config import ComponentConfig, ModelConfig, TaskConfig
from ugpnet_core.errors import ConfigError, PluginError, UnknownNameError, WeightsError
from ugpnet_core.model_files.card import FORMAT
from ugpnet_core.model_files.finding import find_model_file
from ugpnet_core.model_files.model import load_model, read_card, save_model
from ugpnet_core.networks.ugpnet import UGPNet, build_model
from ugpnet_core.plugins import BackboneEntry, Installed, ModelEntry, Registry

CONFIG = ModelConfig(
    backbone=ComponentConfig(
        name="nafnet", options={"width": 4, "enc_blk_nums": [1], "dec_blk_nums": [1]}
    ),
    prior=ComponentConfig(
        name="stylegan2",
        options={"resolution": 16, "style_dim": 8, "num_mlp": 1, "narrow": 1 / 64, "base_size": 8},
    ),
    task=TaskConfig(name="denoise", options={"sigma": 0.1}),
    merging_channels=6,
    fusion_channels=5,
    fusion_blocks=1,
)


@pytest.fixture(scope="module")
def model() -> UGPNet:
    torch.manual_seed(0)
    made = build_model(CONFIG)
    with torch.no_grad():
        for value in made.state_dict().values():
            if value.is_floating_point():
                value.add_(0.05 * torch.rand_like(value))
    return made.eval()


@pytest.fixture
def saved(model: UGPNet, tmp_path: Path) -> Path:
    save_model(model, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def rewritten(path: Path, **changes: str | None) -> Path:
    """The same file with other metadata."""
    with safe_open(path, framework="pt") as file:
        metadata = {**file.metadata(), **changes}
    kept = {key: value for key, value in metadata.items() if value is not None}
    save_file(load_file(path), path, metadata=kept)
    return path


# --- the round trip -------------------------------------------------------------------------------


@torch.no_grad()
def test_float32_comes_back_exactly(model: UGPNet, saved: Path) -> None:
    loaded = load_model(saved)
    assert loaded.config == CONFIG
    assert not loaded.training
    state, expected = loaded.state_dict(), model.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], expected[key]) for key in expected)
    x = torch.rand(2, 3, 16, 16)
    for ours, theirs in zip(loaded(x), model(x), strict=True):
        assert torch.equal(ours, theirs)


@torch.no_grad()
def test_every_form_of_the_networks_comes_back(tmp_path: Path) -> None:
    x = torch.rand(2, 3, 16, 16)
    forms: list[dict[str, Any]] = [
        {"adapter": "skip"},
        {"adapter": "skip", "fusion_output": "correction", "encoder_norm": "group"},
        {"fusion_output": "correction", "fusion_inputs": "images", "encoder_norm": "none"},
    ]
    for form in forms:
        config = CONFIG.model_copy(update=form)
        made = build_model(config).eval()
        save_model(made, tmp_path / "model.safetensors")
        loaded = load_model(tmp_path / "model.safetensors")
        assert loaded.config == config
        for ours, theirs in zip(loaded(x), made(x), strict=True):
            assert torch.equal(ours, theirs)


@torch.no_grad()
def test_a_file_from_before_there_were_other_forms_is_the_papers(
    model: UGPNet, saved: Path
) -> None:
    with safe_open(saved, framework="pt") as file:
        config = json.loads(file.metadata()["config"])
    for setting in ("encoder_norm", "fusion_output", "adapter"):
        del config[setting]
    loaded = load_model(rewritten(saved, config=json.dumps(config)))
    assert loaded.config == CONFIG
    assert loaded.config.adapter == "merging"
    x = torch.rand(1, 3, 16, 16)
    assert torch.equal(loaded(x).image, model(x).image)


@pytest.mark.parametrize(
    ("dtype", "step", "tolerance"), [(torch.float16, 2**-11, 0.01), (torch.bfloat16, 2**-8, 0.05)]
)
@torch.no_grad()
def test_half_precision_comes_back_nearly(
    model: UGPNet, tmp_path: Path, dtype: torch.dtype, step: float, tolerance: float
) -> None:
    save_model(model, tmp_path / "half.safetensors", dtype=dtype)
    save_model(model, tmp_path / "full.safetensors")
    half, full = (tmp_path / f"{name}.safetensors" for name in ("half", "full"))
    assert half.stat().st_size < 0.75 * full.stat().st_size
    loaded = load_model(half)
    state = loaded.state_dict()
    for key, expected in model.state_dict().items():
        assert state[key].dtype == expected.dtype, key
        if expected.dim() > 1:
            assert ((state[key] - expected).abs() <= step * expected.abs() + 1e-7).all(), key
        else:
            assert torch.equal(state[key], expected), key
    x = torch.rand(1, 3, 16, 16)
    ours, theirs = loaded(x).image, model(x).image
    assert (ours - theirs).abs().max() < tolerance * theirs.abs().max()


def test_a_key_has_nothing_to_choose_in_it(saved: Path) -> None:
    with pytest.raises(WeightsError, match=r"holds one network, .* leave the key 'synthesis' out"):
        ug.load_model(saved, key="synthesis")


def test_the_file_describes_itself(model: UGPNet, tmp_path: Path) -> None:
    record = {"stages": [{"name": "fusion", "psnr": 27.5}], "data": "ü"}
    path = tmp_path / "model.safetensors"
    save_model(model, path, record=record, licence="CC0-1.0")
    card = read_card(path)
    assert (card.config, card.record, card.licence) == (CONFIG, record, "CC0-1.0")
    names = {"ugpnet-core", "ugpnet-backbones-nafnet", "ugpnet-priors-stylegan2"}
    assert set(card.plugins) == names
    assert card.plugins["ugpnet-core"] == ug.__version__
    with safe_open(path, framework="pt") as file:
        assert file.metadata()["format"] == FORMAT


def test_what_cannot_be_written_leaves_nothing(model: UGPNet, tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        save_model(model, tmp_path / "model.safetensors", record={"path": tmp_path})
    assert list(tmp_path.iterdir()) == []


def test_the_public_names_are_these(model: UGPNet, tmp_path: Path) -> None:
    ug.save_model(model, str(tmp_path / "model.safetensors"))
    assert ug.load_model(str(tmp_path / "model.safetensors"), device="cpu").config == CONFIG


# --- files that cannot be loaded ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gone.safetensors", "gone.pth", "folder/gone", "."])
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    for load in (load_model, read_card):
        with pytest.raises(WeightsError, match=r"There is no model file .*; check the path"):
            load(tmp_path / name)


def test_damaged_files_are_refused(saved: Path) -> None:
    content = saved.read_bytes()
    for damaged in (b"", content[:5], content[:1000], content[:-1], b"\0" * 64, content + b"\0"):
        saved.write_bytes(damaged)
        with pytest.raises(WeightsError, match=r"model\.safetensors.*get it again"):
            load_model(saved)


@pytest.mark.parametrize("config", [None, "", "{", "[]", '{"backbone": 3}', '{"unknown": 1}'])
def test_a_damaged_description_is_refused(config: str | None, saved: Path) -> None:
    with pytest.raises(WeightsError, match=r"description inside .* is damaged"):
        load_model(rewritten(saved, config=config))


def test_another_version_of_the_format_is_refused(saved: Path) -> None:
    with pytest.raises(WeightsError, match=r"'ugpnet-model-2'.*reads 'ugpnet-model-1'; install"):
        load_model(rewritten(saved, format="ugpnet-model-2"))


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_a_file_that_is_no_model_file_is_recognised(
    metadata: dict[str, str] | None, model: UGPNet, tmp_path: Path
) -> None:
    backbone: Any = model.restoration.backbone
    path = tmp_path / "nafnet.safetensors"
    save_file(backbone.state_dict(), path, metadata=metadata)
    for load in (load_model, read_card):
        with pytest.raises(WeightsError, match=r"is no model file \(it looks like NAFNet .*make"):
            load(path)
    torch.save(backbone.state_dict(), tmp_path / "nafnet.pth")
    with pytest.raises(WeightsError, match="looks like NAFNet"):
        load_model(tmp_path / "nafnet.pth")
    torch.save({"weights": [Path()]}, tmp_path / "objects.pth")
    with pytest.raises(WeightsError, match="holds no state dict; give a checkpoint"):
        load_model(tmp_path / "objects.pth")


def test_weights_that_do_not_fit_their_description_are_refused(saved: Path) -> None:
    other = CONFIG.model_copy(update={"fusion_blocks": 2})
    with pytest.raises(WeightsError, match=r"does not fit UGPNet: 4 keys are missing.*whole model"):
        load_model(rewritten(saved, config=other.model_dump_json()))


# --- plugins that are missing or broken -----------------------------------------------------------


def test_a_missing_plugin_names_what_to_install(saved: Path) -> None:
    config = CONFIG.model_copy(update={"backbone": ComponentConfig(name="acme")})
    rewritten(saved, config=config.model_dump_json())
    with pytest.raises(PluginError, match=r"pip install ugpnet-backbones-acme"):
        load_model(saved)
    # The file knows better which distribution brought the backbone.
    rewritten(saved, plugins='{"acme-restoration": "1.0", "ugpnet-core": "0.1.0"}')
    with pytest.raises(PluginError, match=r"pip install acme-restoration$"):
        load_model(saved)
    assert read_card(saved).config == config


def with_backbone(
    monkeypatch: pytest.MonkeyPatch, installed_plugins: Callable[..., Registry], made: object
) -> None:
    """Let an installed distribution bring the backbone "acme", whose factory gives this."""

    def make() -> object:
        if isinstance(made, Exception):
            raise made
        return made

    entry = BackboneEntry(
        name="acme", description="", factory="acme:make", kind="direct", feature_channels=3
    )
    installed_plugins(Installed(entry, "acme-restoration", "1.0"))
    monkeypatch.setattr(factory, "resolve", lambda _: make)


def test_a_factory_that_fails_is_the_plugins_fault(
    monkeypatch: pytest.MonkeyPatch, installed_plugins: Callable[..., Registry]
) -> None:
    with_backbone(monkeypatch, installed_plugins, RuntimeError("no such layer"))
    with pytest.raises(PluginError, match=r"acme-restoration failed.*RuntimeError: no such layer"):
        ug.create_backbone("acme")
    with_backbone(monkeypatch, installed_plugins, ConfigError("choose another width"))
    with pytest.raises(ConfigError, match=r"^choose another width$"):
        ug.create_backbone("acme")
    with_backbone(monkeypatch, installed_plugins, torch.nn.Identity())
    with pytest.raises(PluginError, match="'acme' returned Identity, which lacks"):
        ug.create_backbone("acme")


# --- shipped models -------------------------------------------------------------------------------


@pytest.fixture
def ship(installed_plugins: Callable[..., Registry]) -> Callable[..., None]:
    """A function that installs a model by its name, file and content."""

    def install(name: str, file: str, content: bytes | None = None) -> None:
        digest = hashlib.sha256(content or b"").hexdigest()
        entry = ModelEntry(
            name=name, description="", file=file, sha256=digest, task="denoise", resolution=16
        )
        installed_plugins(Installed(entry, "acme-models", "1.0"))

    return install


def test_a_shipped_model_is_loaded_by_its_name(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ship: Callable[..., None]
) -> None:
    package = tmp_path / "acme_models"
    package.mkdir()
    (package / "__init__.py").touch()
    stored = package / "weights.safetensors"
    stored.write_bytes(saved.read_bytes())
    monkeypatch.syspath_prepend(str(tmp_path))
    ship("acme-1.5", "acme_models:weights.safetensors", stored.read_bytes())
    assert find_model_file("acme-1.5") == stored
    assert load_model("acme-1.5").config == CONFIG

    stored.write_bytes(stored.read_bytes()[:-1] + b"\1")
    for use in (load_model, read_card):
        with pytest.raises(WeightsError, match=r"'acme-1\.5' is damaged; install its package"):
            use("acme-1.5")
    stored.unlink()
    with pytest.raises(WeightsError, match=r"lacks its file weights\.safetensors; install"):
        load_model("acme-1.5")
    ship("acme-1.5", "no_such_package_at_all:weights.safetensors")
    with pytest.raises(PluginError, match=r"acme-models 1\.0 .*'no_such_package_at_all'"):
        load_model("acme-1.5")


def test_a_name_wins_over_a_file_and_a_path_over_a_guess(
    saved: Path, monkeypatch: pytest.MonkeyPatch, ship: Callable[..., None]
) -> None:
    monkeypatch.chdir(saved.parent)
    saved.rename("mine.safetensors")
    Path("acme").write_bytes(b"something else")
    assert find_model_file("mine.safetensors") == Path("mine.safetensors")
    assert find_model_file("acme") == Path("acme")
    ship("acme", "ugpnet_core:py.typed")
    assert find_model_file("acme").name == "py.typed"
    with pytest.raises(UnknownNameError, match=r"no model 'acmee'; did you mean acme\?"):
        find_model_file("acmee")


def test_tensors_are_float32_whatever_the_file_holds(saved: Path) -> None:
    tensors: dict[str, Tensor] = load_file(saved)
    with safe_open(saved, framework="pt") as file:
        metadata = file.metadata()
    doubled = {k: v.double() if v.is_floating_point() else v for k, v in tensors.items()}
    save_file(doubled, saved, metadata=metadata)
    assert {v.dtype for v in load_model(saved).parameters()} == {torch.float32}
