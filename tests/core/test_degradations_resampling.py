"""Resampling against independent formulations: a matrix in float64, Pillow, OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import skimage.data
import torch
from PIL import Image
from torch import Tensor

import ugpnet_core as ug
from ugpnet_core.degradations.resampling import downsample, resample
from ugpnet_core.errors import ConfigError
from ugpnet_core.seeding import rng_for

Floats = npt.NDArray[np.float64]


def portrait() -> npt.NDArray[np.uint8]:
    """A photograph (512, 512, 3)."""
    pixels: npt.NDArray[np.uint8] = skimage.data.astronaut()  # type: ignore[no-untyped-call]
    return pixels


def photograph(height: int, width: int) -> Tensor:
    """Part of a photograph, with hard edges and noise, which filters disagree about."""
    image = torch.from_numpy(portrait()).permute(2, 0, 1)[:, :height, 100 : 100 + width] / 255
    assert image.shape == (3, height, width)
    image[:, height // 3 : height // 2, width // 4 : width // 2] = 1
    image[:, :, width // 5] = 0
    noise = torch.rand(3, height // 4, width, generator=torch.Generator().manual_seed(0))
    image[:, -(height // 4) :] = noise
    return image


def cubic(x: Floats) -> Floats:
    """Keys' kernel with a = -1/2."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def matrix(size: int, factor: int, mirrored: bool) -> Floats:
    """What MATLAB's imresize multiplies a column of ``size`` with (it mirrors at the borders,
    border pixels included); or without the weights outside the image, as Pillow has it."""
    margin = 2 * factor
    places = np.arange(-margin, size + margin)
    centres = (np.arange(size // factor) + 0.5) * factor - 0.5
    weights = cubic((centres[:, None] - places[None, :]) / factor)
    inside = weights[:, margin:-margin].copy()
    if mirrored:
        inside[:, :margin] += weights[:, margin - 1 :: -1]
        inside[:, size - margin :] += weights[:, : size + margin - 1 : -1]
    normalised: Floats = inside / inside.sum(axis=1, keepdims=True)
    return normalised


def reference(image: Tensor, factor: int, mirrored: bool) -> Floats:
    rows = matrix(image.shape[-2], factor, mirrored)
    columns = matrix(image.shape[-1], factor, mirrored)
    resized: Floats = rows @ image.double().numpy() @ columns.T
    return np.clip(resized, 0, 1)


@pytest.mark.parametrize("factor", range(2, 17))
def test_super_resolution_is_antialiased_bicubic(factor: int) -> None:
    image = photograph(6 * factor, 9 * factor)
    task = ug.create_task("sr", factor=factor)
    assert task.scale == factor
    assert task.name == f"sr{factor}"
    ours = task(image, rng_for(0)).numpy()
    assert ours.shape == (3, 6, 9)
    # Everywhere, borders included.
    assert np.abs(ours - reference(image, factor, mirrored=False)).max() < 1e-5
    pillow = [
        Image.fromarray(channel.numpy()).resize((9, 6), Image.Resampling.BICUBIC)
        for channel in image
    ]
    assert np.abs(ours - np.stack([np.asarray(one) for one in pillow]).clip(0, 1)).max() < 1e-5
    # MATLAB mirrors where Pillow leaves out: two pixels along the border may differ.
    inner = (slice(None), slice(2, -2), slice(2, -2))
    matlab = reference(image, factor, mirrored=True)
    assert np.abs(ours - matlab)[inner].max() < 1e-5
    assert np.abs(ours - matlab).max() > 1e-3


def test_8_bit_images_agree_with_pillow_to_one_level() -> None:
    # Less contrast: Pillow's rows overshoot and are clipped before it resizes the columns.
    levels = portrait() // 2 + 64
    pillow = Image.fromarray(levels).resize((64, 64), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(levels).permute(2, 0, 1) / 255
    ours = ug.degrade(pixels, "sr8").permute(1, 2, 0).numpy() * 255
    assert np.abs(ours - np.asarray(pillow, np.float32)).max() <= 1


@pytest.mark.parametrize("factor", [2, 4, 8, 16])
def test_the_usual_factors_have_names(factor: int) -> None:
    image = photograph(33, 40)
    named = ug.degrade(image, f"sr{factor}")
    assert named.shape == (3, -(-33 // factor), -(-40 // factor))
    assert torch.equal(named, ug.degrade(image, "sr", options={"factor": factor}))


@pytest.mark.parametrize("factor", [1, 17, 2.5])
def test_other_factors_are_refused(factor: float) -> None:
    with pytest.raises(ConfigError, match="factor"):
        ug.create_task("sr", factor=factor)


def test_downsampling_is_antialiased() -> None:
    stripes = torch.zeros(3, 64, 64)
    stripes[..., ::2] = 1
    assert (downsample(stripes, 8)[..., 2:-2] - 0.5).abs().max() < 0.01
    assert (downsample(stripes, 8, "area") - 0.5).abs().max() < 1e-6


@pytest.mark.parametrize("size", [(1, 1), (7, 13), (30, 41), (60, 100)])
def test_bilinear_and_area_are_opencvs(size: tuple[int, int]) -> None:
    image = photograph(30, 40)
    pixels = image.permute(1, 2, 0).numpy()

    def difference(ours: Tensor, interpolation: int) -> float:
        theirs = cv2.resize(pixels, (ours.shape[2], ours.shape[1]), interpolation=interpolation)
        return float(np.abs(ours.permute(1, 2, 0).numpy() - theirs).max())

    assert difference(resample(image, size, "bilinear"), cv2.INTER_LINEAR) < 1e-5
    assert difference(downsample(image, 5, "area"), cv2.INTER_AREA) < 1e-5
