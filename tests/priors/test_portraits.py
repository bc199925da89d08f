"""The shipped model: its file, its card, and that it restores a portrait it has never seen."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import ugpnet_core as ug
from ugpnet_core.degradations import rng_for
from ugpnet_core.evaluation.metrics import psnr
from ugpnet_core.factory import create_task_at
from ugpnet_core.image import center_square
from ugpnet_core.model_file import find_model_file, read_card

skimage_data = pytest.importorskip("skimage.data", reason="the sample portrait is scikit-image's")


@pytest.fixture(scope="module")
def portrait() -> Tensor:
    """The head of the astronaut, (3, 128, 128)."""
    picture = torch.from_numpy(skimage_data.astronaut()).permute(2, 0, 1).float() / 255
    return center_square(picture[:, 0:230, 110:340], 128)


def test_the_file_is_small_and_describes_itself() -> None:
    path = find_model_file("portraits-denoise")
    assert path.stat().st_size <= 12 * 2**20
    card = read_card("portraits-denoise")
    assert card.config.task.name == "denoise"
    assert set(card.record["stages"]) >= {"restoration", "synthesis", "fusion"}
    assert "SqueezeNet" in card.record["perceptual"]["lpips"]
    assert card.licence


def test_the_entry_says_what_the_file_holds() -> None:
    entry = next(entry for entry in ug.list_models() if entry.name == "portraits-denoise")
    model = ug.load_model("portraits-denoise")
    assert entry.resolution == model.resolution
    assert entry.parameters == sum(p.numel() for p in model.parameters())
    assert entry.backbone == model.config.backbone.name
    assert entry.prior == model.config.prior.name


def test_the_model_card_is_complete() -> None:
    path = Path(str(find_model_file("portraits-denoise"))).with_name("MODEL_CARD.md")
    text = path.read_text(encoding="utf-8").lower()
    for section in ("data", "recipe", "figures", "limits"):
        assert f"## {section}" in text


@pytest.mark.parametrize("seed", [1, 2])
def test_a_portrait_is_restored(portrait: Tensor, seed: int) -> None:
    restorer = ug.Restorer("portraits-denoise", device="cpu")
    task = create_task_at(restorer.model.config.task, 128)
    degraded = task(portrait, rng_for(seed, "portrait"))
    restored = restorer(degraded)
    before = psnr(degraded[None], portrait[None]).item()
    regression = psnr(restored.regression[None], portrait[None]).item()
    after = psnr(restored.image[None], portrait[None]).item()
    assert regression > before + 10
    assert after > before + 10
    assert after > regression - 1


def test_flat_content_does_not_show_the_tiles() -> None:
    # The generator's texture is anchored to its tile, so single pixels may differ by more than
    # 1/255 between two layouts of tiles; a seam would show in the local means.
    flat = torch.full((3, 128, 300), 0.5)
    spread = ug.Restorer("portraits-denoise", device="cpu")(flat).image
    dense = ug.Restorer("portraits-denoise", device="cpu", tile=64)(flat).image
    difference = spread - dense
    assert difference.abs().mean() <= 1 / 255
    assert torch.nn.functional.avg_pool2d(difference[None], 16, 4).abs().max() <= 2 / 255
