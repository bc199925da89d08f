"""KID, MS-SSIM, DISTS, IndRMSE, consistency, NIQE, BRISQUE and faces, against other people's."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ugpnet_core.config import PerceptualConfig, TaskConfig
from ugpnet_core.errors import ConfigError, PluginError
from ugpnet_core.evaluation.measure import measure_methods
from ugpnet_core.evaluation.methods import Degraded, Function, Method
from ugpnet_core.evaluation.photographs import degraded_set, find_photographs
from ugpnet_core.losses.perceptual_weights import empty_trunk
from ugpnet_core.metrics import face_models
from ugpnet_core.metrics.brisque import brisque, brisque_features, read_regressor
from ugpnet_core.metrics.dists import DISTS
from ugpnet_core.metrics.face_likeness import angle, mean_distance
from ugpnet_core.metrics.fidelity import (
    consistency_metric,
    indicator_rmse_metric,
    ms_ssim_metric,
)
from ugpnet_core.metrics.frechet import Array, FeatureStatistics
from ugpnet_core.metrics.judged import Judged
from ugpnet_core.metrics.kernel import KernelSums
from ugpnet_core.metrics.metric import ALL_METRICS
from ugpnet_core.metrics.networks import metric_networks
from ugpnet_core.metrics.niqe import brightness, halved, niqe, read_natural_model
from ugpnet_core.metrics.set_distances import CLEAN, kernel_distances


def photograph(side: int = 200) -> Tensor:
    """A picture with the statistics of one: smooth parts, edges, and texture at all scales."""
    rng = np.random.default_rng(0)
    picture = np.zeros((3, side, side))
    for octave in (3, 6, 12, 25, 50, 100, 200):
        coarse = torch.from_numpy(rng.standard_normal((1, 3, octave, octave)))
        picture += torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic")[
            0
        ].numpy() / math.sqrt(octave)
    picture = (picture - picture.min()) / (picture.max() - picture.min())
    return torch.from_numpy(picture).float()


def kernel_distance(first: Array, second: Array) -> float | None:
    return KernelSums([first], [second]).distance()


def test_kernel_distance_is_the_unbiased_estimate() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((7, 5)), rng.standard_normal((9, 5)) + 0.5

    def kernel(a: Any, b: Any) -> float:
        return float((a @ b / 5 + 1) ** 3)

    within = [
        np.mean([kernel(a, b) for i, a in enumerate(s) for j, b in enumerate(s) if i != j])
        for s in (x, y)
    ]
    between = np.mean([kernel(a, b) for a in x for b in y])
    assert kernel_distance(x, y) == pytest.approx(within[0] + within[1] - 2 * between)
    assert kernel_distance(x[:1], y) is None


def test_kernel_distance_is_that_of_torchmetrics() -> None:
    from torchmetrics.image.kid import poly_mmd

    rng = torch.Generator().manual_seed(0)
    x, y = (torch.randn(12, 2048, generator=rng, dtype=torch.float64) for _ in range(2))
    expected = float(poly_mmd(x, y + 0.1))
    assert kernel_distance(x.numpy(), (y + 0.1).numpy()) == pytest.approx(expected, rel=1e-9)


def test_few_images_do_not_make_the_kernel_distance_larger() -> None:
    rng = np.random.default_rng(0)
    draws = [kernel_distance(*rng.standard_normal((2, 5, 8))) for _ in range(400)]
    values = np.array(draws, dtype=float)
    assert abs(values.mean()) < 3 * values.std() / 20
    assert values.min() < 0


def test_kernel_distances_without_a_group_are_those_of_the_rest() -> None:
    rng = torch.Generator().manual_seed(0)
    parts: dict[str, list[Tensor]] = {
        name: [torch.randn(n, 4, generator=rng) + shift for n in (3, 2, 4)]
        for name, shift in ((CLEAN, 0.0), ("a", 0.5))
    }
    parts["b"] = parts["a"][:2]  # failed on the last images
    sets = {}
    for name, groups in parts.items():
        sets[name] = [FeatureStatistics(4, keep_vectors=True) for _ in groups]
        for statistics, group in zip(sets[name], groups, strict=True):
            statistics.add(group)
    found = kernel_distances(sets)
    for name in ("a", "b"):
        for left_out in range(3):
            first, second = (
                torch.cat([g for i, g in enumerate(parts[each]) if i != left_out]).double().numpy()
                for each in (CLEAN, name)
            )
            assert found.without[left_out][name] == pytest.approx(kernel_distance(first, second))
        whole = torch.cat(parts[CLEAN]).double().numpy(), torch.cat(parts[name]).double().numpy()
        assert found.whole[name] == pytest.approx(kernel_distance(*whole))


@pytest.fixture(scope="module")
def vgg16(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("vgg")
    rng = torch.Generator().manual_seed(0)
    state = {
        key: torch.randn(value.shape, generator=rng) * (2 / max(value[0].numel(), 1)) ** 0.5
        for key, value in empty_trunk("vgg16").state_dict().items()
    }
    save_file(state, folder / "vgg16.safetensors")
    yield folder
    (folder / "vgg16.safetensors").unlink()  # 59 MB


def test_dists_is_that_of_torchmetrics(vgg16: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors.torch import load_file
    from torchmetrics.functional.image import dists as reference
    from torchvision import models

    def offline(weights: object) -> Any:
        with torch.device("meta"):
            network = models.vgg16(weights=None)
        network.features.to_empty(device="cpu")
        network.features.load_state_dict(load_file(vgg16 / "vgg16.safetensors"))
        return network

    monkeypatch.setattr(reference, "vgg16", offline)
    own = DISTS(PerceptualConfig(network="vgg", weights=vgg16, resize=None))
    rng = torch.Generator().manual_seed(0)
    x, y = torch.rand(2, 3, 48, 40, generator=rng), torch.rand(1, 3, 48, 40, generator=rng)
    # Its layers overwrite the maps that are compared, so that each image goes alone.
    theirs = reference.DISTSNetwork()
    expected = [float(theirs(image[None], y)) for image in x]
    assert own(x, y).tolist() == pytest.approx(expected, abs=1e-5)
    assert float(own(y, y)) == pytest.approx(0, abs=1e-5)


def test_ms_ssim_needs_images_that_it_can_halve() -> None:
    metric = ms_ssim_metric()
    image = photograph(176)[None]
    noisy = (image + 0.1 * torch.randn(image.shape, generator=torch.Generator())).clamp(0, 1)
    equal, other = metric.measure(Judged(torch.cat([image, noisy]), image[0], image))
    assert equal == pytest.approx(1)
    assert 0 < other < 1
    for side in (160, 161, 175):
        small = image[..., :side]
        assert math.isnan(metric.measure(Judged(small, small[0], small))[0])


def test_likeness_without_the_photograph() -> None:
    x = torch.rand(2, 3, 8, 8)
    away = Judged(x, x[0], regression=x[:1] + 2 / 255)
    found = indicator_rmse_metric().measure(away)
    assert found[0] == pytest.approx(2, abs=1e-4)
    halved_again = Judged(x, (x[0] * 0.5 * 255).round() / 255, degrade=lambda image: image * 0.5)
    equal, other = consistency_metric().measure(halved_again)
    assert equal == math.inf
    assert other < 20


def test_consistency_of_the_photograph_is_infinite(photographs: Path) -> None:
    files = find_photographs(photographs)[:2]
    for task in ("deblur", "sr8", "denoise"):
        options = {"kernel_size": 71} if task == "deblur" else {}
        test_set = degraded_set(files, photographs, 32, TaskConfig(name=task, options=options))
        samples = test_set.samples(lambda *_: None)
        perfect = {each.name: each.clean for each in samples if each is not None}
        found: list[float] = []
        for sample in test_set.samples(lambda *_: None):
            assert sample is not None
            judged = Judged(perfect[sample.name][None], sample.degraded, degrade=sample.degrade)
            found += consistency_metric().measure(judged)
        assert found == [math.inf] * 2


def test_niqe_is_that_of_its_authors_model() -> None:
    """The covariance is one, and what belongs to natural photographs is near it."""
    model = read_natural_model()
    assert model.mean.shape == (36,)
    assert np.allclose(model.covariance, model.covariance.T)
    assert np.linalg.eigvalsh(model.covariance).min() > 0
    from skimage import data

    # BasicSR's function on the same grey levels, its imresize included, gave these.
    published = {"astronaut": 3.0674, "coffee": 4.0662, "chelsea": 2.5721}
    for name, expected in published.items():
        image = torch.from_numpy(getattr(data, name)()).permute(2, 0, 1).float() / 255
        assert niqe(image, model) == pytest.approx(expected, rel=3e-3)
        noisy = (image + 0.1 * torch.randn(image.shape, generator=torch.Generator())).clamp(0, 1)
        assert niqe(noisy, model) > 2 * expected
    assert math.isnan(niqe(torch.rand(3, 191, 400), model))
    assert math.isnan(niqe(torch.full((3, 200, 200), 0.5), model))


def test_halving_overshoots_as_the_published_one_does() -> None:
    """MATLAB's imresize of doubles: a cubic of a = -1/2, twice as wide, with the edge mirrored."""
    rng = np.random.default_rng(0)
    squares = 255 * rng.integers(2, size=(3, 4)).astype(np.float64)
    grey = np.kron(squares, np.ones((8, 8))).astype(np.float64)

    def matrix(size: int) -> Array:
        weights = np.zeros((size // 2, size))
        for row in range(size // 2):
            for place in range(2 * row - 4, 2 * row + 7):
                x = abs(place + 0.5 - (2 * row + 1)) / 2
                value = 1.5 * x**3 - 2.5 * x**2 + 1
                if x >= 1:
                    value = max(2 - x, 0) and -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
                mirrored = -1 - place if place < 0 else min(place, 2 * size - 1 - place)
                weights[row, mirrored] += value
        normalised: Array = weights / weights.sum(axis=1, keepdims=True)
        return normalised

    expected = matrix(24) @ grey @ matrix(32).T
    inside = (slice(3, -3), slice(3, -3))  # at the edge, torch leaves weights out
    assert halved(grey)[inside] == pytest.approx(expected[inside], abs=1e-9)
    assert halved(grey).min() < -1
    assert halved(grey).max() > 256


def test_brisque_is_that_of_libsvm_and_of_the_package() -> None:
    from brisque import BRISQUE
    from libsvm import svmutil

    package, regressor = BRISQUE(url=False), read_regressor()
    image = photograph()
    features = brisque_features(brightness(image))
    nodes, _ = svmutil.gen_svm_nodearray(list(package.scale_features(features)), isKernel=False)
    values = (svmutil.c_double * 1)()
    expected = svmutil.libsvm.svm_predict_probability(package.model, nodes, values)
    assert brisque(image, regressor) == pytest.approx(expected, rel=1e-6)
    # It cuts off where the paper wraps around, and solves where the paper looks up.
    theirs = package.calculate_brisque_features(brightness(image) / 255, 7, 7 / 6)
    numbers = [float(np.ravel(value)[0]) for value in theirs]
    assert features[:18].tolist() == pytest.approx(numbers, abs=0.02)
    noisy = (image + 0.2 * torch.randn(image.shape, generator=torch.Generator())).clamp(0, 1)
    assert brisque(noisy, regressor) > brisque(image, regressor) + 10
    assert math.isnan(brisque(torch.zeros(3, 64, 64), regressor))


def test_halving_is_that_of_a_smooth_image() -> None:
    ramp = np.add.outer(np.arange(40.0), 2 * np.arange(60.0))
    inside = halved(ramp)[2:-2, 2:-2]
    assert np.allclose(inside, (ramp[::2, ::2] + 1.5)[2:-2, 2:-2], atol=1e-4)


def test_angles_and_distances_have_their_closed_forms() -> None:
    assert angle(torch.tensor([1.0, 0]), torch.tensor([0, 2.0])) == pytest.approx(90)
    assert angle(torch.tensor([1.0, 1]), torch.tensor([3.0, 3])) == pytest.approx(0, abs=1e-5)
    moved = mean_distance(torch.zeros(2, 2), torch.tensor([[3.0, 4], [0, 1]]))
    assert moved == pytest.approx(3)


def test_faces_are_measured_where_the_photograph_has_one() -> None:
    from skimage import data

    pixels = data.astronaut()  # type: ignore[no-untyped-call]
    image = torch.from_numpy(pixels).permute(2, 0, 1).float()[:, :256, 96:352] / 255
    moved = image.roll((2, 3), dims=(1, 2))
    images = torch.stack([image, moved, torch.full_like(image, 0.5)])
    networks = metric_networks(chosen=["identity", "landmarks"])
    identity, landmarks = (each.measure for each in networks.image_metrics)
    judged = Judged(images, image, image[None])
    same, near, grey = identity(judged)
    assert same == pytest.approx(0, abs=1e-4)
    assert near < 15 < grey
    same, near, _ = landmarks(judged)
    assert same == 0
    assert near == pytest.approx(math.hypot(2, 3), abs=1.5)
    nobody = torch.full((1, 3, 64, 64), 0.5)
    assert all(math.isnan(each) for each in identity(Judged(nobody, nobody[0], nobody)))


class Blue:
    words = "how blue"

    def find(self, image: Tensor) -> object:
        return 0

    def embedding(self, image: Tensor, face: object) -> Tensor:
        return image.mean(dim=(1, 2))

    def landmarks(self, image: Tensor, face: object) -> Tensor:
        return torch.zeros(1, 2)


def test_a_plugin_brings_its_own_face_model(
    monkeypatch: pytest.MonkeyPatch, photographs: Path
) -> None:
    class Entry:
        def __init__(self, name: str, made: object) -> None:
            self.name, self.made = name, made

        def load(self) -> object:
            return self.made

    entries = [Entry("blue", Blue), Entry("broken", lambda: 1 / 0), Entry("other", object)]
    monkeypatch.setattr(face_models, "entry_points", lambda group: entries)
    networks = metric_networks(chosen=["identity"], faces="blue")
    test_set = degraded_set(
        find_photographs(photographs), photographs, 32, TaskConfig(name="denoise")
    )
    result = measure_methods([Degraded()], test_set, networks=networks)
    assert result.value("degraded", "identity") is not None
    assert "how blue" in result.protocol["Identity (degrees)"]
    for name, message in (
        ("broken", "cannot be made"),
        ("other", "lacks something"),
        ("bleu", "did you mean blue"),
    ):
        with pytest.raises(PluginError, match=message):
            metric_networks(chosen=["identity"], faces=name)


def test_columns_are_those_that_were_chosen(
    photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"no figure 'pnsr'; choose from psnr, "):
        metric_networks(chosen=["pnsr"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    chosen = ["ssim", "indrmse", "brisque", "niqe", "kid", "consistency"]
    networks = metric_networks(chosen=chosen)
    assert [metric.key for metric in networks.metrics] == chosen
    test_set = degraded_set(
        find_photographs(photographs), photographs, 32, TaskConfig(name="denoise")
    )
    regression = Function(Method("x_reg", "regression"), lambda x: x * 0.9)
    regression.posterior_mean = "x_reg"
    result = measure_methods([Degraded(), regression], test_set, networks=networks)
    missing = {each.key: each.missing for each in result.metrics if each.missing}
    assert set(missing) == {"brisque", "niqe", "kid"}
    assert "pip install brisque" in missing["brisque"]
    assert "at least 192 pixels" in missing["niqe"]
    assert set(result.method("degraded").figures) == {"ssim", "indrmse", "consistency"}
    assert result.value("x_reg", "indrmse") == 0
    assert result.protocol["IndRMSE"].endswith("x_reg is the row x_reg")
    squares = [each.figures["degraded"]["indrmse"] ** 2 for each in result.images]
    figure = result.method("degraded").figures["indrmse"]
    assert figure.value == pytest.approx(math.sqrt(sum(squares) / len(squares)))
    assert figure.low is not None
    assert figure.high is not None
    assert figure.low < figure.value < figure.high
    # A network that somebody compares is nobody's posterior mean.
    regression.posterior_mean = None
    alone = measure_methods([Degraded(), regression], test_set, networks=networks)
    assert "indrmse" not in alone.method("degraded").figures
    alone = measure_methods([Degraded()], test_set, networks=networks)
    assert {each.key: each.missing for each in alone.metrics}[
        "indrmse"
    ] == "it needs a row of x_reg."
    assert set(chosen) <= set(ALL_METRICS)


def test_a_figure_that_fails_takes_no_other_with_it(photographs: Path) -> None:
    networks = metric_networks(chosen=["psnr", "ssim"])

    def broken(judged: Judged) -> list[float]:
        raise ValueError("sides of\n160 pixels")

    psnr, ssim = networks.image_metrics
    networks = replace(networks, image_metrics=(psnr, replace(ssim, measure=broken)))
    files = find_photographs(photographs)
    test_set = degraded_set(files, photographs, 32, TaskConfig(name="denoise"))
    result = measure_methods([Degraded()], test_set, networks=networks)
    assert set(result.method("degraded").figures) == {"psnr"}
    missing = {each.key: each.missing for each in result.metrics}
    assert missing == {"psnr": "", "ssim": "it failed (ValueError: sides of 160 pixels)."}
