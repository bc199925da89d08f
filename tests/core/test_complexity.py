"""Parameters and multiply-accumulates: closed forms, and published figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

import ugpnet_core as ug
from ugpnet_core.errors import PluginError, SizeError
from ugpnet_core.metrics.complexity import (
    Complexity,
    backbone_macs,
    complexity_of,
    count_parameters,
    prior_macs,
)
from ugpnet_core.networks.regression import RegressionNetwork


class Simple(RegressionNetwork):
    """Any layers as features, and a 1x1 convolution."""

    kind: Literal["direct", "residual"] = "direct"

    def __init__(self, body: nn.Module, channels: int = 4) -> None:
        super().__init__()
        self.feature_channels = channels
        self.body = body
        self.tail = nn.Conv2d(channels, 3, 1, bias=False)

    def forward_features(self, x: Tensor) -> Tensor:
        features: Tensor = self.body(x)
        return features

    def head(self, f: Tensor) -> Tensor:
        image: Tensor = self.tail(f)
        return image


class Attention(nn.Module):
    """A transformer layer over all pixels, which torch has a fused version of."""

    def __init__(self) -> None:
        super().__init__()
        self.widen = nn.Conv2d(3, 4, 1)
        self.layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        f = self.widen(x)
        tokens: Tensor = self.layer(f.flatten(2).transpose(1, 2))
        return tokens.transpose(1, 2).reshape(f.shape)


class NeedsNumbers(nn.Module):
    """Decides by a number: while it is made, or while it runs."""

    def __init__(self, when: str) -> None:
        super().__init__()
        self.when = when
        self.layer = nn.Conv2d(3, 4, 1)
        if when == "made" and torch.ones(1).item() != 1:
            raise AssertionError

    def forward(self, x: Tensor) -> Tensor:
        if self.when == "run" and x.mean().item() > 0.5:
            return -x
        features: Tensor = self.layer(x)
        return features


def _pixels(side: int) -> int:
    return side * side


SIDE = 8
P = _pixels(SIDE)
TAIL = P * 4 * 3
# The last term of each is the 1x1 convolution of the head.
CLOSED_FORMS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "3x3": (lambda: nn.Conv2d(3, 4, 3, padding=1), P * 9 * 3 * 4 + TAIL),
    "grouped": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3, padding=1, groups=4)),
        P * 3 * 4 + P * 9 * 4 + TAIL,
    ),
    "down and up": (
        lambda: nn.Sequential(nn.Conv2d(3, 5, 2, stride=2), nn.ConvTranspose2d(5, 4, 2, stride=2)),
        P // 4 * 4 * 3 * 5 + P // 4 * 4 * 5 * 4 + TAIL,
    ),
    # Queries, keys, values and output; scores and their sum over values; the two linear layers.
    "attention": (
        Attention,
        P * 3 * 4 + 4 * P * 4 * 4 + 2 * P * P * 4 + 2 * P * 4 * 8 + TAIL,
    ),
    "made by a number": (lambda: NeedsNumbers("made"), P * 3 * 4 + TAIL),
}


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_macs_are_those_of_the_closed_form(name: str) -> None:
    make, expected = CLOSED_FORMS[name]
    found = complexity_of(lambda: Simple(make()), lambda network: backbone_macs(network, SIDE))
    assert found.macs == expected
    assert found.reason == ""
    # A network with weights is counted alike, and is left as it was.
    real = Simple(make()).eval()
    assert backbone_macs(real, SIDE) == expected
    assert torch.isfinite(real(torch.rand(1, 3, SIDE, SIDE))).all()


def test_nothing_is_computed() -> None:
    # 5 TMACs and 4 GB of activations: this would not end if it were computed.
    wide = Simple(nn.Conv2d(3, 1024, 3, padding=1), 1024)
    side = 1000
    assert backbone_macs(wide, side) == _pixels(side) * (9 * 3 * 1024 + 1024 * 3)


def test_parameters_count_once_where_they_are_shared() -> None:
    layer = nn.Conv2d(3, 4, 3)
    assert count_parameters(layer) == 3 * 4 * 9 + 4
    assert count_parameters(nn.Sequential(layer, layer)) == 3 * 4 * 9 + 4


def test_a_network_that_reads_its_input_says_why_it_is_not_counted() -> None:
    found = complexity_of(lambda: Simple(NeedsNumbers("run")), backbone_macs)
    assert found.macs is None
    assert found.parameters == 3 * 4 + 4 + 4 * 3
    assert found.reason


def test_what_cannot_be_made_is_an_error() -> None:
    def fail() -> Any:
        raise PluginError("gone")

    with pytest.raises(PluginError, match="gone"):
        complexity_of(fail, backbone_macs)


def test_images_are_padded_to_what_the_network_takes() -> None:
    network = Simple(nn.Conv2d(3, 4, 1))
    network.size_multiple = 32
    assert backbone_macs(network, 40) == _pixels(64) * (3 * 4 + 4 * 3)
    network.fixed_size = 48
    assert backbone_macs(network, 40) == _pixels(48) * (3 * 4 + 4 * 3)
    with pytest.raises(SizeError):
        backbone_macs(network, 49)


def _measured(name: str) -> Complexity[Any]:
    return complexity_of(lambda: ug.create_backbone(name), backbone_macs)


# As published with 2204.04676; what its authors counted with includes more than convolutions.
@pytest.mark.parametrize(
    ("name", "published"),
    [("nafnet-gopro-width32", 16), ("nafnet-sidd-width32", 16), ("nafnet-sidd-width64", 65)],
)
def test_published_figures_of_nafnet_at_256_pixels(name: str, published: float) -> None:
    found = _measured(name)
    assert found.macs == pytest.approx(published * 1e9, rel=0.04)
    assert next(found.network.parameters()).is_meta


def test_rrdbnet_has_the_macs_of_its_layers() -> None:
    dense = 9 * (32 * (64 + 96 + 128 + 160) + 192 * 64)
    at_input = 9 * 3 * 64 + 23 * 3 * dense + 9 * 64 * 64
    at_twice = 9 * 64 * 64
    at_four_times = 2 * 9 * 64 * 64 + 9 * 64 * 3
    expected = _pixels(256) * (at_input + 4 * at_twice + 16 * at_four_times)
    assert _measured("rrdbnet-x4").macs == expected


def test_a_prior_is_counted_without_weights() -> None:
    options: dict[str, Any] = {
        "resolution": 32,
        "style_dim": 8,
        "num_mlp": 1,
        "narrow": 1 / 64,
        "base_size": 8,
    }
    found = complexity_of(lambda: ug.create_prior("stylegan2", **options), prior_macs)
    assert found.macs is not None
    assert found.macs > 0
    real = ug.create_prior("stylegan2", **options)
    assert prior_macs(real) == found.macs
