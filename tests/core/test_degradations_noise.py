"""Noise: its distribution against closed forms."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch

from ugpnet_core.degradations.noise import field_noise, poisson, poisson_gaussian
from ugpnet_core.seeding import rng_for


class Moments(NamedTuple):
    """Of a noisy pixel: mean, mean square, mean fourth power; how often it is black and white."""

    first: float
    second: float
    fourth: float
    black: float
    white: float


def _powers_between(mean: float, sigma: float) -> list[float]:
    """The parts of E[Y^0], ..., E[Y^4] where 0 < Y < 1, for Y normal: integration by parts gives
    each from the two before it."""
    bounds = (0.0, 1.0)
    density = [math.exp(-0.5 * ((y - mean) / sigma) ** 2) for y in bounds]
    density = [value / (sigma * math.sqrt(2 * math.pi)) for value in density]
    below = [0.5 * math.erfc((mean - y) / (sigma * math.sqrt(2))) for y in bounds]
    parts = [below[1] - below[0]]
    parts.append(mean * parts[0] + sigma**2 * (density[0] - density[1]))
    for power in (2, 3, 4):
        parts.append(mean * parts[-1] + sigma**2 * ((power - 1) * parts[-2] - density[1]))
    return parts


def exact_moments(level: float, sigma: float, k: float) -> Moments:
    """Of clip(Poisson(k level) / k + N(0, sigma^2)): those of a clipped normal number, averaged
    over the Poisson distribution of its mean."""
    total = np.zeros(5)
    rate = k * level
    for count in range(math.ceil(rate + 12 * math.sqrt(rate)) + 1):
        weight = math.exp(count * math.log(rate) - rate - math.lgamma(count + 1)) if rate else 1.0
        mean = count / k
        _, first, second, _, fourth = _powers_between(mean, sigma)
        black = 0.5 * math.erfc(mean / (sigma * math.sqrt(2)))
        white = 0.5 * math.erfc((1 - mean) / (sigma * math.sqrt(2)))
        total += weight * np.array([first + white, second + white, fourth + white, black, white])
    return Moments(*total.tolist())


@pytest.mark.parametrize("level", [0.0, 0.05, 0.25, 0.5, 0.8, 1.0])
@pytest.mark.parametrize(("sigma", "k"), [(0.3, 30.0), (0.05, 100.0), (0.1, 500.0)])
def test_the_clipped_noise_has_the_moments_of_its_formula(
    level: float, sigma: float, k: float
) -> None:
    exact = exact_moments(level, sigma, k)
    x = poisson_gaussian(torch.full((3, 300, 300), level), rng_for(1), sigma, k).double()
    count = x.numel()

    def agree(measured: torch.Tensor, expected: float, variance: float) -> None:
        # Five standard errors; the last term is for float32 and for u in steps of 2^-24.
        error = abs(float(measured) - expected)
        assert error < 5 * math.sqrt(max(variance, 0) / count) + 1e-6

    agree(x.mean(), exact.first, exact.second - exact.first**2)
    agree(x.square().mean(), exact.second, exact.fourth - exact.second**2)
    agree((x == 0).double().mean(), exact.black, exact.black * (1 - exact.black))
    agree((x == 1).double().mean(), exact.white, exact.white * (1 - exact.white))


def test_the_closed_forms_are_those_of_numerical_integration() -> None:
    y = (np.arange(200_000) + 0.5) / 200_000
    density = np.exp(-0.5 * ((y - 0.4) / 0.3) ** 2) / (0.3 * math.sqrt(2 * math.pi))
    expected = [float((density * y**power).mean()) for power in range(5)]
    assert _powers_between(0.4, 0.3) == pytest.approx(expected, abs=1e-9)
    # Without clipping, they are textbook's: mean 1/2, variance sigma^2 + level / k.
    unclipped = exact_moments(0.5, 0.05, 1000.0)
    assert unclipped.first == pytest.approx(0.5, abs=1e-9)
    assert unclipped.second - 0.25 == pytest.approx(0.05**2 + 0.5 / 1000, abs=1e-9)


@pytest.mark.parametrize("rate", [0.0, 0.004, 0.7, 7.31, 18.0, 29.97, 30.0])
def test_poisson_has_the_right_distribution(rate: float) -> None:
    count = 200_000
    drawn = poisson(np.full(count, rate, np.float32), 30.0, rng_for(0, str(rate)))
    ours = np.bincount(np.asarray(drawn, np.int64), minlength=90)[:90] / count
    term, expected = np.exp(-rate), []
    for n in range(90):
        expected.append(term)
        term = term * rate / (n + 1)
    sigma = np.sqrt(np.array(expected) * (1 - np.array(expected)) / count)
    assert (np.abs(ours - expected) <= 5 * sigma + 2 / count).all()


def test_poisson_follows_each_pixel_and_large_rates_work() -> None:
    rates = np.repeat(np.linspace(0, 30, 7, dtype=np.float32)[:, None], 20_000, axis=1)
    drawn = np.asarray(poisson(rates, 30.0, rng_for(0)), np.float64)
    assert np.abs(drawn.mean(1) - rates[:, 0]).max() < 0.2
    assert np.abs(drawn.var(1) - rates[:, 0]).max() < 1.5
    many = np.asarray(poisson(rates * 100, 3000.0, rng_for(0)), np.float64)
    assert np.abs(many.mean(1) - 100 * rates[:, 0]).max() < 3


def test_noise_has_the_papers_mean_and_variance() -> None:
    # In the middle of the range, and with little noise, clipping hardly matters.
    grey = torch.full((3, 200, 200), 0.5)
    x = poisson_gaussian(grey, rng_for(0), sigma=0.05, k=100.0)
    assert x.mean() == pytest.approx(0.5, abs=2e-3)
    assert x.var() == pytest.approx(0.05**2 + 0.5 / 100, rel=0.03)
    assert torch.unique(poisson_gaussian(grey, rng_for(0), sigma=0, k=4.0)).tolist() == [
        0,
        0.25,
        0.5,
        0.75,
        1,
    ]


def test_noise_of_channels_and_pixels_is_independent() -> None:
    x = poisson_gaussian(torch.full((3, 100, 100), 0.5), rng_for(0), 0.1, 100.0) - 0.5
    assert abs(np.corrcoef(x[0].flatten(), x[1].flatten())[0, 1]) < 0.05
    assert abs(np.corrcoef(x[0, :, :-1].flatten(), x[0, :, 1:].flatten())[0, 1]) < 0.05


# Noise that is the same in all channels, or coarse-grained


@pytest.mark.parametrize("grain", [0.0, 0.4, 1.2])
@pytest.mark.parametrize(("sigma", "k"), [(0.05, None), (0.0, 400.0), (0.05, 400.0)])
@pytest.mark.parametrize("level", [0.3, 0.6])
def test_field_noise_has_the_moments_of_its_formula(
    level: float, sigma: float, k: float | None, grain: float
) -> None:
    # Five standard deviations from black and white, so that nothing is clipped.
    x = field_noise(torch.full((3, 400, 400), level), rng_for(2), sigma, k, grain=grain).double()
    variance = sigma**2 + (level / k if k else 0)
    # Neighbours are correlated: so many pixels count as independent ones.
    independent = x.numel() / max(1.0, 4 * math.pi * grain**2)
    assert float(x.mean()) == pytest.approx(level, abs=5 * math.sqrt(variance / independent))
    assert float(x.var()) == pytest.approx(variance, rel=5 * math.sqrt(2 / independent))


@pytest.mark.parametrize("grain", [0.4, 0.7, 1.2])
def test_grains_are_as_large_as_they_are_said_to_be(grain: float) -> None:
    field = field_noise(torch.full((3, 600, 600), 0.5), rng_for(3), 0.05, grain=grain) - 0.5
    field = field.double() / 0.05
    # Of the sampled Gaussian: sum of g(i) g(i + d) over that of g(i)^2.
    half = math.ceil(3 * grain)
    density = np.exp(-0.5 * (np.arange(-half, half + 1) / grain) ** 2)
    for distance in range(4):
        together = density[: len(density) - distance] * density[distance:]
        expected = together.sum() / (density**2).sum()
        if grain >= 0.7:  # where the samples are dense enough to be like the continuous one
            continuous = math.exp(-(distance**2) / (4 * grain**2))
            assert expected == pytest.approx(continuous, abs=0.02)
        width = 600 - distance
        across = (field[:, :, :width] * field[:, :, distance:]).mean()
        down = (field[:, :width] * field[:, distance:]).mean()
        diagonal = (field[:, :width, :width] * field[:, distance:, distance:]).mean()
        assert float(across) == pytest.approx(expected, abs=0.02)
        assert float(down) == pytest.approx(expected, abs=0.02)
        assert float(diagonal) == pytest.approx(expected**2, abs=0.02)
    # It is as strong at the border as in the middle.
    assert float(field[:, :, 0].var()) == pytest.approx(1, abs=0.25)
    channels = np.corrcoef(field.flatten(1).numpy())
    assert np.abs(channels - np.eye(3)).max() < 0.03


@pytest.mark.parametrize("grain", [0.0, 0.9])
def test_grey_noise_is_the_same_in_all_channels(grain: float) -> None:
    image = torch.tensor([0.2, 0.5, 0.8]).view(3, 1, 1).expand(3, 60, 60)
    error = field_noise(image, rng_for(4), 0.02, grain=grain, grey=True) - image
    assert torch.allclose(error[0], error[1], atol=1e-6)
    assert torch.allclose(error[0], error[2], atol=1e-6)
    # With light it grows with the light of each channel, and its sign is the same.
    error = field_noise(image, rng_for(4), 0.0, 900.0, grain=grain, grey=True) - image
    scaled = error / image.sqrt()
    assert torch.allclose(scaled[0], scaled[2], atol=1e-5)
    coloured = field_noise(image, rng_for(4), 0.02, grain=grain) - image
    assert abs(np.corrcoef(coloured[0].flatten(), coloured[1].flatten())[0, 1]) < 0.2


def test_field_noise_takes_any_size_and_stays_in_range() -> None:
    for size in ((1, 1), (2, 3), (1, 9)):
        for value in (0.0, 1.0):
            x = field_noise(torch.full((3, *size), value), rng_for(5), 0.5, 3.0, grain=1.2)
            assert x.shape == (3, *size)
            assert x.min() >= 0
            assert x.max() <= 1
    slightly_outside = torch.tensor([-0.01, 0.5, 1.01]).view(3, 1, 1)
    assert torch.isfinite(field_noise(slightly_outside, rng_for(5), 0.0, 3.0, grey=True)).all()
