"""Uformer against the published numbers, against spandrel's implementation of the published code,
and against window attention written out slowly."""

from __future__ import annotations

import copy
import importlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import ugpnet_core as ug
from ugpnet_backbones.uformer.attention import WindowAttention, WindowGrid
from ugpnet_backbones.uformer.blocks import DropPath
from ugpnet_backbones.uformer.network import Uformer
from ugpnet_core.errors import ConfigError, WeightsError

State = dict[str, Tensor]
Golden = Callable[[str], tuple[State, State]]

PublishedUformer: Any = importlib.import_module("spandrel.architectures.Uformer").Uformer

SMALL: dict[str, Any] = {
    "img_size": 32,
    "embed_dim": 4,
    "depths": [1, 2, 2, 3, 2, 1, 3, 2, 2],
    "num_heads": [1, 2, 4, 1, 8, 16, 2, 4, 2],
    "win_size": 2,
}


def close(a: Tensor, b: Tensor, tolerance: float = 1e-4) -> bool:
    assert a.shape == b.shape
    return bool((a - b).abs().max() <= tolerance * b.abs().max())


def small(**options: Any) -> Uformer:
    """Away from the initial values, where attention is all but uniform."""
    torch.manual_seed(0)
    network = Uformer(**{**SMALL, **options}).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return network


# --- published ------------------------------------------------------------------------------------


@torch.no_grad()
def test_golden(golden: Golden) -> None:
    weights, tensors = golden("uformer_b")
    network = ug.create_backbone("uformer-b")
    assert isinstance(network, Uformer)
    assert network.state_dict().keys() == weights.keys()
    network.load_state_dict(weights)
    network.eval()
    features = network.forward_features(tensors["input"])
    assert close(features[:, :, ::8, ::8], tensors["features"])
    output = tensors["input"] + network.head(features)
    assert close(output, tensors["output"])
    # The input is most of the output; what the network adds to it must fit by itself.
    assert close(output - tensors["input"], tensors["output"] - tensors["input"])


@pytest.mark.parametrize(
    ("options", "side"),
    [
        ({}, 32),
        ({}, 64),  # larger than the training crops
        ({"img_size": 128}, 32),  # smaller: windows shift in the bottleneck too
        ({"modulator": False, "shift_flag": False}, 64),
        ({"win_size": 3, "img_size": 48}, 48),
        ({"win_size": 4, "img_size": 32}, 64),  # crops of two tokens shrink the lowest window
        ({"win_size": 8, "img_size": 16, "modulator": False}, 32),
        ({"token_mlp": "ffn", "mlp_ratio": 1.7}, 32),
        ({"qk_scale": 0.3, "in_chans": 3}, 32),
        ({"token_mlp": "mlp", "qkv_bias": False, "embed_dim": 2, "num_heads": [1] * 9}, 32),
    ],
)
@torch.no_grad()
def test_other_options_compute_what_the_published_code_does(
    options: dict[str, Any], side: int
) -> None:
    network = small(**options)
    published = PublishedUformer(**{"modulator": True, **SMALL, **options}).eval()
    own = network.state_dict()
    unfilled = published.load_state_dict(own, strict=False)
    assert not unfilled.unexpected_keys
    assert all(key.endswith("relative_position_index") for key in unfilled.missing_keys)
    x = torch.rand(2, 3, side, side)
    assert close(network(x) - x, published(x) - x, 1e-4)


def test_published_checkpoints_hold_indices_too(tmp_path: Path) -> None:
    options = {**SMALL, "modulator": True}
    state = PublishedUformer(**options).state_dict()
    assert any(key.endswith("relative_position_index") for key in state)
    torch.save(
        {"state_dict": {f"module.{key}": value for key, value in state.items()}}, tmp_path / "u.pth"
    )
    network = ug.create_backbone("uformer", weights=tmp_path / "u.pth", **options)
    assert isinstance(network, Uformer)
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    network.load_state_dict(state)
    with pytest.raises(WeightsError, match="modulator"):
        ug.create_backbone("uformer", weights=tmp_path / "u.pth", **{**options, "modulator": False})


