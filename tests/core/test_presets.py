"""Presets: published configurations of a backbone, found, made and saved by names of their own."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pydantic import BaseModel

import ugpnet_core as ug
from ugpnet_backbones.nafnet import NAFNetOptions
from ugpnet_core import plugins
from ugpnet_core.config import ComponentConfig, ModelConfig
from ugpnet_core.errors import ConfigError, PluginError, UnknownNameError
from ugpnet_core.plugins import BackboneEntry, Preset, Registry, discover, hookimpl
from ugpnet_core.plugins.wellformed import fault_of

SMALL: Mapping[str, Any] = {"enc_blk_nums": [1], "middle_blk_num": 0, "dec_blk_nums": [1]}


class OpenOptions(BaseModel, extra="allow"):
    width: int = 8


def _preset(**fields: Any) -> Preset:
    given = {
        "name": "tiny-photos",
        "description": "for photographs",
        "options": {"width": 6, **SMALL},
        "parameters": 100,
        "feature_channels": 6,
    }
    return Preset(**{**given, **fields})


def _entry(name: str = "tiny", *presets: Preset, **fields: Any) -> BackboneEntry:
    given = {
        "description": "A test.",
        "factory": "ugpnet_backbones.nafnet.network:NAFNet",
        "kind": "residual",
        "feature_channels": 32,
        "options": NAFNetOptions,
        "size_multiple": 4,
        "parameters": 17,
    }
    return BackboneEntry(name=name, presets=presets, **{**given, **fields})


def _discover(**by_distribution: list[BackboneEntry]) -> Registry:
    """NAFNet, StyleGAN2, the tasks, and plugins that return these entries, each of a
    distribution."""

    def point(distribution: str, entries: list[BackboneEntry]) -> Any:
        @hookimpl
        def ugpnet_backbones() -> list[BackboneEntry]:
            return entries

        return SimpleNamespace(
            name=distribution,
            dist=SimpleNamespace(name=distribution, version="1.0"),
            load=lambda: SimpleNamespace(ugpnet_backbones=ugpnet_backbones),
        )

    ours = [
        each
        for each in importlib.metadata.entry_points(group="ugpnet")
        if each.name in ("nafnet", "stylegan2", "core-tasks")
    ]
    return discover([*ours, *(point(*one) for one in by_distribution.items())])


@pytest.fixture
def install(installed_plugins: Callable[..., Registry]) -> Callable[..., Registry]:
    """A function that makes entries findable, by distribution."""

    def register(**by_distribution: list[BackboneEntry]) -> Registry:
        return installed_plugins(base=_discover(**by_distribution))

    return register


# --- found ----------------------------------------------------------------------------------------


def test_a_preset_is_found_as_its_backbone_with_other_defaults(
    install: Callable[..., Registry],
) -> None:
    install(acme=[_entry("tiny", _preset())])
    found = plugins.find(BackboneEntry, "tiny-photos")
    assert (found.distribution, found.version) == ("acme", "1.0")
    entry = found.entry
    assert (entry.name, entry.preset_of, entry.presets) == ("tiny-photos", "tiny", ())
    assert (entry.description, entry.feature_channels, entry.parameters) == (
        "for photographs",
        6,
        100,
    )
    # What a preset leaves open is as the backbone has it.
    assert (entry.kind, entry.size_multiple, entry.scale) == ("residual", 4, 1)


def test_fields_of_a_preset_replace_those_of_the_backbone() -> None:
    preset = _preset(kind="direct", scale=4, size_multiple=8, fixed_size=64)
    entry = _entry("tiny", preset).with_preset(preset)
    assert (entry.kind, entry.scale, entry.size_multiple, entry.fixed_size) == ("direct", 4, 8, 64)


def test_lists_give_backbones_with_their_presets_inside(install: Callable[..., Registry]) -> None:
    install(acme=[_entry("tiny", _preset())])
    listed = {entry.name: entry for entry in ug.list_backbones()}
    assert "tiny-photos" not in listed
    assert [preset.name for preset in listed["tiny"].presets] == ["tiny-photos"]
    assert {preset.name for preset in listed["nafnet"].presets} >= {
        "nafnet-gopro-width32",
        "nafnet-gopro-width64",
        "nafnet-sidd-width32",
        "nafnet-sidd-width64",
    }


@pytest.mark.parametrize(
    ("name", "said", "unsaid"),
    [
        ("tiny-fotos", "did you mean tiny-photos", "tiny-fotos pip"),
        ("nafnet-sidd-width23", "did you mean nafnet-sidd-width32", "pip install"),
        ("restormer-deblur", "pip install ugpnet-backbones-restormer", "did you mean"),
        ("restormer-deblur", "nafnet", "tiny-photos"),
    ],
)
def test_unknown_preset_says_what_to_do(
    name: str, said: str, unsaid: str, install: Callable[..., Registry]
) -> None:
    install(acme=[_entry("tiny", _preset())])
    with pytest.raises(UnknownNameError) as caught:
        plugins.find(BackboneEntry, name)
    assert said in str(caught.value)
    assert unsaid not in str(caught.value)


def test_missing_hinet_preset_names_its_distribution(
    installed_plugins: Callable[..., Registry],
) -> None:
    installed_plugins(base=Registry())
    with pytest.raises(UnknownNameError, match=r"pip install ugpnet-backbones-hinet$"):
        plugins.find(BackboneEntry, "hinet-gopro")


# --- names claimed twice --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rival", [_entry("tiny-photos"), _entry("other", _preset(name="tiny-photos"))]
)
def test_a_preset_name_claimed_twice_is_nobodys(
    rival: BackboneEntry, install: Callable[..., Registry]
) -> None:
    found = install(
        acme=[_entry("tiny", _preset(), _preset(name="tiny-two"))], brand=[rival, _entry("free")]
    )
    assert "tiny-photos" not in found.backbones
    assert "tiny-photos" not in found.presets
    assert {"tiny", "free"} <= set(found.backbones)
    assert "tiny-two" in found.presets
    assert [preset.name for preset in found.backbones["tiny"].entry.presets] == ["tiny-two"]
    problems = [problem for problem in found.problems if problem.entry == "tiny-photos"]
    assert [problem.distribution for problem in problems] == ["acme", "brand"]
    for problem in problems:
        assert "acme and brand" in problem.reason
    with pytest.raises(PluginError, match="acme and brand"):
        plugins.find(BackboneEntry, "tiny-photos")


@pytest.mark.parametrize("presets", [[_preset(), _preset()], [_preset(name="tiny")]])
def test_one_distribution_that_claims_a_name_twice_is_told(presets: list[Preset]) -> None:
    found = _discover(acme=[_entry("tiny", *presets)])
    (problem,) = (problem for problem in found.problems if problem.entry == presets[0].name)
    assert "claimed more than once, by acme" in problem.reason


def test_presets_vanish_with_their_contested_backbone() -> None:
    found = _discover(acme=[_entry("tiny", _preset())], brand=[_entry("tiny")])
    assert "tiny" not in found.backbones
    assert "tiny-photos" not in found.presets
    assert "nafnet-sidd-width32" in found.presets


# --- malformed ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, None),
        ({"name": "a b"}, "name='a b'"),
        ({"description": 3}, "description=3"),
        ({"options": [("width", 6)]}, "a mapping from names"),
        ({"options": {1: 2}}, "a mapping from names"),
        ({"parameters": 0}, "positive"),
        ({"parameters": None}, "a whole number"),
        ({"kind": "sideways"}, "kind='sideways'"),
        ({"feature_channels": -3}, "positive"),
        ({"scale": 1.5}, "a whole number or None"),
        ({"options": {"widht": 6}}, "the option 'widht' (of 'tiny-photos')"),
    ],
)
def test_fields_of_presets_are_checked(fields: dict[str, Any], said: str | None) -> None:
    entry = _entry("tiny", _preset(name="tiny-good"), _preset(**fields))
    fault = fault_of(entry)
    if said is None:
        assert fault is None
        return
    assert str(fault).startswith("a preset with ")
    assert said in str(fault)
    found = _discover(acme=[entry])
    (problem,) = (problem for problem in found.problems if problem.distribution == "acme")
    assert said in problem.reason
    assert "tiny" not in found.backbones


@pytest.mark.parametrize("presets", [[_preset()], ({"name": "tiny-photos"},), None, ("tiny",)])
def test_what_is_no_tuple_of_presets_is_told(presets: Any) -> None:
    assert "presets=" in str(fault_of(dataclasses.replace(_entry(), presets=presets)))


def test_open_options_let_any_name_of_a_preset_through() -> None:
    entry = _entry("tiny", _preset(options={"depth": 3}), options=OpenOptions)
    assert fault_of(entry) is None
    options = plugins.validate_options(entry.with_preset(entry.presets[0]), {})
    assert options == {"width": 8, "depth": 3}


# --- used -----------------------------------------------------------------------------------------


def test_options_of_a_preset_are_defaults_that_can_be_overridden(
    install: Callable[..., Registry],
) -> None:
    install(acme=[_entry("tiny", _preset())])
    made = ug.create_backbone("tiny-photos")
    assert made.feature_channels == 6
    assert len(made.decoders) == 1  # type: ignore[attr-defined]
    assert ug.create_backbone("tiny-photos", width=4).feature_channels == 4
    assert ug.create_backbone("tiny", width=5, **SMALL).feature_channels == 5


def test_an_impossible_value_in_a_preset_is_an_error_when_used(
    install: Callable[..., Registry],
) -> None:
    install(acme=[_entry("tiny", _preset(options={"width": -6}))])
    with pytest.raises(ConfigError, match=r"Option 'width' of backbone 'tiny-photos'"):
        ug.create_backbone("tiny-photos")
    with pytest.raises(ConfigError, match=r"'widht' of backbone 'tiny-photos'; did you mean"):
        ug.create_backbone("tiny-photos", widht=3)


@pytest.mark.parametrize("options", [{}, {"width": 4}])
@torch.no_grad()
def test_a_model_with_a_preset_is_built_saved_and_loaded(
    options: dict[str, Any], install: Callable[..., Registry], tmp_path: Path
) -> None:
    install(acme=[_entry("tiny", _preset())])
    prior = {"resolution": 16, "style_dim": 8, "num_mlp": 1, "narrow": 1 / 64, "base_size": 8}
    config = ModelConfig(
        backbone=ComponentConfig(name="tiny-photos", options=options),
        prior=ComponentConfig(name="stylegan2", options=prior),
        merging_channels=4,
        fusion_blocks=1,
    )
    torch.manual_seed(0)
    model = ug.build_model(config).eval()
    assert model.restoration.backbone.feature_channels == options.get("width", 6)
    ug.save_model(model, tmp_path / "model.safetensors")
    loaded = ug.load_model(tmp_path / "model.safetensors")
    assert loaded.config == config
    x = torch.rand(1, 3, 16, 16)
    assert torch.equal(loaded(x).image, model(x).image)
    install()
    with pytest.raises(PluginError, match=r"not installed; pip install acme$"):
        ug.load_model(tmp_path / "model.safetensors")
