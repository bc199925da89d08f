"""Kernels of camera shakes: what every one keeps to, how different they are, files of them, and
what deblur does with them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import ugpnet_core as ug
from ugpnet_core.degradations.blur import blur
from ugpnet_core.degradations.kernel_files import load_kernels, save_kernels
from ugpnet_core.degradations.kernels import (
    GENERATOR,
    KernelSet,
    camera_path,
    camera_shake_kernel,
    kernel_set,
)
from ugpnet_core.degradations.motion import Deblur
from ugpnet_core.errors import ConfigError, WeightsError
from ugpnet_core.seeding import rng_for

SIZES = [3, 17, 51, 71]


@pytest.fixture(scope="module")
def kernels() -> npt.NDArray[np.float64]:
    return kernel_set(200, 71, seed=0).kernels.double().numpy()


@pytest.mark.parametrize("size", SIZES)
def test_kernels_keep_energy_and_stay_in_the_middle(size: int) -> None:
    axis = torch.arange(size, dtype=torch.float64) - size // 2
    for kernel in kernel_set(40, size, seed=1).kernels:
        assert kernel.shape == (size, size)
        assert kernel.dtype == torch.float32
        assert kernel.min() >= 0
        assert float(kernel.double().sum()) == pytest.approx(1, abs=1e-6)
        assert abs(float(kernel.double().sum(0) @ axis)) < 1e-3
        assert abs(float(kernel.double().sum(1) @ axis)) < 1e-3


def test_nothing_is_cut_off(kernels: npt.NDArray[np.float64]) -> None:
    border = np.ones((71, 71), bool)
    border[1:-1, 1:-1] = False
    assert kernels[:, border].max() == 0


def test_a_kernel_is_one_stroke_without_gaps(kernels: npt.NDArray[np.float64]) -> None:
    for kernel in kernels:
        # Faint pixels count: the stroke holds together where the camera was fastest, too.
        stroke = kernel > 0.02 / np.count_nonzero(kernel)
        labels, _ = cv2.connectedComponents(stroke.astype(np.uint8))
        assert labels == 2  # the background and one piece


def test_the_camera_moves_smoothly() -> None:
    for index in range(50):
        path = camera_path(rng_for(0, index))
        velocity = np.diff(path[::25], axis=0)
        change = np.linalg.norm(np.diff(velocity, axis=0), axis=1)
        assert change.max() < 0.5 * np.linalg.norm(velocity, axis=1).max()


def test_kernels_are_strokes_of_many_lengths_shapes_and_speeds(
    kernels: npt.NDArray[np.float64],
) -> None:
    paths = np.stack([camera_path(rng_for(0, index)) for index in range(200)])
    assert np.abs(paths).max() < 1
    reach = np.abs(paths).max(axis=(1, 2))
    assert np.quantile(reach, 0.1) < 0.35
    assert np.quantile(reach, 0.9) > 0.8
    # How wide a movement is across its main direction: 0 is a straight line, 1 is a circle.
    width = [np.divide(*np.linalg.svd(path[::20], compute_uv=False)[::-1]) for path in paths]
    assert 0.2 < np.median(width) < 0.5
    assert np.mean(np.array(width) < 0.03) < 0.05
    # The trace is bright where the camera was slow.
    speed = np.linalg.norm(np.diff(paths, axis=1), axis=2)
    assert np.median(speed.max(1) / np.median(speed, axis=1)) > 1.5
    # No direction is preferred: the mean covariance of the positions is a circle's.
    covariance = np.mean([path.T @ path / np.square(path).sum() for path in paths], axis=0)
    assert np.abs(covariance - np.eye(2) / 2).max() < 0.1
    # A stroke is thin: it covers little of the window.
    assert np.median(np.count_nonzero(kernels, axis=(1, 2))) < 0.1 * 71 * 71


def reference_path(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """The model of the module's docstring, by scipy's Bessel functions and numpy's Cholesky."""
    from scipy.special import gamma, kv

    trembles = rng.random() < 0.4
    memory = 0.25 * (0.9 / 0.25) ** rng.random()
    exposure = 0.1 + 0.25 * rng.random()  # seconds
    hertz = 8 + 4 * rng.random()
    tremor = 0.02 + 0.1 * rng.random() if trembles else 0.0
    u, v = 0.7 * rng.random(2) - 0.35
    extent = 0.2 + 0.76 * rng.random()
    apart = np.abs(np.subtract.outer(np.arange(160), np.arange(160))) / 159
    # Matern of smoothness 5/2, by its definition.
    scaled = np.sqrt(2 * 2.5) * np.where(apart == 0, 1e-9, apart) / memory
    covariance = 2 ** (1 - 2.5) / gamma(2.5) * scaled**2.5 * kv(2.5, scaled)
    np.fill_diagonal(covariance, 1 + 1e-8)
    shiver = np.cos(2 * np.pi * hertz * exposure * apart) * np.exp(-2 * apart**2)
    factor = np.linalg.cholesky(covariance + tremor**2 * shiver)
    yaw, pitch, roll = (factor @ rng.standard_normal((160, 3))).T
    instants = (np.arange(4000) + 0.5) / 4000
    x, y = (
        np.interp(instants, np.arange(160) / 159, axis)
        for axis in (yaw - v * roll, pitch + u * roll)
    )
    path = np.stack([x - x.mean(), y - y.mean()], axis=1)
    return np.asarray(path * extent / np.abs(path).max())


