"""The shipped models: their files, their cards, and what they do to photographs they have never
seen."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import ugpnet_core as ug
from ugpnet_core.degradations import rng_for
from ugpnet_core.factory import create_task, create_task_at
from ugpnet_core.image import center_square
from ugpnet_core.metrics.pixel import psnr
from ugpnet_core.model_files.finding import find_model_file
from ugpnet_core.model_files.model import read_card

skimage_data = pytest.importorskip("skimage.data", reason="the sample portrait is scikit-image's")


MODELS = ("portraits", "portraits-denoise", "portraits-deblur", "portraits-sr8")


@pytest.fixture(scope="module")
def portrait() -> Tensor:
    """The head of the astronaut, (3, 256, 256)."""
    picture = torch.from_numpy(skimage_data.astronaut()).permute(2, 0, 1).float() / 255
    return center_square(picture[:, 0:230, 110:340], 256)


@pytest.mark.parametrize("name", MODELS)
def test_the_file_is_small_and_describes_itself(name: str) -> None:
    path = find_model_file(name)
    assert path.stat().st_size <= 26 * 2**20
    card = read_card(name)
    assert set(card.record["stages"]) >= {"restoration", "synthesis", "fusion"}
    assert "SqueezeNet" in card.record["perceptual"]["lpips"]
    assert card.licence


@pytest.mark.parametrize("name", MODELS)
def test_the_entry_says_what_the_file_holds(name: str) -> None:
    entry = next(entry for entry in ug.list_models() if entry.name == name)
    model = ug.load_model(name)
    assert entry.task == model.config.task.name
    assert entry.resolution == model.resolution
    assert entry.parameters == sum(p.numel() for p in model.parameters())
    assert entry.backbone == model.config.backbone.name
    assert entry.prior == model.config.prior.name
    assert entry.domain == "faces"


@pytest.mark.parametrize("name", MODELS)
def test_the_model_card_is_complete(name: str) -> None:
    path = Path(str(find_model_file(name))).with_name(f"{name}.md")
    text = path.read_text(encoding="utf-8").lower()
    for section in ("data", "recipe", "figures", "limits"):
        assert f"## {section}" in text


@pytest.mark.parametrize("seed", [1, 2])
def test_a_portrait_is_restored(portrait: Tensor, seed: int) -> None:
    restorer = ug.Restorer("portraits-denoise", device="cpu")
    task = create_task_at(restorer.model.config.task, 256)
    degraded = task(portrait, rng_for(seed, "portrait"))
    restored = restorer(degraded)
    before = psnr(degraded[None], portrait[None]).item()
    regression = psnr(restored.regression[None], portrait[None]).item()
    after = psnr(restored.image[None], portrait[None]).item()
    assert regression > before + 10
    assert after > before + 10
    assert after > regression - 1


PHOTOGRAPHS = ("astronaut", "coffee", "chelsea")


@pytest.fixture(scope="module")
def default() -> ug.Restorer:
    return ug.Restorer("portraits", device="cpu")


@pytest.fixture(scope="module", params=PHOTOGRAPHS)
def photograph(request: pytest.FixtureRequest) -> Tensor:
    """A whole photograph that no training saw, (3, 256, 256)."""
    pixels = getattr(skimage_data, request.param)().copy()
    return center_square(torch.from_numpy(pixels).permute(2, 0, 1).float() / 255, 256)


def gain(restored: Tensor, x: Tensor, clean: Tensor) -> float:
    return (psnr(restored[None], clean[None]) - psnr(x[None], clean[None])).item()


def test_a_clean_photograph_stays_as_it_is(default: ug.Restorer, photograph: Tensor) -> None:
    restored = default(photograph)
    assert psnr(restored.image[None], photograph[None]).item() > 38
    assert (255 * (restored.image - photograph).mean((1, 2))).abs().max() < 1


@pytest.mark.parametrize(("sigma", "least"), [(0.02, 0.0), (0.04, 2.0), (0.08, 5.0), (0.3, 7.0)])
def test_noise_is_taken_away(
    default: ug.Restorer, photograph: Tensor, sigma: float, least: float
) -> None:
    rng = torch.Generator().manual_seed(0)
    x = (photograph + sigma * torch.randn(photograph.shape, generator=rng)).clamp(0, 1)
    assert gain(default(x).image, x, photograph) > least


def test_compression_and_blur_get_no_worse(default: ug.Restorer, photograph: Tensor) -> None:
    for steps in ([{"jpeg": {"quality": 25}}], [{"blur": {"sigma": 1.5, "kernel_size": 11}}]):
        task = create_task("composition", steps=steps)
        x = task(photograph, rng_for(0))
        assert gain(default(x).image, x, photograph) > -0.05


def test_a_grey_photograph_comes_back_grey(default: ug.Restorer, photograph: Tensor) -> None:
    grey = photograph.mean(0, keepdim=True)
    noise = 0.08 * torch.randn(grey.shape, generator=torch.Generator().manual_seed(0))
    x = (grey + noise).clamp(0, 1).repeat(3, 1, 1)
    restored = default(x).image
    assert torch.equal(restored[0], restored[1])
    assert torch.equal(restored[1], restored[2])
    assert gain(restored, x, grey.repeat(3, 1, 1)) > 4


def test_flat_content_does_not_show_the_tiles(default: ug.Restorer) -> None:
    flat = torch.full((3, 300, 700), 0.5)
    restored = default(flat).image
    assert (restored - 0.5).abs().max() <= 1 / 255
    smaller = ug.Restorer("portraits", device="cpu", tile=192)(flat).image
    assert (restored - smaller).abs().max() <= 1 / 255
