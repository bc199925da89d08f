"""Task ``blind`` against the published pipeline, written with OpenCV."""

from __future__ import annotations

import inspect
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

import ugpnet_core as ug
from ugpnet_core.degradations.blur import gaussian_kernel
from ugpnet_core.degradations.steps import Blur, Downsample
from ugpnet_core.degradations.tasks import Blind
from ugpnet_core.errors import ConfigError
from ugpnet_core.seeding import rng_for

# As in the configuration that GFPGAN was published with.
PUBLISHED: dict[str, Any] = {
    "blur_kernel_size": 41,
    "kernel_list": ("iso", "aniso"),
    "kernel_prob": (0.5, 0.5),
    "blur_sigma": (0.1, 10),
    "downsample_range": (0.8, 8),
    "noise_range": (0, 20),
    "jpeg_range": (60, 100),
}


def photograph(size: int) -> Tensor:
    smooth = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    image = torch.nn.functional.interpolate(smooth, size, mode="bicubic").clamp(0, 1)[0]
    image[:, size // 3 : size // 2, size // 4 : size // 2] = 1
    return image


def test_names_and_defaults_are_the_published_ones() -> None:
    entry = next(entry for entry in ug.list_tasks() if entry.name == "blind")
    options = entry.options().model_dump()
    assert options == {"resolution": 512, **PUBLISHED}
    assert Blind() == Blind(**PUBLISHED)
    assert set(PUBLISHED) < set(inspect.signature(Blind).parameters)


@pytest.mark.parametrize("factor", [0.8, 1.7, 2.5, 7.9])
def test_without_noise_it_is_opencvs_pipeline(factor: float) -> None:
    image = photograph(97)
    quality, sigma = 80, 3.0
    options = {
        "blur_sigma": sigma,
        "kernel_list": ["iso"],
        "kernel_prob": [1],
        "downsample_range": factor,
        "noise_range": 0,
        "jpeg_range": quality,
    }
    ours = ug.degrade(image, "blind", options=options).permute(1, 2, 0).numpy()

    axis = np.arange(41) - 20.0
    one = np.exp(-0.5 * (axis / sigma) ** 2)
    kernel = np.outer(one, one) / one.sum() ** 2
    x = cv2.filter2D(image.permute(1, 2, 0).numpy()[..., ::-1], -1, kernel)
    side = int(97 // factor)
    x = cv2.resize(x, (side, side), interpolation=cv2.INTER_LINEAR)
    levels = np.rint(x * 255).clip(0, 255).astype(np.uint8)
    _, file = cv2.imencode(".jpg", levels, [int(cv2.IMWRITE_JPEG_QUALITY), quality])
    decoded = cv2.imdecode(file, cv2.IMREAD_COLOR)
    assert decoded is not None
    x = decoded.astype(np.float32) / 255
    expected = cv2.resize(x, (97, 97), interpolation=cv2.INTER_LINEAR)[..., ::-1]
    difference = np.abs(ours - expected)
    # A level may be rounded otherwise where it lies between two.
    assert difference.max() < 2 / 255
    assert difference.mean() < 0.05 / 255


def test_noise_is_of_the_small_image_and_of_255() -> None:
    options = {
        "blur_sigma": 0.1,
        "downsample_range": 1,
        "noise_range": [20, 20],
        "jpeg_range": 100,
    }
    x = ug.degrade(torch.full((3, 200, 200), 0.5), "blind", options=options)
    # JPEG halves the resolution of colour, which takes noise away, so brightness is looked at.
    luma = (x * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(0)
    expected = 20 / 255 * (0.299**2 + 0.587**2 + 0.114**2) ** 0.5
    assert luma.std().item() == pytest.approx(expected, rel=0.05)
    coarse = ug.degrade(
        torch.full((3, 200, 200), 0.5), "blind", options=options | {"downsample_range": 4}
    )
    neighbours = coarse[:, :, 1:] - coarse[:, :, :-1]
    assert neighbours.std() < 0.5 * (x[:, :, 1:] - x[:, :, :-1]).std()


def test_half_of_the_kernels_are_round() -> None:
    impulse = torch.zeros(3, 41, 41)
    impulse[:, 20, 20] = 1
    axis = torch.arange(41.0) - 20
    step = Blur((0.5, 4.0), 0.5, 41)
    ratios, widths = [], []
    for seed in range(300):
        kernel = step(impulse, rng_for(seed), (41, 41))[0].clamp(min=0)
        across = torch.stack(
            [
                (kernel.sum(0) * axis**2).sum(),
                (kernel.sum(1) * axis**2).sum(),
                (kernel * axis[:, None] * axis).sum(),
            ]
        )
        covariance = torch.tensor([[across[0], across[2]], [across[2], across[1]]])
        low, high = torch.linalg.eigvalsh(covariance / kernel.sum()).sqrt().tolist()
        ratios.append(high / low)
        widths.append(high)
    assert 0.4 < np.mean(np.array(ratios) < 1.02) < 0.62
    assert min(widths) < 0.8
    assert 3.5 < max(widths) < 4.05


def test_factors_are_drawn_from_the_range_and_fitted_to_the_resolution() -> None:
    def sides(resolution: int) -> list[int]:
        step = Downsample((0.8, 8.0), "bilinear", resolution / 512)
        image = torch.rand(3, resolution, resolution)
        size = (resolution, resolution)
        return [step(image, rng_for(seed), size).shape[-1] for seed in range(60)]

    at_512 = sides(512)
    assert 64 <= min(at_512) < 80
    assert 256 < max(at_512) <= 640
    # As many pixels are left of a smaller image: but it has no more than it has.
    at_128 = sides(128)
    assert 64 <= min(at_128) < 80
    assert at_128.count(128) > 15
    assert max(at_128) <= 160


def test_strength_scales_with_the_resolution() -> None:
    image = photograph(128)
    options = {"blur_sigma": 8, "kernel_list": ["iso"], "kernel_prob": [1], "noise_range": 0}
    options |= {"downsample_range": 1, "jpeg_range": 100}
    x = ug.degrade(image, "blind", options=options | {"resolution": 128})
    kernel = gaussian_kernel(11, 2.0, 2.0, 0.0).double().numpy()
    expected = cv2.filter2D(image.permute(1, 2, 0).numpy(), -1, kernel)
    luma = (x - torch.from_numpy(expected).permute(2, 0, 1)).mean(0)
    assert luma.abs().mean() < 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blur_sigma": [10, 0.1]}, "'blur_sigma'.*10 is larger than 0.1"),
        ({"blur_sigma": [1, 2, 3]}, "'blur_sigma'"),
        ({"blur_sigma": "wide"}, "'blur_sigma'"),
        ({"downsample_range": [0, 8]}, "'downsample_range.0'"),
        ({"noise_range": [-1, 8]}, "'noise_range.0'"),
        ({"jpeg_range": [0, 100]}, "'jpeg_range.0'"),
        ({"kernel_prob": [1]}, "one probability for each"),
        ({"kernel_prob": [0.7, 0.7]}, "sum 1"),
        ({"kernel_prob": [float("nan"), 1]}, "sum 1"),
        ({"kernel_list": ["round", "aniso"]}, "'kernel_list.0'"),
        ({"blur_sigmas": 3}, "did you mean 'blur_sigma'"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ug.create_task("blind", **options)
