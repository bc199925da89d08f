"""Entries, lookup and options, without installing anything (see tests/packaging for that)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, Field

import ugpnet_core as ug
from ugpnet_core import plugins
from ugpnet_core.errors import ConfigError, PluginError, UnknownNameError
from ugpnet_core.plugins import BackboneEntry, Installed, ModelEntry, Options, Problem, Registry
from ugpnet_core.plugins.wellformed import fault_of


class SomeOptions(Options):
    width: int = Field(default=8, gt=0)
    blocks: list[int] = Field(default=[1, 2])


class IgnoringOptions(BaseModel):
    width: int = 8


class OpenOptions(BaseModel, extra="allow"):
    width: int = 8


def _entry(**fields: Any) -> BackboneEntry:
    given = {
        "name": "unet",
        "description": "A test.",
        "factory": "package.module:UNet",
        "kind": "direct",
        "feature_channels": 8,
        "options": SomeOptions,
    }
    return BackboneEntry(**{**given, **fields})


@pytest.fixture
def installed(installed_plugins: Callable[..., Registry]) -> None:
    """A registry with two backbones, a broken plugin and a contested name."""
    source = "ugpnet-backbones-test"
    installed_plugins(
        *(Installed(_entry(name=name), source, "1.0") for name in ("unet", "hinet")),
        base=Registry(),
        problems=(
            Problem("broken", "acme-broken", "1.0", "import failed: OSError: gone"),
            Problem("other", "acme-one", "1.0", "claimed twice", "contested", "backbone"),
        ),
    )


def test_listing_imports_neither_torch_nor_numpy() -> None:
    program = """
import sys, ugpnet_core as ug
def heavy():
    return sorted({"torch", "numpy", "cv2", "timm"} & set(sys.modules))
assert not heavy(), heavy()
for names in (ug.list_backbones, ug.list_priors, ug.list_models, ug.list_tasks):
    names()
    assert not heavy(), (names, heavy())
dir(ug), ug.__version__, ug.UGPNetError
assert not heavy(), heavy()
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("name", ug.__all__)
def test_every_public_name_loads(name: str) -> None:
    assert getattr(ug, name) is not None
    assert name in dir(ug)


def test_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="list_backbone'"):
        _ = ug.list_backbone


def test_shipped_plugins_are_usable_and_lists_give_entries() -> None:
    found = plugins.registry()
    assert not [one for one in found.problems if one.distribution.startswith("ugpnet-")]
    assert "nafnet" in [entry.name for entry in ug.list_backbones()]
    assert "stylegan2" in [entry.name for entry in ug.list_priors()]
    assert {"denoise", "deblur", "sr8"} <= {entry.name for entry in ug.list_tasks()}


def test_entries_of_shipped_plugins_resolve() -> None:
    found = plugins.registry()
    for group in (found.backbones, found.priors, found.tasks):
        for one in group.values():
            assert callable(plugins.resolve(one.entry.factory))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, None),
        ({"parameters": 12}, None),
        ({"name": "a/b"}, "name='a/b'"),
        ({"name": ""}, "name=''"),
        ({"name": 3}, "a string"),
        ({"description": None}, "a string"),
        ({"kind": "both"}, "'direct' or 'residual'"),
        ({"feature_channels": True}, "a whole number"),
        ({"feature_channels": 0}, "positive"),
        ({"parameters": 1.5}, "a whole number or None"),
        ({"factory": "package.module"}, "package.module:name"),
        ({"options": SomeOptions()}, "a subclass of pydantic's BaseModel"),
        ({"loss": "l2"}, "'charbonnier'"),
    ],
)
def test_fields_of_entries_are_checked(fields: dict[str, Any], said: str | None) -> None:
    fault = fault_of(_entry(**fields))
    assert fault is None if said is None else said in str(fault)


@pytest.mark.usefixtures("installed")
def test_find_gives_the_entry_and_its_distribution() -> None:
    found = plugins.find(BackboneEntry, "unet")
    assert (found.entry.name, found.distribution, found.version) == (
        "unet",
        "ugpnet-backbones-test",
        "1.0",
    )


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("unte", "did you mean unet"),
        ("restormer", "installed are: unet, hinet"),
        ("restormer", "pip install ugpnet-backbones-restormer"),
        ("Some One; ls", "pip install ugpnet-backbones-some-one-ls"),
        ("restormer", "acme-broken"),
    ],
)
def test_unknown_name_says_what_to_do(name: str, said: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        plugins.find(BackboneEntry, name)
    assert said in str(caught.value)


@pytest.mark.usefixtures("installed")
def test_unknown_model_names_the_distribution_of_its_prior() -> None:
    with pytest.raises(UnknownNameError, match="pip install ugpnet-priors-faces"):
        plugins.find(ModelEntry, "faces-deblur")


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(("name", "said"), [("broken", "OSError: gone"), ("contested", "acme-one")])
def test_unusable_name_says_why(name: str, said: str) -> None:
    with pytest.raises(PluginError, match=said) as caught:
        plugins.find(BackboneEntry, name)
    assert not isinstance(caught.value, UnknownNameError)


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("json.loads", "package.module:callable"),
        ("no_such_package_at_all:x", "no_such_package_at_all"),
        ("json:no_such_name", "no_such_name"),
        ("json:__doc__", "not callable"),
    ],
)
def test_resolve_explains_what_is_wrong(reference: str, said: str) -> None:
    with pytest.raises(PluginError, match=said):
        plugins.resolve(reference)


def test_options_are_completed_with_their_defaults() -> None:
    assert plugins.validate_options(_entry(), {"width": 3}) == {"width": 3, "blocks": [1, 2]}


@pytest.mark.parametrize("options", [SomeOptions, IgnoringOptions])
def test_misspelt_option_is_an_error_whatever_the_model_allows(options: type[BaseModel]) -> None:
    with pytest.raises(ConfigError, match=r"'widht'.*did you mean 'width'"):
        plugins.validate_options(_entry(options=options), {"widht": 3})


def test_option_that_a_model_asks_to_let_through_arrives() -> None:
    options = plugins.validate_options(_entry(options=OpenOptions), {"depth": 3})
    assert options == {"width": 8, "depth": 3}


@pytest.mark.parametrize("options", [{"width": -1}, {"width": "wide"}, {"blocks": [1, "x"]}])
def test_impossible_option_names_option_and_backbone(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ConfigError, match=rf"Option '{name}.*'unet'.*width, blocks"):
        plugins.validate_options(_entry(), options)