def test_a_path_is_that_of_the_model_that_is_described() -> None:
    # The same seed gives the same kernels as long as the generator has the same number.
    assert GENERATOR == "1"
    for index in range(12):
        made, expected = camera_path(rng_for(7, index)), reference_path(rng_for(7, index))
        assert np.abs(made - expected).max() < 1e-4


def test_a_path_fills_a_fifth_to_nearly_all_of_the_window_evenly() -> None:
    # The extent is uniform: the distance to its distribution function is Kolmogorov's.
    reach = np.sort([np.abs(camera_path(rng_for(3, index))).max() for index in range(100)])
    uniform = (reach - 0.2) / (0.96 - 0.2)
    assert uniform[0] > 0
    assert uniform[-1] < 1
    assert np.abs(uniform - (np.arange(100) + 0.5) / 100).max() < 1.36 / 10  # 5 %


def test_a_set_belongs_to_its_seed_and_not_to_its_count() -> None:
    few, many, other = kernel_set(3, 17), kernel_set(9, 17), kernel_set(3, 17, seed=1)
    assert torch.equal(few.kernels, many.kernels[:3])
    assert not torch.equal(few.kernels, other.kernels)
    assert len({kernel.numpy().tobytes() for kernel in many.kernels}) == 9
    assert torch.equal(many.kernels[8], camera_shake_kernel(17, rng_for(0, 8)))


@pytest.mark.parametrize("size", [17, 71])
def test_blur_is_opencvs_filter_with_the_kernel_turned(size: int) -> None:
    image = torch.rand(3, 90, 83, generator=torch.Generator().manual_seed(0))
    kernel = camera_shake_kernel(size, rng_for(0))
    expected = cv2.filter2D(
        image.permute(1, 2, 0).numpy().astype(np.float64),
        -1,
        kernel.flip(0, 1).double().numpy(),
        borderType=cv2.BORDER_REFLECT_101,
    )
    assert np.abs(blur(image, kernel).permute(1, 2, 0).numpy() - expected).max() < 1e-5


def test_deblur_is_that_of_the_paper_unless_told_otherwise() -> None:
    task = Deblur()
    assert (task.scale, task.count()) == (1, 1000)
    assert torch.equal(task.kernel(999), camera_shake_kernel(71, rng_for(0, 999)))
    for seed in range(3):
        expected = task.kernel(int(np.random.default_rng(seed).integers(1000)))
        assert torch.equal(task.drawn_kernel(np.random.default_rng(seed)), expected)


