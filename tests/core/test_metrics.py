from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from ugpnet_core.errors import SizeError
from ugpnet_core.evaluation.classical import NonLocalMeans, non_local_means, wiener
from ugpnet_core.evaluation.photographs import Sample
from ugpnet_core.metrics.frechet import FeatureStatistics, Normal, random_crops
from ugpnet_core.metrics.pixel import psnr, quantised, ssim


def test_psnr_is_the_closed_form_for_each_image() -> None:
    target = torch.full((3, 3, 4, 5), 0.5)
    x = target + torch.tensor([0.1, 0.01, 0.0]).view(3, 1, 1, 1)
    values = psnr(x, target).tolist()
    assert values[:2] == pytest.approx([20, 40], abs=1e-4)
    assert values[2] == math.inf


@pytest.mark.parametrize("size", [(11, 11), (24, 19), (33, 50)])
def test_psnr_and_ssim_are_those_of_scikit_image_and_torchmetrics(size: tuple[int, int]) -> None:
    metrics = pytest.importorskip("skimage.metrics")
    from torchmetrics.functional.image import (
        peak_signal_noise_ratio,
        structural_similarity_index_measure,
    )

    generator = torch.Generator().manual_seed(0)
    smooth = torch.rand(2, 3, 4, 5, generator=generator)
    target = torch.nn.functional.interpolate(smooth, size, mode="bilinear")
    x = (target + 0.1 * torch.randn(2, 3, *size, generator=generator)).clamp(0, 1)
    pairs = [(a.double().numpy(), b.double().numpy()) for a, b in zip(x, target, strict=True)]
    for found in (ssim(x, target), torch.cat([ssim(x, target[:1])[:1], ssim(x, target[1:])[1:]])):
        assert found.tolist() == pytest.approx(
            [
                metrics.structural_similarity(
                    a,
                    b,
                    channel_axis=0,
                    data_range=1.0,
                    gaussian_weights=True,
                    sigma=1.5,
                    use_sample_covariance=False,
                )
                for a, b in pairs
            ],
            abs=1e-9,
        )
    assert psnr(x, target).tolist() == pytest.approx(
        [metrics.peak_signal_noise_ratio(b, a, data_range=1.0) for a, b in pairs], abs=1e-9
    )
    for index in range(2):
        a, b = x[index : index + 1].double(), target[index : index + 1].double()
        # Its mean covers the mirrored border in some releases; its map is the same in each.
        _, similarity = structural_similarity_index_measure(
            a, b, data_range=1.0, return_full_image=True
        )
        inside = similarity[..., 5 : size[0] - 5, 5 : size[1] - 5].mean()
        assert float(ssim(a, b)) == pytest.approx(float(inside), abs=1e-9)
        expected = float(peak_signal_noise_ratio(a, b, data_range=1.0))
        assert float(psnr(a, b)) == pytest.approx(expected, abs=1e-5)
    assert ssim(target, target).tolist() == pytest.approx([1, 1])


def test_ssim_refuses_images_smaller_than_its_window() -> None:
    assert ssim(torch.rand(1, 3, 11, 11), torch.rand(1, 3, 11, 11)).shape == (1,)
    with pytest.raises(SizeError, match=r"at least 11x11.*not 10x20"):
        ssim(torch.rand(1, 3, 10, 20), torch.rand(1, 3, 10, 20))


def test_quantised_has_256_levels_in_range() -> None:
    levels = quantised(torch.tensor([-0.3, 0.0, 0.1, 0.50001, 1.0, 7.0])) * 255
    assert torch.equal(levels.round(), torch.tensor([0.0, 0, 26, 128, 255, 255]))


def test_frechet_distance_has_its_closed_forms() -> None:
    zero, one = np.zeros(3), np.ones(3)
    a, b = np.diag([1.0, 4.0, 9.0]), np.diag([4.0, 1.0, 0.0])
    assert Normal(zero, a).distance(Normal(zero, a)) == pytest.approx(0, abs=1e-9)
    assert Normal(zero, a).distance(Normal(one, a)) == pytest.approx(3)
    # Commuting covariances: the squared distance of the standard deviations.
    assert Normal(zero, a).distance(Normal(zero, b)) == pytest.approx(1 + 1 + 9)
    rotation, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))
    turned_a, turned_b = (Normal(zero, rotation @ each @ rotation.T) for each in (a, b))
    turned = turned_a.distance(turned_b)
    assert turned == pytest.approx(11)


def test_frechet_distance_of_covariances_that_do_not_commute() -> None:
    rng = np.random.default_rng(0)
    first, second = (m @ m.T for m in rng.standard_normal((2, 4, 4)))
    # The eigenvalues of S1 S2 are those of the symmetric form: an independent way to the trace.
    root = np.sqrt(np.linalg.eigvals(first @ second).real).sum()
    expected = np.trace(first) + np.trace(second) - 2 * root
    zero = np.zeros(4)
    assert Normal(zero, first).distance(Normal(zero, second)) == pytest.approx(expected)
    assert Normal(zero, second).distance(Normal(zero, first)) == pytest.approx(expected)


