"""The toolkit's checks, and what PhotonNet promises beyond them: to remove photon noise."""

from __future__ import annotations

import pytest
import torch
import ugpnet_core as ug
from torch import nn
from ugpnet_core.testing import BackboneConformance


class TestPhotonNet(BackboneConformance):
    @pytest.fixture
    def backbone(self) -> object:
        return "photon"


def test_it_learns_to_remove_photon_noise() -> None:
    rng = torch.Generator().manual_seed(0)
    clean = torch.rand(4, 3, 6, 6, generator=rng).repeat_interleave(4, 2).repeat_interleave(4, 3)
    noisy = torch.poisson(30 * clean, generator=rng) / 30
    torch.manual_seed(0)
    network = ug.create_backbone("photon-tiny")
    assert isinstance(network, nn.Module)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(60):
        loss = (network(noisy) - clean).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.7 * (noisy - clean).abs().mean()


def test_black_pixels_have_a_gradient() -> None:
    network = ug.create_backbone("photon-tiny")
    black = torch.zeros(1, 3, 8, 8, requires_grad=True)
    network.head(network.forward_features(black)).sum().backward()
    assert black.grad is not None
    assert torch.isfinite(black.grad).all()


def test_it_sees_as_far_as_its_dilations_reach() -> None:
    network = ug.create_backbone("photon-tiny", dilations=[1, 4])
    x = torch.rand(1, 3, 64, 64, requires_grad=True)
    network.forward_features(x)[..., 32, 32].sum().backward()
    assert x.grad is not None
    seen = x.grad.abs().sum((0, 1, 2)).nonzero().flatten()
    # The last 3x3 convolution sees column 31, which is 15 at half resolution; the blocks reach
    # (1 + 1) + (4 + 1) further there, to 8, which was made from column 16; the first adds one.
    assert seen.min() == 15
