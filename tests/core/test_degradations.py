from __future__ import annotations

import dataclasses
import pickle
import random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

import ugpnet_core as ug
from ugpnet_core.degradations import degrade, rng_for
from ugpnet_core.degradations.blur import blur, gaussian_kernel, scaled_kernel_size
from ugpnet_core.degradations.composition import composition
from ugpnet_core.degradations.compression import jpeg
from ugpnet_core.degradations.entries import ugpnet_tasks
from ugpnet_core.degradations.kernels import camera_shake_kernel
from ugpnet_core.degradations.motion import Deblur
from ugpnet_core.degradations.tasks import Blind, Denoise, SuperResolution
from ugpnet_core.errors import ConfigError, PluginError, SizeError

TASKS: list[Any] = [
    Denoise(),
    Deblur(resolution=64),
    SuperResolution(),
    Blind(resolution=64),
    composition(["motion_blur", "blur", "noise", "jpeg"], resolution=64),
]
SIZES = [(1, 1), (1, 9), (17, 16), (33, 20)]

task_parameter = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)


def photograph(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(3, *size, generator=torch.Generator().manual_seed(seed))


@task_parameter
@pytest.mark.parametrize("size", SIZES)
def test_shape_range_and_type(task: Denoise, size: tuple[int, int]) -> None:
    image = photograph(*size)
    before = image.clone()
    for seed in range(4):
        x = task(image, rng_for(seed))
        assert x.shape == (3, *(-(-side // task.scale) for side in size))
        assert x.dtype == torch.float32
        assert x.is_contiguous()
        assert x.min() >= 0
        assert x.max() <= 1
    assert torch.equal(image, before)


@task_parameter
def test_the_generator_is_the_only_source_of_randomness(task: Denoise) -> None:
    image = photograph(24, 24)
    first = task(image, rng_for(1))
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    state = torch.random.get_rng_state()
    assert torch.equal(task(image, rng_for(1)), first)
    assert torch.equal(torch.random.get_rng_state(), state)
    if task.name != "sr8":
        assert not torch.equal(task(image, rng_for(2)), first)


@pytest.mark.parametrize("task", [TASKS[1], TASKS[2]], ids=["deblur", "sr8"])
@pytest.mark.parametrize("size", SIZES)
def test_flat_images_stay_flat(task: Deblur, size: tuple[int, int]) -> None:
    for level in (0.0, 0.37, 1.0):
        x = task(torch.full((3, *size), level), rng_for(0))
        assert (x - level).abs().max() < 1e-5


def test_entries_describe_the_tasks() -> None:
    for entry in ugpnet_tasks():
        task = ug.create_task(entry.name)
        assert entry.scale in (task.scale, None)
        if dataclasses.is_dataclass(task) and entry.name != "composition":
            assert task == type(task)()  # the same defaults in both places


def test_tasks_can_be_sent_to_loader_processes() -> None:
    image = photograph(20, 24)
    for task in TASKS:
        sent = pickle.loads(pickle.dumps(task))
        assert torch.equal(sent(image, rng_for(0)), task(image, rng_for(0)))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.sampled_from([1, 3, 7, 15]), st.integers(0, 99))
def test_blur_is_a_convolution_with_mirrored_borders(
    height: int, width: int, size: int, seed: int
) -> None:
    image = photograph(height, width, seed=seed)
    kernel = photograph(size, size, seed=seed)[0]
    padded = np.pad(image.numpy(), ((0, 0), (size // 2,) * 2, (size // 2,) * 2), mode="reflect")
    expected = functional.conv2d(
        torch.from_numpy(padded)[:, None], kernel.flip(0, 1)[None, None]
    ).squeeze(1)
    assert (blur(image, kernel) - expected).abs().max() < 1e-4


def test_blur_is_linear() -> None:
    kernel = camera_shake_kernel(9, rng_for(0))
    a, b = photograph(13, 20, seed=1), photograph(13, 20, seed=2)
    together = blur(0.3 * a - 2 * b, kernel)
    assert (together - (0.3 * blur(a, kernel) - 2 * blur(b, kernel))).abs().max() < 1e-5


def test_kernel_sizes_scale_and_stay_odd() -> None:
    assert scaled_kernel_size(71, 512) == 71
    assert scaled_kernel_size(71, 128) in {17, 19}
    assert all(scaled_kernel_size(71, r) % 2 for r in range(1, 1100, 7))
    assert Deblur(resolution=128).kernel(999).shape == (17, 17)


def test_the_set_of_kernels_belongs_to_its_seed() -> None:
    one, same, other = Deblur(), Deblur(), Deblur(kernel_seed=1)
    assert torch.equal(one.kernel(7), same.kernel(7))
    assert not torch.equal(one.kernel(7), one.kernel(8))
    assert not torch.equal(one.kernel(7), other.kernel(7))
    # The same movement at another resolution: shrinking the large kernel gives the small one.
    small = Deblur(resolution=128).kernel(7)
    large = functional.interpolate(one.kernel(7)[None, None], size=(17, 17), mode="area")[0, 0]
    assert np.corrcoef(small.flatten(), large.flatten())[0, 1] > 0.8


def test_gaussian_kernel_has_its_moments() -> None:
    kernel = gaussian_kernel(61, 6.0, 2.0, 0.0)
    axis = torch.arange(61) - 30.0
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    assert float((kernel.sum(0) * axis**2).sum()) == pytest.approx(36, rel=0.01)
    assert float((kernel.sum(1) * axis**2).sum()) == pytest.approx(4, rel=0.01)
    turned = gaussian_kernel(61, 6.0, 2.0, np.pi / 2)
    assert (turned - kernel.T).abs().max() < 1e-6


def test_jpeg_gets_worse_with_lower_quality() -> None:
    x = torch.linspace(0, 1, 3 * 32 * 32).view(3, 32, 32) * 0.5 + photograph(32, 32) * 0.5
    errors = [float((jpeg(x, quality) - x).square().mean()) for quality in (95, 60, 10)]
    assert errors == sorted(errors)


def test_rng_for_belongs_to_seed_and_keys() -> None:
    def draw(*arguments: str | int) -> float:
        seed, *keys = arguments
        assert isinstance(seed, int)
        return float(rng_for(seed, *keys).random())

    assert draw(0, "a.png", 1) == draw(0, "a.png", 1)
    different = [(0,), (1,), (0, 0), (0, "0"), (0, "a", "b"), (0, "ab"), (0, "b", "a"), (-1,)]
    assert len({draw(*arguments) for arguments in different}) == len(different)


def test_degrade_one_and_many() -> None:
    batch = torch.stack([photograph(16, 20)] * 2)
    x = degrade(batch, "denoise", seed=3)
    assert x.shape == batch.shape
    assert not torch.equal(x[0], x[1])
    assert torch.equal(degrade(batch[0], "denoise", seed=3), x[0])
    assert degrade(batch, "sr8").shape == (2, 3, 2, 3)
    faint = degrade(batch[0], "denoise", options={"sigma": 0.0, "k": 1e9})
    assert (faint - batch[0]).abs().max() < 1e-3


def test_degrade_refuses_what_it_cannot_do() -> None:
    with pytest.raises(SizeError):
        degrade(torch.rand(1, 8, 8))
    with pytest.raises(PluginError, match="denoise"):
        degrade(photograph(8, 8), "denoize")
    with pytest.raises(ConfigError, match="sigma"):
        degrade(photograph(8, 8), "denoise", options={"sigam": 0.1})
