"""Slow colours, the estimate of noise, what a model knows, and the comparison with the input."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from ugpnet_core.degradations import degrade
from ugpnet_core.factory import create_task
from ugpnet_core.inference.colours import fast, follow, slow
from ugpnet_core.inference.noise_level import noise_level
from ugpnet_core.inference.scope import MOST, Scope, scope_of, share_relied_on
from ugpnet_core.inference.statistics import SQUARE
from ugpnet_core.inference.whole import MULTIPLE, UNCUT, regressed
from ugpnet_core.model_files.model import load_model
from ugpnet_core.protocols import RestorationOutput

skimage_data = pytest.importorskip("skimage.data", reason="the photographs are scikit-image's")


def noise(like: Tensor, sigma: float, seed: int = 0) -> Tensor:
    return sigma * torch.randn(like.shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module", params=["astronaut", "coffee", "chelsea"])
def photograph(request: pytest.FixtureRequest) -> Tensor:
    picture = getattr(skimage_data, request.param)()
    return torch.from_numpy(picture.copy()).permute(2, 0, 1).float() / 255


@pytest.mark.parametrize("sigma", [0.02, 0.04, 0.08, 0.15])
def test_noise_is_estimated(photograph: Tensor, sigma: float) -> None:
    # Noise at black and white is clipped, and so weaker.
    noisy = (0.2 + 0.6 * photograph + noise(photograph, sigma)).clamp(0, 1)
    assert noise_level(noisy) == pytest.approx(sigma, rel=0.15, abs=0.003)


def test_there_is_no_noise_in_clean_photographs(photograph: Tensor) -> None:
    assert noise_level(photograph) < 0.015
    assert noise_level(torch.full((3, 50, 50), 0.3)) == 0
    assert noise_level(torch.rand(3, 1, 7)) == 0


def test_slow_colours_follow(photograph: Tensor) -> None:
    tinted = photograph * torch.tensor([0.9, 1.0, 1.05]).view(3, 1, 1) + 0.02
    before = (tinted - photograph).mean((1, 2)).abs()
    after = (follow(tinted[None], photograph[None])[0] - photograph).mean((1, 2)).abs()
    assert (after < 0.25 * before + 0.5 / 255).all()
    same = follow(photograph[None], photograph[None])[0]
    assert torch.equal(same, photograph)


@pytest.mark.parametrize("difference", [-0.02, 0.003, 0.007, 0.02])
def test_differences_that_noise_explains_count_less(difference: float) -> None:
    # The formula of the docstring, for a difference that is the same everywhere.
    flat, noise = torch.full((1, 3, 136, 150), 0.5), 0.1
    variance = noise**2 / (4 * math.pi * 32**2)
    expected = difference**3 / (difference**2 + 64 * variance)
    moved = follow(flat, flat + difference, noise) - flat
    torch.testing.assert_close(moved, torch.full_like(flat, expected), atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize(("level", "counts"), [(0.19, False), (0.21, True), (0.5, True)])
def test_pixels_within_two_deviations_of_an_end_do_not_count(level: float, counts: bool) -> None:
    for dark in (True, False):
        flat = torch.full((1, 3, 40, 40), level if dark else 1 - level)
        moved = follow(flat, flat + 0.3, 0.1) - flat
        assert bool((moved.abs() > 0.1).all() if counts else (moved == 0).all()) is True
        assert bool((moved == 0).all()) is not counts


def test_where_less_than_a_tenth_of_the_pixels_counts_less_is_moved() -> None:
    black = torch.zeros(1, 3, 48, 48)
    black[:, :, ::4, ::4] = 0.5  # a sixteenth
    moved = follow(black, black + 0.05, sigma=8.0) - black
    torch.testing.assert_close(moved, torch.full_like(black, 0.05 * 10 / 16), atol=1e-5, rtol=0)


def test_following_a_noisy_input_adds_no_noise() -> None:
    clean = torch.full((1, 3, 200, 200), 0.5)
    for sigma in (0.05, 0.2):
        followed = follow(clean, (clean + noise(clean, sigma)).clamp(0, 1), sigma)
        assert (followed - clean).abs().max() < 1 / 255


@pytest.mark.parametrize("level", [0.02, 0.2, 0.38, 0.45, 0.9])
def test_clipped_noise_is_not_followed(level: float) -> None:
    """Noise at black makes its mean brighter, which is not the photograph's doing."""
    flat = torch.full((1, 3, 200, 200), level)
    noisy = (flat + noise(flat, 0.2)).clamp(0, 1)
    if level == 0.02:
        assert noisy.mean() > 0.08
    assert (follow(flat, noisy, 0.2) - flat).abs().max() < 1 / 255


@pytest.mark.parametrize("sigma", [0.04, 0.08, 0.15])
def test_following_noisy_photographs_is_no_step_away_from_them(
    photograph: Tensor, sigma: float
) -> None:
    clean = photograph[None]
    noisy = (clean + noise(clean, sigma)).clamp(0, 1)
    assert (255 * (follow(clean, noisy, sigma) - clean)).abs().max() < 1 + 10 * sigma


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (5, 4), (300, 17)])
def test_any_size_has_slow_colours(size: tuple[int, int]) -> None:
    image = torch.rand(2, 3, *size)
    assert follow(image, image.flip(0)).shape == image.shape
    assert fast(image, 16.0).mean((2, 3)).abs().max() < 0.25
    flat = torch.full((1, 3, *size), 0.4)
    assert (slow(flat, 16.0) - 0.4).abs().max() < 1e-5
    assert fast(flat, 16.0).abs().max() < 1e-5


