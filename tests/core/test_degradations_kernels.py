"""Kernels of camera shakes: what every one keeps to, and how different they are."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch

from ugpnet_core.degradations.kernels import (
    camera_path,
    camera_shake_kernel,
    kernel_set,
)
from ugpnet_core.degradations.seeding import rng_for

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


def test_a_set_belongs_to_its_seed_and_not_to_its_count() -> None:
    few, many, other = kernel_set(3, 17), kernel_set(9, 17), kernel_set(3, 17, seed=1)
    assert torch.equal(few.kernels, many.kernels[:3])
    assert not torch.equal(few.kernels, other.kernels)
    assert len({kernel.numpy().tobytes() for kernel in many.kernels}) == 9
    assert torch.equal(many.kernels[8], camera_shake_kernel(17, rng_for(0, 8)))
