"""The toolkit's checks, and what the decoder promises beyond them."""

from __future__ import annotations

import pytest
import torch
import ugpnet_core as ug
from torch import Tensor, nn
from ugpnet_core.plugins import Prior
from ugpnet_core.testing import PriorConformance


def small() -> Prior:
    torch.manual_seed(0)
    return ug.create_prior("film", resolution=16, base_size=4, width=8, style_dim=6)


class TestFilmDecoder(PriorConformance):
    @pytest.fixture
    def prior(self) -> object:
        return "film"


@pytest.mark.parametrize(("resolution", "base_size"), [(16, 8), (12, 3), (64, 4)])
def test_any_doubling_of_the_base_size(resolution: int, base_size: int) -> None:
    prior = ug.create_prior("film", resolution=resolution, base_size=base_size, width=4)
    base = torch.randn(2, prior.base_channels, base_size, base_size)
    image, features = prior.synthesize(base, torch.randn(2, prior.num_styles, prior.style_dim))
    assert image.shape == (2, 3, resolution, resolution)
    assert features.shape == (2, 4, resolution, resolution)


@pytest.mark.parametrize(("resolution", "base_size"), [(8, 8), (24, 8), (20, 8), (8, 16)])
def test_other_sizes_are_refused(resolution: int, base_size: int) -> None:
    with pytest.raises(ug.ConfigError, match="times base_size"):
        ug.create_prior("film", resolution=resolution, base_size=base_size)


def test_codes_can_show_a_picture() -> None:
    """What ``ugpnet invert`` does: the codes are sought, the weights stay."""
    prior = small()
    assert isinstance(prior, nn.Module)
    prior.requires_grad_(False)
    picture = torch.rand(1, 3, 4, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
    base = torch.zeros(1, 8, 4, 4, requires_grad=True)
    styles = torch.zeros(1, prior.num_styles, 6, requires_grad=True)
    optimizer = torch.optim.Adam([base, styles], 0.05)
    losses = []
    for _ in range(150):
        loss = (prior.synthesize(base, styles).image - picture).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_a_style_steers_its_own_size_and_finer_ones() -> None:
    prior = small()
    assert isinstance(prior, nn.Module)
    base, styles = torch.randn(1, 8, 4, 4), torch.randn(1, prior.num_styles, 6)
    seen: list[Tensor] = []
    second = prior.get_submodule("blocks.1")
    hook = second.register_forward_hook(lambda _, given, made: seen.append(made))
    for index in (0, 2):
        changed = styles.clone()
        changed[:, index] += 1
        prior.synthesize(base, changed)
    prior.synthesize(base, styles)
    hook.remove()
    coarse, fine, plain = seen
    assert not torch.allclose(coarse, plain)
    assert torch.equal(fine, plain)
