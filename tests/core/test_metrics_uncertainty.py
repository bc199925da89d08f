"""Intervals of figures: against closed forms, and how often they hold what is true."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ugpnet_core.evaluation.measurement import Measurement
from ugpnet_core.evaluation.photographs import Sample
from ugpnet_core.evaluation.results import Figure, ImageResult
from ugpnet_core.evaluation.summary import summarise
from ugpnet_core.evaluation.uncertainty import bootstrap_means, jackknife
from ugpnet_core.metrics.frechet import FeatureStatistics, Normal
from ugpnet_core.metrics.metric import Metric
from ugpnet_core.metrics.networks import MetricNetworks, SetDistance
from ugpnet_core.metrics.set_distances import CLEAN


def ends(figure: Figure) -> tuple[float, float]:
    assert figure.low is not None
    assert figure.high is not None
    return figure.low, figure.high


def test_bootstrap_is_about_the_normal_interval_of_a_mean() -> None:
    values = np.random.default_rng(0).normal(30, 2, (200, 1))
    (figure,) = bootstrap_means(values)
    reach = 1.96 * values.std(ddof=1) / math.sqrt(200)
    assert figure.value == pytest.approx(values.mean())
    assert ends(figure) == pytest.approx((figure.value - reach, figure.value + reach), rel=2e-3)


def test_bootstrap_intervals_hold_the_true_mean_nineteen_times_of_twenty() -> None:
    """Of 400 sets, a share of 95 % has a standard deviation of 1.1 %."""
    sets = np.random.default_rng(1).normal(5, 3, (60, 400))
    held = [low <= 5 <= high for low, high in map(ends, bootstrap_means(sets, resamples=500))]
    assert 0.915 <= np.mean(held) <= 0.975


def test_bootstrap_does_not_depend_on_what_stands_beside() -> None:
    values = np.random.default_rng(2).normal(size=(20, 3))
    together = bootstrap_means(values, seed=4)
    (alone,) = bootstrap_means(values[:, 1:2], seed=4)
    assert [together[1].value, *ends(together[1])] == pytest.approx([alone.value, *ends(alone)])
    assert bootstrap_means(values, seed=5)[1] != alone


def test_bootstrap_of_incomplete_columns() -> None:
    values = np.array([[1.0, math.nan, math.inf, 2.0], [3.0, 5.0, 1.0, 2.0], [5.0, 7.0, 1.0, 2.0]])
    whole, missing, infinite, equal = bootstrap_means(values)
    assert whole.value == 3
    assert missing.value == 6
    assert 5 <= ends(missing)[0] < ends(missing)[1] <= 7
    assert infinite == Figure(math.inf)
    assert equal == Figure(2.0, 2.0, 2.0)
    assert bootstrap_means(np.array([[4.0]])) == [Figure(4.0)]


def test_jackknife_of_a_mean_is_students_interval() -> None:
    values = np.random.default_rng(3).normal(10, 2, 20)
    without = [np.delete(values, index).mean() for index in range(20)]
    figure = jackknife(values.mean(), without)
    reach = 2.0930240544 * values.std(ddof=1) / math.sqrt(20)
    assert ends(figure) == pytest.approx((values.mean() - reach, values.mean() + reach), rel=1e-4)
    assert jackknife(1.0, [1.0]) == Figure(1.0)
    assert jackknife(0.1, [0.0, 1.0], lowest=0.0).low == 0


@pytest.mark.parametrize("counts", [(3, 4, 5), (9, 30, 2), (40, 50, 60)])
def test_statistics_of_parts_are_those_of_the_whole(counts: tuple[int, ...]) -> None:
    """Kept as vectors, as sums, or as both."""
    rng = torch.Generator().manual_seed(0)
    values = [torch.randn(count, 16, generator=rng) + 1 for count in counts]
    parts = []
    for vectors in values:
        parts.append(FeatureStatistics(16))
        for batch in vectors.split(7):
            parts[-1].add(batch)
    whole = FeatureStatistics.joined(parts)
    everything = torch.cat(values).double().numpy()
    assert whole.count == len(everything)
    assert whole.is_small == (len(everything) <= 16)
    assert np.allclose(whole.mean(), everything.mean(axis=0))
    assert np.allclose(whole.covariance(), np.cov(everything.T))
    if not whole.is_small:
        rest = torch.cat(values[1:]).double().numpy()
        found = whole.without(parts[0])
        assert np.allclose(found.mean(), rest.mean(axis=0))
        assert np.allclose(found.covariance(), np.cov(rest.T))
    other = FeatureStatistics(16)
    other.add(torch.randn(12, 16, generator=rng))
    normals = [Normal(each.mean(), each.covariance()) for each in (whole, other)]
    expected = normals[0].distance(normals[1])
    assert whole.distance(other) == pytest.approx(expected, rel=1e-6)


def set_of_features(seed: int, images: int, shift: float) -> tuple[Measurement, float]:
    """A measurement of a method whose features are those of the photographs, shifted and a little
    different; and the distance between the distributions that both are drawn from."""
    metric = Metric("frechet", "FD", "lower", 2, per_image=False)
    distance = SetDistance(metric, 4, torch.nn.Identity(), 8, lambda x, *_: x, "drawn")
    measurement = Measurement(MetricNetworks((metric,), (), (distance,)), 0)
    rng = torch.Generator().manual_seed(seed)
    for index in range(images):
        # Images differ, and so do the crops of one.
        clean = torch.randn(1, 4, generator=rng) + torch.randn(8, 4, generator=rng)
        parts = {CLEAN: clean, "method": clean + shift + torch.randn(8, 4, generator=rng) / 2}
        for name, features in parts.items():
            measurement.collect(distance, name, features, str(index), index % 20)
        measurement.images.append(ImageResult(str(index), {}))
    # Variances 2 and 2.25 in each of 4 channels.
    return measurement, 4 * shift**2 + 4 * (math.sqrt(2.25) - math.sqrt(2)) ** 2


def test_intervals_of_a_distance_hold_the_true_one_about_nineteen_times_of_twenty() -> None:
    held = []
    for seed in range(100):
        measurement, true = set_of_features(seed, images=100, shift=0.5)
        summary = summarise(measurement, ["method"], [])
        low, high = ends(summary.figures["method"]["frechet"])
        assert low < summary.figures["method"]["frechet"].value < high
        held.append(low <= true <= high)
    assert np.mean(held) >= 0.88


def test_differences_of_distances_are_paired() -> None:
    measurement, _ = set_of_features(0, images=40, shift=0.5)
    for parts in measurement.statistics.values():
        parts["same"] = parts["method"]
    summary = summarise(measurement, ["method", "same"], [("method", "same")])
    (difference,) = summary.differences
    assert difference.figure == Figure(0.0, 0.0, 0.0)
    assert "one of 20 groups" in summary.protocol["intervals"]


def test_memory_does_not_grow_with_the_set() -> None:
    """What is kept of an image is a few numbers."""
    network = MetricNetworks((Metric("psnr", "PSNR", "higher", 2),))
    measurement = Measurement(network, 0)
    image = torch.rand(3, 16, 16)
    for index in range(3):
        measurement(Sample(f"{index}.png", image, image), {"a": image * 0.9})
    assert [set(each.figures["a"]) for each in measurement.images] == [{"psnr", "ssim"}] * 3
    assert not any(isinstance(value, torch.Tensor) for value in vars(measurement).values())