# --- window attention, slow -----------------------------------------------------------------------


def slow_attention(attention: WindowAttention, x: Tensor, grid: WindowGrid) -> Tensor:
    """Token by token: each sees those that share its window of the plane, whose corners lie at
    multiples of the window plus the shift. No rolling, no filling, no masks."""
    side, heads = grid.window, attention.qkv.heads
    bias = attention.relative_position_bias_table
    q = attention.qkv.to_q(x).unflatten(-1, (heads, -1))
    kv = attention.qkv.to_kv(x).unflatten(-1, (2, heads, -1))
    places = [(i, j) for i in range(grid.height) for j in range(grid.width)]
    seen = torch.empty_like(q)
    for i, j in places:
        cell = ((i - grid.shift) // side, (j - grid.shift) // side)
        near = [p for p in places if tuple((a - grid.shift) // side for a in p) == cell]
        rows, columns = torch.tensor(near).unbind(1)
        k, v = kv[:, rows, columns].unbind(2)
        offsets = (i - rows + side - 1) * (2 * side - 1) + j - columns + side - 1
        logits = torch.einsum("nhd,nthd->nth", q[:, i, j], k) / q.shape[-1] ** 0.5 + bias[offsets]
        seen[:, i, j] = torch.einsum("nth,nthd->nhd", logits.softmax(1), v)
    out: Tensor = attention.proj(seen.flatten(-2))
    return out


@pytest.mark.parametrize("shift", [0, 1, 2])
@pytest.mark.parametrize("size", [(8, 8), (1, 1), (4, 9), (9, 4), (5, 7), (6, 3), (2, 11)])
@torch.no_grad()
def test_maps_of_any_size_follow_the_formula(size: tuple[int, int], shift: int) -> None:
    torch.manual_seed(0)
    attention = WindowAttention(6, 4, 2, True)
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter)
    grid = WindowGrid(*size, 4, shift)
    x = torch.randn(2, *size, 6)
    windows = grid.partition(x)
    assert torch.equal(grid.merge(windows), x)
    result = grid.merge(attention(windows, grid.bands(x)))
    assert close(result, slow_attention(attention, x, grid), 1e-5)


def test_masks_stay_small() -> None:
    x = torch.empty(0)
    for grid in (WindowGrid(800, 64, 8, 4), WindowGrid(801, 62, 8, 4)):
        bands = grid.bands(x)
        masks = [mask for _, mask in bands if mask is not None]
        assert sum(mask.numel() for mask in masks) <= 3 * 8 * 64 * 64
        rows = [row for band, _ in bands for row in range(101)[band]]
        assert rows == list(range(-(-grid.height // 8)))
    assert [mask for _, mask in WindowGrid(800, 64, 8, 0).bands(x)] == [None]


@torch.no_grad()
def test_shifted_windows_carry_over_borders() -> None:
    """One change reaches beyond its window, through the shifted blocks alone."""

    def reach(**options: Any) -> list[int]:
        # One stage with plain feed-forward layers: nothing else mixes neighbours.
        stage = small(token_mlp="mlp", **options).get_submodule("encoderlayer_1")
        x = torch.rand(1, 8, 8, 8)
        y = x.clone()
        y[0, 3, 3] += 1
        changed = (stage(x) != stage(y)).any(-1)[0]
        columns: list[int] = changed.any(0).nonzero().flatten().tolist()
        return columns

    assert reach(shift_flag=False) == [2, 3]
    assert reach() == [1, 2, 3, 4]


# --- sizes and batches ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(64, 64), (72, 88), (1, 1), (16, 7), (33, 130)])
@torch.no_grad()
def test_any_size(size: tuple[int, int]) -> None:
    options = {
        "img_size": 128,
        "win_size": 8,
        "embed_dim": 2,
        "depths": [2, 1, 1, 2, 2, 1, 2, 1, 2],
    }
    network = small(**options, num_heads=[1, 2, 4, 8, 16, 16, 8, 4, 2])
    x = torch.rand(2, 3, *size)
    y = network(x)
    assert y.shape == x.shape
    assert y.isfinite().all()
    assert close(y[1:], network(x[1:]), 1e-5)
    # Other sizes in between leave nothing behind.
    network(torch.rand(1, 3, 40, 24))
    assert torch.equal(network(x), y)


@torch.no_grad()
def test_a_small_image_is_not_padded_to_the_window() -> None:
    network = small(win_size=8, img_size=128)
    assert network.size_multiple == 16
    seen: list[torch.Size] = []
    network.input_proj.register_forward_hook(lambda _, __, out: seen.append(out.shape[1:3]))
    network(torch.rand(1, 3, 20, 64))
    assert seen == [(32, 64)]


@pytest.mark.parametrize("token_mlp", ["leff", "mlp"])
def test_gradients_reach_every_parameter(token_mlp: str) -> None:
    network = small(win_size=4, img_size=64, token_mlp=token_mlp).train()
    network(torch.rand(2, 3, 48, 64)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@torch.no_grad()
def test_copies_and_pickles_compute_the_same() -> None:
    network = small()
    x = torch.rand(1, 3, 24, 40)
    y = network(x)
    assert torch.equal(copy.deepcopy(network)(x), y)
    assert torch.equal(pickle.loads(pickle.dumps(network))(x), y)


def test_after_inference_mode_training_goes_on() -> None:
    network = small()
    with torch.inference_mode():
        network(torch.rand(1, 3, 24, 40))
    network(torch.rand(1, 3, 24, 40)).sum().backward()


# --- stochastic depth -----------------------------------------------------------------------------


def test_drop_path_rates_are_the_published_ones() -> None:
    options = {**SMALL, "depths": [1, 2, 2, 1, 2, 1, 2, 2, 1], "drop_path_rate": 0.25}
    own = [m.rate for m in Uformer(**options).modules() if isinstance(m, DropPath)]
    published = [
        getattr(m.drop_path, "drop_prob", 0.0)
        for m in PublishedUformer(**options).modules()
        if type(m).__name__ == "LeWinTransformerBlock"
    ]
    assert len(own) == len(published) == sum(options["depths"])
    assert sorted(own) == pytest.approx(sorted(published))
    assert max(own) == 0.25


@torch.no_grad()
def test_drop_path_acts_in_training_only_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    drop = DropPath(0.25)
    dropped = drop(torch.ones(4000, 2, 1))
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert dropped.mean().item() == pytest.approx(1, abs=0.05)
    assert torch.equal(dropped[:, 0], dropped[:, 1])
    assert torch.equal(drop.eval()(torch.ones(9)), torch.ones(9))
    network, x = small(drop_path_rate=0.9), torch.rand(1, 3, 16, 16)
    assert torch.equal(network(x), network(x))
    assert torch.equal(network(x), small()(x))
    assert not torch.equal(network.train()(x), network(x))


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"img_size": 8},
        {"img_size": 32},  # modulators of 8x8 tokens for windows of 4x4
        {"dd_in": 4},
        {"embed_dim": 0},
        {"embed_dim": 12, "num_heads": [5] * 9},
        {"depths": [2] * 8},
        {"depths": [2, 2, 2, 2, -1, 2, 2, 2, 2]},
        {"num_heads": [1] * 10},
        {"num_heads": [0] * 9},
        {"win_size": 0},
        {"mlp_ratio": 0},
        {"mlp_ratio": 0.01},
        {"mlp_ratio": float("nan")},
        {"qk_scale": 0.0},
        {"in_chans": 1},
        {"drop_path_rate": 1},
        {"token_projection": "conv"},
        {"token_mlp": "fastleff"},
        {"winsize": 8},
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        ug.create_backbone("uformer", **options)


# The paper counts 5.23 M and 20.63 M: its published code switches the modulators on in these, too.
@pytest.mark.parametrize(("name", "millions"), [("t", 5.29), ("s", 20.75), ("b", 50.88)])
def test_presets_have_as_many_parameters_as_the_published_networks(
    name: str, millions: float
) -> None:
    with torch.device("meta"):
        network = ug.create_backbone(f"uformer-{name}")
    assert isinstance(network, Uformer)
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 2) == millions