def test_deblur_keeps_colours_and_energy() -> None:
    task = Deblur(resolution=128)
    rng = torch.Generator().manual_seed(0)
    grey = torch.rand(1, 60, 60, generator=rng)
    tinted = grey * torch.tensor([0.9, 0.5, 0.2]).view(3, 1, 1)
    # What lies far enough from the border keeps all of its light.
    inside = torch.zeros(3, 60, 60)
    inside[:, 20:40, 20:40] = torch.rand(3, 20, 20, generator=rng)
    for seed in range(5):
        x = task(tinted, rng_for(seed))
        assert (x[1] / x[0] - 5 / 9).abs().max() < 1e-4
        assert (x[2] / x[0] - 2 / 9).abs().max() < 1e-4
        assert task(inside, rng_for(seed)).sum().item() == pytest.approx(inside.sum().item(), 1e-4)


def test_a_saved_set_is_read_as_it_was(tmp_path: Path) -> None:
    made = kernel_set(4, 9, seed=3)
    save_kernels(made, tmp_path / "shakes.safetensors")
    read = load_kernels(tmp_path / "shakes.safetensors")
    assert torch.equal(read.kernels, made.kernels)
    assert (read.seed, read.generator) == (3, made.generator)
    save_kernels(KernelSet(made.kernels), tmp_path / "others.safetensors")
    others = load_kernels(tmp_path / "others.safetensors")
    assert (others.seed, others.generator) == (None, None)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"weights": torch.ones(1, 1, 1)}, "no tensor 'kernels'"),
        ({"kernels": torch.ones(2, 2)}, r"shape \(2, 2\)"),
        ({"kernels": torch.full((1, 2, 2), 0.25)}, "odd"),
        ({"kernels": torch.zeros(0, 3, 3)}, r"shape \(0, 3, 3\)"),
        ({"kernels": torch.full((1, 1, 1), float("nan"))}, "finite"),
        ({"kernels": torch.ones(1, 1, 1, dtype=torch.int64)}, "finite numbers"),
        ({"kernels": torch.tensor([[[-1.0, 1, 0], [1, 0, 0], [0, 0, 0]]])}, "negative"),
        ({"kernels": torch.ones(1, 3, 3)}, "sum 1"),
        ({"kernels": torch.full((2, 1, 1), 1.002)}, "sum 1"),
        ({"kernels": torch.full((2, 1, 1), 0.998)}, "sum 1"),
    ],
)
def test_other_files_are_no_kernels(
    tensors: dict[str, Tensor], message: str, tmp_path: Path
) -> None:
    save_file(tensors, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=message):
        load_kernels(tmp_path / "other.safetensors")


def test_deblur_draws_from_a_saved_set(tmp_path: Path) -> None:
    path = tmp_path / "shakes.safetensors"
    save_kernels(kernel_set(5, 9, seed=2), path)
    image = torch.rand(3, 20, 22, generator=torch.Generator().manual_seed(0))
    saved = ug.degrade(image, "deblur", seed=1, options={"kernels": str(path)})
    # Kernels of 9 pixels at 512 pixels are what deblur would make for the same numbers.
    made = {"kernel_size": 9, "kernel_count": 5, "kernel_seed": 2}
    assert torch.equal(saved, ug.degrade(image, "deblur", seed=1, options=made))
    # They are used as they are, at every resolution.
    small = ug.degrade(image, "deblur", seed=1, options={"kernels": path, "resolution": 64})
    assert torch.equal(saved, small)
    drawn = {ug.degrade(image, "deblur", s, {"kernels": path}).numpy().tobytes() for s in range(60)}
    assert len(drawn) == 5


def test_one_set_is_chosen_and_read_when_it_is_needed(tmp_path: Path) -> None:
    missing = tmp_path / "missing.safetensors"
    with pytest.raises(ConfigError, match="leave out kernel_count and kernel_size"):
        ug.create_task("deblur", kernels=missing, kernel_size=9, kernel_count=3)
    task = ug.create_task("deblur", kernels=missing)
    with pytest.raises(WeightsError, match=r"missing\.safetensors"):
        task(torch.rand(3, 8, 8), rng_for(0))