def test_no_frechet_distance_is_negative() -> None:
    rng = np.random.default_rng(0)
    distances = []
    for _ in range(40):
        covariance = np.cov(rng.standard_normal((6, 9)))
        normal = Normal(np.zeros(6), covariance)
        distances.append(normal.distance(normal))
    # Exactly nothing by the formula; rounding goes either way, and stops at zero.
    assert min(distances) == 0
    assert max(distances) < 1e-6


def test_statistics_in_batches_are_those_of_the_whole() -> None:
    values = torch.randn(50, 6, generator=torch.Generator().manual_seed(0)) + 3
    statistics = FeatureStatistics(6)
    for batch in values.split(7):
        statistics.add(batch)
    assert np.allclose(statistics.mean(), values.double().mean(dim=0).numpy())
    assert np.allclose(statistics.covariance(), np.cov(values.double().numpy().T))
    assert statistics.distance(statistics) == pytest.approx(0, abs=1e-8)
    with pytest.raises(ValueError, match="two vectors"):
        FeatureStatistics(6).covariance()


def test_crops_lie_at_the_same_places_in_every_set() -> None:
    image = torch.arange(30 * 40).view(1, 30, 40).float()
    crops = random_crops(image, seed=3, key="a.png", size=16, count=5)
    assert crops.shape == (5, 1, 16, 16)
    assert torch.equal(random_crops(image + 1, 3, "a.png", 16, 5), crops + 1)
    assert not torch.equal(random_crops(image, 4, "a.png", 16, 5), crops)
    assert not torch.equal(random_crops(image, 3, "b.png", 16, 5), crops)
    assert len({crop.flatten()[0].item() for crop in crops}) > 1
    assert random_crops(image, 3, "a.png", size=64, count=2).shape == (2, 1, 30, 40)


def test_crops_lie_anywhere_up_to_both_borders() -> None:
    image = torch.arange(34 * 35).view(1, 34, 35).float()
    crops = random_crops(image, 0, "a.png", size=32)
    assert len(crops) == 32
    places = {divmod(int(crop[0, 0, 0]), 35) for crop in crops}
    assert {top for top, _ in places} == {0, 1, 2}
    assert {left for _, left in places} == {0, 1, 2, 3}


@pytest.mark.parametrize(("side", "crop"), [(20, 20), (48, 32), (64, 32), (100, 50), (512, 64)])
def test_crops_are_half_as_wide_as_the_image(side: int, crop: int) -> None:
    crops = random_crops(torch.rand(1, side, side), 0, "a.png", count=3)
    assert crops.shape == (3, 1, crop, crop)


def noisy_samples() -> Iterator[Sample]:
    generator = torch.Generator().manual_seed(0)
    for value in (0.3, 0.6):
        clean = torch.full((3, 24, 24), value)
        clean[0, :, 10:] = 0.9
        noisy = (clean + 0.1 * torch.randn(clean.shape, generator=generator)).clamp(0, 1)
        yield Sample(f"{value}.png", clean, noisy)


def test_non_local_means_denoises_and_keeps_colours() -> None:
    flat = torch.tensor([0.2, 0.4, 0.8]).view(3, 1, 1).expand(3, 16, 12)
    assert (non_local_means(flat, 10) - flat).abs().max() < 2 / 255
    sample = next(noisy_samples())
    noisy, clean = sample.degraded[None], sample.clean[None]
    assert psnr(non_local_means(noisy[0], 30)[None], clean) > psnr(noisy, clean) + 1


def test_best_strength_beats_its_neighbours() -> None:
    best = NonLocalMeans().tuned(noisy_samples).setting

    def mean(strength: float) -> float:
        values = [
            float(psnr(non_local_means(each.degraded, strength)[None], each.clean[None]))
            for each in noisy_samples()
        ]
        return sum(values) / len(values)

    assert best is not None
    assert best == round(best)
    assert mean(best) >= max(mean(best - 1), mean(best + 1), mean(10), mean(60))


def test_wiener_is_that_of_scikit_image() -> None:
    restoration = pytest.importorskip("skimage.restoration")
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(3, 21, 30, generator=generator)
    kernel = torch.rand(5, 5, generator=generator)
    kernel /= kernel.sum()
    mirrored = np.pad(image.double().numpy(), ((0, 0), (5, 5), (5, 5)), mode="reflect")
    for balance in (1e-3, 0.1):
        expected = np.stack(
            [restoration.wiener(c, kernel.double().numpy(), balance, clip=False) for c in mirrored]
        )[:, 5:-5, 5:-5]
        assert np.allclose(wiener(image, kernel, balance).numpy(), expected, atol=1e-6)
