"""U-Net against its formulas written out slowly, in both kinds and at odd sizes."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ugpnet_core as ug
from ugpnet_backbones.unet.network import UNet
from ugpnet_core.errors import ConfigError, SizeError
from ugpnet_core.protocols import Backbone

State = dict[str, Tensor]


def close(a: Tensor, b: Tensor, tolerance: float = 1e-5) -> bool:
    assert a.shape == b.shape
    return bool((a - b).abs().max() <= tolerance * b.abs().max())


def tiny(**options: Any) -> UNet:
    """Small, and away from the initial biases, which are zero."""
    torch.manual_seed(0)
    network = ug.create_backbone("unet", **{"width": 4, "depth": 2, **options})
    assert isinstance(network, UNet)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network.eval()


def mirrored(x: Tensor, multiple: int) -> Tensor:
    """Go on over the right and the lower border, there and back, pixel by pixel."""

    def folded(size: int) -> list[int]:
        there_and_back = [*range(size), *range(size - 2, 0, -1)]
        padded = math.ceil(size / multiple) * multiple
        return [there_and_back[i % len(there_and_back)] for i in range(padded)]

    return x[:, :, folded(x.shape[2])][:, :, :, folded(x.shape[3])]


def reference(sd: State, x: Tensor, depth: int) -> Tensor:
    """What the network predicts, the image or the residual."""
    height, width = x.shape[2:]

    def convolved_twice(f: Tensor, name: str) -> Tensor:
        for index in (0, 2):
            weight, bias = sd[f"{name}.{index}.weight"], sd[f"{name}.{index}.bias"]
            f = F.conv2d(f, weight, bias, padding=1).clamp(min=0)
        return f

    def up(f: Tensor, name: str) -> Tensor:
        # Each pixel becomes 2x2 pixels, one matrix for each of the four.
        weight, bias = sd[f"{name}.weight"], sd[f"{name}.bias"]
        out = f.new_zeros(f.shape[0], weight.shape[1], 2 * f.shape[2], 2 * f.shape[3])
        for i in range(2):
            for j in range(2):
                pixels = torch.einsum("nchw,cd->ndhw", f, weight[:, :, i, j])
                out[:, :, i::2, j::2] = pixels + bias[:, None, None]
        return out

    f = mirrored(x, 2**depth)
    skips = []
    for level in range(depth):
        f = convolved_twice(f, f"encoders.{level}")
        skips.append(f)
        corners = [f[:, :, i::2, j::2] for i in range(2) for j in range(2)]
        f = torch.stack(corners).amax(0)
    f = convolved_twice(f, "bottom")
    for index in range(depth):
        f = torch.cat([skips.pop(), up(f, f"ups.{index}")], 1)
        f = convolved_twice(f, f"decoders.{index}")
    return F.conv2d(f, sd["to_image.weight"], sd["to_image.bias"])[:, :, :height, :width]


@pytest.mark.parametrize("kind", ["direct", "residual"])
@pytest.mark.parametrize(
    ("width", "depth", "size"),
    [(4, 2, (12, 8)), (1, 1, (7, 9)), (3, 1, (1, 1)), (2, 3, (13, 18)), (5, 4, (17, 3))],
)
@torch.no_grad()
def test_any_width_depth_and_size_follow_the_formulas(
    kind: str, width: int, depth: int, size: tuple[int, int]
) -> None:
    network = tiny(width=width, depth=depth, kind=kind)
    x = torch.rand(2, 3, *size)
    predicted = reference(network.state_dict(), x, depth)
    assert close(network(x), predicted if kind == "direct" else x + predicted)
    assert (network.kind, network.feature_channels) == (kind, width)
    assert (network.scale, network.size_multiple) == (1, 2**depth)


@torch.no_grad()
def test_features_and_head_make_the_image() -> None:
    network = tiny()
    assert isinstance(network, Backbone)
    x = torch.rand(1, 3, 8, 12)
    features = network.forward_features(x)
    assert features.shape == (1, 4, 8, 12)
    assert close(network(x), network.head(features), 1e-6)


def test_it_is_the_network_of_the_paper() -> None:
    with torch.device("meta"):
        network = UNet()
    # Fig. 1, left to right: the channels that every convolution makes.
    made = [m.out_channels for m in network.modules() if isinstance(m, nn.Conv2d)]
    down, up = [64, 64, 128, 128, 256, 256, 512, 512], [512, 512, 256, 256, 128, 128, 64, 64]
    assert made == [*down, 1024, 1024, *up, 3]
    assert [m.out_channels for m in network.ups] == [512, 256, 128, 64]


def test_initial_activations_have_the_size_that_the_paper_asks_for() -> None:
    torch.manual_seed(0)
    network = UNet(width=32, depth=2)
    for name, deviation in {
        "encoders.1.0.weight": math.sqrt(2 / (9 * 32)),
        "ups.0.weight": math.sqrt(2 / 128),
        "decoders.0.0.weight": math.sqrt(2 / (9 * 128)),
    }.items():
        assert network.get_parameter(name).std().item() == pytest.approx(deviation, rel=0.03)


@pytest.mark.parametrize("kind", ["direct", "residual"])
def test_gradients_reach_every_parameter(kind: str) -> None:
    network = tiny(kind=kind).train()
    network(torch.rand(2, 3, 16, 16)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("kind", ["direct", "residual"])
def test_the_adapter_of_the_kind_takes_it(kind: str) -> None:
    prior = {"name": "stylegan2", "options": {"resolution": 32, "style_dim": 8, "narrow": 1 / 64}}
    backbone = {"name": "unet", "options": {"width": 2, "depth": 1, "kind": kind}}
    config = ug.ModelConfig.model_validate(
        {"backbone": backbone, "prior": prior, "merging_channels": 4, "fusion_blocks": 1}
    )
    model = ug.build_model(config).eval()
    with torch.no_grad():
        assert model(torch.rand(1, 3, 32, 32)).regression.shape == (1, 3, 32, 32)
    assert model.restoration.feature_channels == (2 if kind == "direct" else 4)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 1, 8, 8), (1, 3, 0, 8)])
def test_what_is_no_image_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(SizeError, match=r"\(N, 3, H, W\)"):
        tiny()(torch.zeros(shape))


@pytest.mark.parametrize(
    "options",
    [{"width": 0}, {"depth": 0}, {"depth": -1}, {"width": 2.5}, {"kind": "both"}, {"widht": 8}],
)
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        ug.create_backbone("unet", **options)
