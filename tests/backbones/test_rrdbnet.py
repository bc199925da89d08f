"""RRDBNet against the published numbers, against spandrel, and against its formulas."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from spandrel import ModelLoader
from torch import Tensor, nn

import ugpnet_core as ug
from ugpnet_backbones.rrdbnet.network import RRDBNet
from ugpnet_core.errors import ConfigError, WeightsError
from ugpnet_core.networks.restoration import restoration_module

State = dict[str, Tensor]


def close(a: Tensor, b: Tensor, tolerance: float = 1e-4) -> bool:
    assert a.shape == b.shape
    return bool((a - b).abs().max() <= tolerance * b.abs().max())


def tiny(**options: Any) -> RRDBNet:
    """Away from the initial values, which are so small that the blocks hardly count."""
    torch.manual_seed(0)
    network = RRDBNet(**{"num_feat": 4, "num_block": 2, "num_grow_ch": 3, **options}).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return network


def spandrels(state: State) -> nn.Module:
    """What spandrel recognises in a checkpoint."""
    descriptor = ModelLoader().load_from_state_dict(dict(state))
    assert descriptor.architecture.id == "ESRGAN"
    model: nn.Module = descriptor.model
    return model.eval()


# --- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "scale", "parameters"), [("rrdbnet_x4", 4, 16_697_987), ("rrdbnet_x8", 8, 16_734_915)]
)
@torch.no_grad()
def test_published_numbers(
    golden: Callable[[str], tuple[State, State]], name: str, scale: int, parameters: int
) -> None:
    weights, expected = golden(name)
    network: Any = ug.create_backbone("rrdbnet", scale=scale)
    network.load_state_dict(weights, strict=True)
    assert sum(p.numel() for p in network.parameters()) == parameters
    x = expected["input"]
    features = network.forward_features(x)
    assert features.shape == (1, 64, x.shape[2] * scale, x.shape[3] * scale)
    assert close(features[..., ::8, ::8], expected["features"])
    assert close(network.head(features), expected["output"])


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
@pytest.mark.parametrize(("num_feat", "num_block"), [(4, 1), (7, 3)])
@torch.no_grad()
def test_spandrel_computes_the_same(scale: int, num_feat: int, num_block: int) -> None:
    network = tiny(scale=scale, num_feat=num_feat, num_block=num_block, num_grow_ch=32)
    other = spandrels(network.state_dict())
    for size in ((8, 12), (7, 9), (5, 4)):
        x = torch.rand(2, 3, *size)
        assert close(network(x), other(x), 1e-5)


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
@pytest.mark.parametrize("growth", [1, 5])
@torch.no_grad()
def test_other_growths_follow_the_formulas(scale: int, growth: int) -> None:
    network = tiny(scale=scale, num_grow_ch=growth)
    sd = network.state_dict()
    x = torch.rand(1, 3, 8, 4)

    def conv(x: Tensor, name: str) -> Tensor:
        return F.conv2d(x, sd[f"{name}.weight"], sd[f"{name}.bias"], padding=1)

    def relu(x: Tensor) -> Tensor:
        return torch.where(x > 0, x, 0.2 * x)

    # Channel 16 * c + 4 * i + j of the folded image is row i, column j of channel c in each block.
    fold = {1: 4, 2: 2, 4: 1, 8: 1}[scale]
    folded = [x[:, c, i::fold, j::fold] for c in range(3) for i in range(fold) for j in range(fold)]
    first = f = conv(torch.stack(folded, 1), "conv_first")
    for block in range(2):
        start = f
        for dense in ("rdb1", "rdb2", "rdb3"):
            maps = [f]
            for index in range(1, 5):
                y = conv(torch.cat(maps, 1), f"body.{block}.{dense}.conv{index}")
                maps.append(relu(y))
            f = f + 0.2 * conv(torch.cat(maps, 1), f"body.{block}.{dense}.conv5")
        f = start + 0.2 * f
    f = first + conv(f, "conv_body")
    for index in range(1, 4 if scale == 8 else 3):
        f = relu(conv(f.repeat_interleave(2, 2).repeat_interleave(2, 3), f"conv_up{index}"))
    expected = conv(relu(conv(f, "conv_hr")), "conv_last")
    assert expected.shape[2:] == (8 * scale, 4 * scale)
    assert close(network(x), expected, 1e-5)


@pytest.mark.parametrize(("scale", "multiple"), [(1, 4), (2, 2), (4, 1), (8, 1)])
@torch.no_grad()
def test_sizes(scale: int, multiple: int) -> None:
    network = tiny(scale=scale)
    assert (network.scale, network.size_multiple, network.kind) == (scale, multiple, "direct")
    for height, width in ((1, 1), (3, 5), (6, 9)):
        x = torch.rand(2, 3, height, width)
        assert network(x).shape == (2, 3, height * scale, width * scale)
        output = restoration_module(network)(x)
        assert close(output.image, network(x), 1e-6)
        assert output.features.shape == (2, 4, height * scale, width * scale)


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_gradients_reach_every_parameter(scale: int) -> None:
    network = tiny(scale=scale).train()
    network(torch.rand(2, 3, 8, 8)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


def test_training_starts_near_the_identity_of_each_block() -> None:
    torch.manual_seed(0)
    network = RRDBNet(num_feat=32, num_block=1)
    for name, parameter in network.body.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any()
        else:
            expected = 0.1 * (2 / (parameter.shape[1] * 9)) ** 0.5
            assert parameter.std().item() == pytest.approx(expected, rel=0.05)


# --- the plugin -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"scale": 3},
        {"scale": 16},
        {"num_in_ch": 1},
        {"num_out_ch": 4},
        {"num_feat": 0},
        {"num_block": 0},
        {"num_grow_ch": 0},
        {"nf": 64},
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        ug.create_backbone("rrdbnet", **options)


SMALL: dict[str, Any] = {"num_feat": 4, "num_block": 2, "num_grow_ch": 32}


def middle_layout(state: State) -> State:
    """The keys of BSRGAN and RealSR."""
    names = {
        "conv_body": "trunk_conv",
        "conv_hr": "HRconv",
        "body": "RRDB_trunk",
        "conv_up": "upconv",
    }

    def renamed(key: str) -> str:
        for new, old in names.items():
            if key.startswith(new):
                return re.sub(r"rdb(\d)", r"RDB\1", key.replace(new, old, 1))
        return key

    return {renamed(key): value for key, value in state.items()}


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_older_layouts_are_read(scale: int, tmp_path: Path) -> None:
    state = tiny(scale=scale, **SMALL).state_dict()
    # spandrel keeps networks in the layout of ESRGAN.
    oldest = spandrels(state).state_dict()
    assert "model.1.sub.0.RDB1.conv1.0.weight" in oldest
    for older in (oldest, middle_layout(state)):
        assert older.keys() != state.keys()
        torch.save(older, tmp_path / "weights.pth")
        options = {**SMALL, "scale": scale}
        network: Any = ug.create_backbone("rrdbnet", weights=tmp_path / "weights.pth", **options)
        loaded = network.state_dict()
        assert all(torch.equal(loaded[key], state[key]) for key in state)


@pytest.mark.parametrize(
    ("scale", "other", "said"),
    [
        (4, 8, "0 keys are missing and 2 unknown .*conv_up3"),
        (8, 4, "2 keys are missing and 0 unknown .*conv_up3"),
        (4, 2, r"'conv_first.weight' is \(4, 12, 3, 3\) there and \(4, 3, 3, 3\) here"),
        (1, 4, r"'conv_first.weight' is \(4, 3, 3, 3\) there and \(4, 48, 3, 3\) here"),
    ],
)
@pytest.mark.parametrize("oldest", [False, True])
def test_a_checkpoint_of_another_scale_is_refused(
    scale: int, other: int, said: str, oldest: bool, tmp_path: Path
) -> None:
    state = tiny(scale=other, **SMALL).state_dict()
    if oldest:
        state = spandrels(state).state_dict()
    torch.save({"params_ema": state}, tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match=said + ".*looks like RRDBNet"):
        ug.create_backbone("rrdbnet", weights=tmp_path / "weights.pth", scale=scale, **SMALL)


def test_an_old_checkpoint_is_recognised_by_other_backbones(tmp_path: Path) -> None:
    state = tiny(**SMALL).state_dict()
    for older in (spandrels(state).state_dict(), middle_layout(state)):
        torch.save(older, tmp_path / "weights.pth")
        with pytest.raises(WeightsError, match=r"looks like RRDBNet \(backbone 'rrdbnet'\)"):
            ug.create_backbone("hinet", wf=2, depth=1, weights=tmp_path / "weights.pth")
