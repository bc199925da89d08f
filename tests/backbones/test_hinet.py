"""HINet against the published numbers, and against its formulas written out slowly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import ugpnet_core as ug
from ugpnet_backbones.hinet.network import HINet
from ugpnet_core.checkpoints.state_dict import fit
from ugpnet_core.errors import ConfigError, WeightsError
from ugpnet_core.networks.restoration import restoration_module
from ugpnet_core.protocols import SupervisedBackbone

State = dict[str, Tensor]


def close(a: Tensor, b: Tensor, tolerance: float = 1e-4) -> bool:
    assert a.shape == b.shape
    return bool((a - b).abs().max() <= tolerance * b.abs().max())


def tiny(**options: Any) -> HINet:
    """Away from the initial values, where no convolution has a bias and no norm does anything."""
    torch.manual_seed(0)
    network = HINet(**{"wf": 4, "depth": 3, **options}).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return network


def reference(sd: State, x: Tensor, slope: float) -> tuple[Tensor, Tensor]:
    """The restored images of both stages."""
    depth = sum(key.startswith("down_path_1") and "conv_1.weight" in key for key in sd)

    def conv(x: Tensor, name: str, **options: Any) -> Tensor:
        weight = sd[f"{name}.weight"]
        options.setdefault("padding", weight.shape[2] // 2)
        return F.conv2d(x, weight, sd.get(f"{name}.bias"), **options)

    def relu(x: Tensor) -> Tensor:
        return torch.where(x > 0, x, slope * x)

    def block(x: Tensor, name: str) -> Tensor:
        y = conv(x, f"{name}.conv_1")
        if f"{name}.norm.weight" in sd:
            half = y.shape[1] // 2
            a = y[:, :half]
            a = a - a.mean((2, 3), keepdim=True)
            a = a / (a.square().mean((2, 3), keepdim=True) + 1e-5).sqrt()
            shift = sd[f"{name}.norm.bias"][:, None, None]
            y = torch.cat([a * sd[f"{name}.norm.weight"][:, None, None] + shift, y[:, half:]], 1)
        return relu(conv(relu(y), f"{name}.conv_2")) + conv(x, f"{name}.identity")

    def unet(f: Tensor, stage: int, before: tuple[list[Tensor], list[Tensor]] | None) -> Any:
        down: list[Tensor] = []
        for level in range(depth):
            name = f"down_path_{stage}.{level}"
            f = block(f, name)
            if level < depth - 1:
                if before is not None:
                    f = f + conv(before[0][level], f"{name}.csff_enc")
                    f = f + conv(before[1][level], f"{name}.csff_dec")
                down.append(f)
                f = conv(f, f"{name}.downsample", stride=2, padding=1)
        up = [f] * depth
        for index in range(depth - 1):
            level = depth - 2 - index
            name = f"up_path_{stage}.{index}"
            larger = F.conv_transpose2d(
                up[level + 1], sd[f"{name}.up.weight"], sd[f"{name}.up.bias"], stride=2
            )
            skip = conv(down[level], f"skip_conv_{stage}.{index}")
            up[level] = block(torch.cat([larger, skip], 1), f"{name}.conv_block")
        return down, up

    down, up = unet(conv(x, "conv_01"), 1, None)
    image = x + conv(up[0], "sam12.conv2")
    weighted = up[0] + conv(up[0], "sam12.conv1") / (1 + (-conv(image, "sam12.conv3")).exp())
    _, up = unet(conv(torch.cat([conv(x, "conv_02"), weighted], 1), "cat12"), 2, (down, up))
    return image, x + conv(up[0], "last")


# --- numbers --------------------------------------------------------------------------------------


@torch.no_grad()
def test_published_numbers(golden: Callable[[str], tuple[State, State]]) -> None:
    weights, expected = golden("hinet_wf64")
    with torch.device("meta"):
        network: Any = ug.create_backbone("hinet-gopro")
    network.load_state_dict(weights, strict=True, assign=True)
    assert sum(p.numel() for p in network.parameters()) == 88_668_806
    x = expected["input"]
    features, (first,) = network.forward_supervised(x)
    assert features.shape == (1, 64, *x.shape[2:])
    assert close(features[..., ::8, ::8], expected["features"])
    assert close(first, expected["output_stage1"])
    assert close(x + network.head(features), expected["output"])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"hin_position_left": 1, "hin_position_right": 1},
        {"hin_position_left": 2, "hin_position_right": 7},
        {"hin_position_left": 1, "hin_position_right": 0},
        {"wf": 5, "depth": 2, "hin_position_left": 1, "relu_slope": 0.05},
        {"wf": 2, "depth": 1, "relu_slope": 0.0},
        {"wf": 2, "depth": 4, "relu_slope": 1.0},
    ],
)
@pytest.mark.parametrize("size", [(16, 24), (8, 8)])  # 8: a single pixel at the fourth level
@torch.no_grad()
def test_other_options_follow_the_formulas(options: dict[str, Any], size: tuple[int, int]) -> None:
    network = tiny(**options)
    x = torch.rand(2, 3, *size)
    first, second = reference(network.state_dict(), x, options.get("relu_slope", 0.2))
    features, (image,) = network.forward_supervised(x)
    assert close(image, first, 1e-5)
    assert close(x + network.head(features), second, 1e-5)
    assert close(network(x), second, 1e-5)


def test_levels_that_normalise() -> None:
    def levels(**options: Any) -> set[int]:
        keys = HINet(wf=2, depth=4, **options).state_dict()
        assert {key for key in keys if ".norm." in key and "path_1" in key} == {
            key.replace("path_2", "path_1") for key in keys if ".norm." in key and "path_2" in key
        }
        return {int(key.split(".")[1]) for key in keys if ".norm." in key}

    assert levels() == {0, 1, 2, 3}
    assert levels(hin_position_left=1, hin_position_right=2) == {1, 2}
    assert levels(hin_position_left=3) == {3}
    assert levels(hin_position_left=1, hin_position_right=0) == set()


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_the_size_multiple_is_what_the_depth_needs(depth: int) -> None:
    network = tiny(wf=2, depth=depth)
    assert network.size_multiple == 2 ** (depth - 1)
    side = network.size_multiple
    assert network.forward_features(torch.rand(1, 3, side, 3 * side)).shape[2:] == (side, 3 * side)


# --- training -------------------------------------------------------------------------------------


def without_gradient(network: HINet) -> list[str]:
    return [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]


def test_gradients_reach_every_parameter() -> None:
    x = torch.rand(2, 3, 16, 16)
    network = tiny().train()
    network(x).square().sum().backward()
    assert without_gradient(network) == []

    network = tiny().train()
    features, (image,) = network.forward_supervised(x)
    image.square().sum().backward(retain_graph=True)
    stage_2 = ("conv_02", "down_path_2", "up_path_2", "skip_conv_2", "cat12", "last")
    beyond = (*stage_2, "sam12.conv1", "sam12.conv3")
    assert all(name.startswith(beyond) for name in without_gradient(network))
    features.square().sum().backward()
    assert without_gradient(network) == ["last.weight", "last.bias"]


def test_training_sees_the_image_of_the_first_stage() -> None:
    network = tiny()
    assert isinstance(network, SupervisedBackbone)
    module = restoration_module(network, merging_channels=4)
    x = torch.rand(2, 3, 13, 10)
    module.train()
    output = module(x)
    (image,) = output.intermediate
    assert image.shape == output.image.shape == x.shape
    whole = F.pad(x, (0, 2, 0, 3), mode="reflect")
    first, _ = reference(network.state_dict(), whole, 0.2)
    assert close(image, first[..., :13, :10], 1e-5)
    # The head, which the residual adapter replaces, is all that stays as it is.
    (output.image.square().sum() + image.square().sum()).backward()
    assert without_gradient(network) == ["last.weight", "last.bias"]
    assert module.eval()(x).intermediate == ()


def test_training_starts_with_orthogonal_weights() -> None:
    network = HINet(wf=4, depth=2)
    for name, parameter in network.named_parameters():
        if name.endswith("bias") and ".up." not in name:
            assert not parameter.any()
    weight = network.skip_conv_1[0].weight.flatten(1)  # type: ignore[operator]
    gain = 2 / (1 + 0.2**2)
    assert torch.allclose(weight @ weight.T, gain * torch.eye(4), atol=1e-5)


# --- the plugin -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"wf": 0},
        {"wf": 5},
        {"depth": 0},
        {"in_chn": 1},
        {"relu_slope": -0.1},
        {"relu_slope": float("nan")},
        {"hin_position_left": -1},
        {"hin_position": 3},
        {"width": 8},
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        ug.create_backbone("hinet", **{"wf": 4, "depth": 2, **options})


def test_a_checkpoint_of_other_options_is_refused() -> None:
    state = tiny().state_dict()
    with pytest.raises(WeightsError, match=r"check the options; it looks like HINet"):
        fit(tiny(wf=6), state, "file")
    with pytest.raises(WeightsError, match=r"0 keys are missing and 8 unknown.*looks like HINet"):
        fit(tiny(hin_position_left=2), state, "file")