def test_what_a_model_knows() -> None:
    denoise, photo, sr = (scope_of(create_task(name)) for name in ("denoise", "photo", "sr4"))
    assert 0.2 < denoise.weakest < denoise.strongest < 0.35
    assert photo.weakest < 0.01
    assert photo.strongest > 0.15
    assert sr.strongest < 0.01
    assert denoise.trust(0.0) == denoise.trust(0.08) == 0
    assert denoise.trust(denoise.weakest) == photo.trust(0.1) == sr.trust(0.01) == 1
    assert sr.trust(0.1) == 0
    trusts = [Scope(0.2, 0.3).trust(level / 200) for level in range(200)]
    steps = [abs(b - a) for a, b in itertools.pairwise(trusts)]
    assert max(steps) < 0.1  # smoothly


def test_the_prior_adds_where_something_was_lost() -> None:
    one, every, none = Scope(0.25, 0.35), Scope(0.0, 0.3), Scope(0.0, 0.0)
    for noise_of_one in (0.0, 0.1, 0.3):
        assert one.prior_share(noise_of_one, 0) == none.prior_share(noise_of_one, 0) == 1
    by_noise = [every.prior_share(level / 100, 0) for level in range(40)]
    by_loss = [every.prior_share(0.01, 0.01**2 + (level / 1000) ** 2) for level in range(40)]
    for shares in (by_noise, by_loss):
        assert shares == sorted(shares)
        assert shares[2] == 0
        assert shares[30] == MOST
    assert every.prior_share(0.3, 0.3**2 + 0.03**2) == MOST < 1


def test_the_best_mixture_of_input_and_regression(photograph: Tensor) -> None:
    clean = photograph[None]
    x = clean + noise(clean, 0.05, 1)
    for error in (0.005, 0.05, 0.2):
        regression = clean + noise(clean, error, 2)
        share = share_relied_on(float((x - regression).square().mean()), 0.05)
        assert share == pytest.approx(0.05**2 / (0.05**2 + error**2), abs=0.02)
        mixed = float((torch.lerp(x, regression, share) - clean).square().mean())
        assert mixed <= 1.02 * min(0.05, error) ** 2
    assert share_relied_on(0, 0.05) == 1


def test_degraded_photographs_stay_in_the_scope_of_their_task(photograph: Tensor) -> None:
    for name in ("denoise", "photo", "sr4", "blind"):
        scope = scope_of(create_task(name))
        for seed in range(3):
            assert scope.trust(noise_level(degrade(photograph, name, seed))) > 0.9


@pytest.mark.parametrize("tile", [512, 200, 5])
@pytest.mark.parametrize("size", [(1, 1), (64, 64), (70, 131), (241, 250)])
def test_the_restoration_module_sees_whole_multiples_only(size: tuple[int, int], tile: int) -> None:
    """Zeros that a network pads with are, to its means over the whole map, a part of the image."""

    class Copies(torch.nn.Module):
        backbone = None
        seen: ClassVar[set[tuple[int, ...]]] = set()

        def forward(self, x: Tensor) -> RestorationOutput:
            self.seen.add(tuple(x.shape[-2:]))
            return RestorationOutput(x, x)

    restoration = Copies()
    model = SimpleNamespace(restoration=restoration, scale=1)
    x = torch.rand(1, 3, *size)
    made = regressed(model, x, torch.device("cpu"), tile)  # type: ignore[arg-type]
    torch.testing.assert_close(made, x, rtol=0, atol=1e-5)
    assert all(side % MULTIPLE == 0 for sides in restoration.seen for side in sides)
    most = max(UNCUT * max(tile // MULTIPLE * MULTIPLE, MULTIPLE) ** 2, SQUARE**2)
    assert max(height * width for height, width in restoration.seen) <= most


def test_photographs_of_any_size_come_out_as_well(photograph: Tensor) -> None:
    pytest.importorskip("ugpnet_priors.portraits")
    model = load_model("portraits").eval()
    gains = []
    for side in (128, 121):
        clean = photograph[:, 60 : 60 + side, 60 : 60 + side]
        noisy = (clean + noise(clean, 0.1)).clamp(0, 1)
        with torch.no_grad():
            made = regressed(model, noisy[None], torch.device("cpu"))[0].clamp(0, 1)
        errors = [(one - clean).square().mean() for one in (noisy, made)]
        gains.append(10 * float((errors[0] / errors[1]).log10()))
    assert gains[1] > gains[0] - 0.5


def test_a_line_at_the_border_stays(photograph: Tensor) -> None:
    """A scan's dark edge, one pixel wide: mirrored without itself it is a scratch in noise."""
    pytest.importorskip("ugpnet_priors.portraits")
    model = load_model("portraits").eval()
    clean = photograph[:, 50:178, 50:178].clone()
    clean[:, 0] = 0
    noisy = (clean + noise(clean, 0.08)).clamp(0, 1)
    with torch.no_grad():
        made = regressed(model, noisy[None], torch.device("cpu"))[0]
    assert float(made[:, 0].mean()) < 0.1
