"""What is asked of each backbone in ``ugpnet_backbones/`` alike: that its entry and its presets
tell the truth, that listing it is cheap, and that it reads published checkpoints.

A new backbone needs small options here, and a signature in ``ugpnet_core.checkpoints.state_dict``.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import ugpnet_core as ug
from ugpnet_core.checkpoints.recognition import recognise
from ugpnet_core.errors import ConfigError, WeightsError
from ugpnet_core.plugins import BackboneEntry, registry, resolve
from ugpnet_core.protocols import Backbone

State = dict[str, Tensor]

FOLDERS = sorted(
    path.parent
    for path in (Path(__file__).parents[2] / "ugpnet_backbones").glob("*/pyproject.toml")
)
ENTRIES = {
    name: installed.entry
    for name, installed in {**registry().backbones, **registry().presets}.items()
    if installed.distribution.startswith("ugpnet-backbones-")
}
# Without an input of the user's (a checkpoint file) some cannot be made.
BUILDABLE = {name: entry for name, entry in ENTRIES.items() if entry.parameters is not None}
BACKBONES = sorted(name for name, entry in BUILDABLE.items() if entry.preset_of is None)
SMALL: dict[str, dict[str, Any]] = {
    "hinet": {"wf": 2, "depth": 2},
    "nafnet": {"width": 2, "enc_blk_nums": [1], "dec_blk_nums": [1]},
    "rrdbnet": {"num_feat": 2, "num_block": 1, "num_grow_ch": 2},
    "timm_unet": {"encoder": "test_resnet"},
    "uformer": {
        "embed_dim": 2,
        "depths": [1] * 9,
        "num_heads": [1] * 9,
        "win_size": 2,
        "img_size": 32,
    },
    "unet": {"width": 2, "depth": 1},
}


def small(name: str, **given: Any) -> Any:
    """A small network of the backbone; of the default size where none is stated."""
    return ug.create_backbone(name, **SMALL.get(name, {}), **given)


@functools.cache
def weightless(name: str) -> Any:
    """A backbone of true size, or a preset, on the meta device."""
    with torch.device("meta"):
        return ug.create_backbone(name)


def state_of(name: str) -> State:
    """A state dict for the small network, none of whose numbers is one of a fresh network."""
    torch.manual_seed(0)
    state: State = small(name).state_dict()
    return {
        key: value + 0.1 + torch.rand_like(value) if value.is_floating_point() else value
        for key, value in state.items()
    }


# --- entries and presets --------------------------------------------------------------------------


def test_every_folder_is_installed_and_usable() -> None:
    assert {folder.name for folder in FOLDERS} <= ENTRIES.keys()
    assert not [one for one in registry().problems if one.distribution.startswith("ugpnet-")]


def test_only_what_asks_for_an_input_declares_no_parameters() -> None:
    for name in ENTRIES.keys() - BUILDABLE.keys():
        with pytest.raises(ConfigError):
            ug.create_backbone(name)


@pytest.mark.parametrize("name", sorted(BUILDABLE))
def test_what_is_declared_is_true(name: str) -> None:
    entry = BUILDABLE[name]
    network = weightless(name)
    assert sum(p.numel() for p in network.parameters()) == entry.parameters
    for declared in ("kind", "feature_channels", "scale", "size_multiple"):
        assert getattr(network, declared) == getattr(entry, declared), declared
    assert getattr(network, "fixed_size", None) == entry.fixed_size


@pytest.mark.parametrize("name", sorted(ENTRIES))
def test_options_and_sources_are_stated(name: str) -> None:
    entry: BackboneEntry = ENTRIES[name]
    assert all(field.description for field in entry.options.model_fields.values())
    assert entry.description
    assert entry.paper
    assert entry.licence
    source = sys.modules[resolve(entry.factory).__module__].__doc__ or ""
    assert "https://" in source


@pytest.mark.parametrize("name", BACKBONES)
def test_the_defaults_of_options_and_factory_agree(name: str) -> None:
    parameters = inspect.signature(resolve(ENTRIES[name].factory)).parameters
    for option, field in ENTRIES[name].options.model_fields.items():
        default = parameters[option].default
        if default is not inspect.Parameter.empty:
            assert field.default == (list(default) if isinstance(default, tuple) else default)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_distribution_is_complete(folder: Path) -> None:
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert f"pip install ugpnet-backbones-{folder.name.replace('_', '-')}" in readme
    assert len(readme.splitlines()) <= 25
    assert "Apache License" in (folder / "LICENSE").read_text(encoding="utf-8")
    assert (folder / "py.typed").is_file()


def test_listing_imports_nothing_heavy() -> None:
    code = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(f"ugpnet_backbones.{name}").ugpnet_backbones()
    heavy = {"torch", "numpy", "timm", "spandrel"} & sys.modules.keys()
    assert not heavy, f"{name} imports {heavy}"
"""
    names = [folder.name for folder in FOLDERS]
    run = subprocess.run(
        [sys.executable, "-c", code, *names], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


# --- networks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BACKBONES)
@torch.no_grad()
def test_features_and_head_make_the_image(name: str) -> None:
    network = small(name).eval()
    assert isinstance(network, Backbone)
    assert isinstance(network, nn.Module)
    # Some pad to more than they ask for, which the head would see at the border.
    side = math.lcm(network.size_multiple, 16)
    height, width = side, 2 * side
    x = torch.rand(2, 3, height, width)
    f = network.forward_features(x)
    scale = network.scale
    assert f.shape == (2, network.feature_channels, height * scale, width * scale)
    image = network.head(f) + (x if network.kind == "residual" else 0)
    torch.testing.assert_close(network(x), image)


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("size", [(1, 1), (2, 5), (33, 19)])
@torch.no_grad()
def test_any_size(name: str, size: tuple[int, int]) -> None:
    network = small(name).eval()
    x = torch.rand(2, 3, *size)
    y = network(x)
    assert y.shape == (2, 3, size[0] * network.scale, size[1] * network.scale)
    assert y.isfinite().all()
    # In float64, where another convolution algorithm for another batch makes no difference.
    network, x = network.double(), x.double()
    torch.testing.assert_close(network(x[1:]), network(x)[1:], rtol=1e-9, atol=1e-12)


# --- checkpoints ----------------------------------------------------------------------------------


def _other(state: State) -> State:
    return {key: value + 1 for key, value in state.items()}


def _prefixed(state: State) -> State:
    return {f"module.{key}": value for key, value in state.items()}


LAYOUTS: dict[str, Callable[[State], dict[str, Any]]] = {
    "plain": lambda state: dict(state),
    "params": lambda state: {"params": state},
    "params_ema": lambda state: {"params": _other(state), "params_ema": state},
    "state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "module": _prefixed,
    "state_dict-module": lambda state: {"state_dict": _prefixed(state), "epoch": 3},
}


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_published_layouts_are_read(name: str, layout: str, tmp_path: Path) -> None:
    state = state_of(name)
    content = LAYOUTS[layout](state)
    torch.save(content, tmp_path / "weights.pth")
    paths = [tmp_path / "weights.pth"]
    if layout in ("plain", "module"):
        save_file(content, tmp_path / "weights.safetensors")
        paths.append(tmp_path / "weights.safetensors")
    for path in paths:
        loaded = small(name, weights=path).state_dict()
        assert loaded.keys() == state.keys()
        assert all(torch.equal(loaded[key], state[key]) for key in state)


@pytest.mark.parametrize(("name", "other"), [*itertools.permutations(BACKBONES, 2)])
def test_the_checkpoint_of_another_backbone_is_recognised(
    name: str, other: str, tmp_path: Path
) -> None:
    torch.save({"params": _prefixed(state_of(other))}, tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match=rf"looks like .*\(backbone '{other}'\)"):
        small(name, weights=tmp_path / "weights.pth")


@pytest.mark.parametrize("name", sorted(BUILDABLE))
def test_published_checkpoints_are_recognised(name: str) -> None:
    network = weightless(name)
    assert f"(backbone '{BUILDABLE[name].preset_of or name}')" in recognise(network.state_dict())
