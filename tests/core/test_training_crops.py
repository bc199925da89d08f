"""Random crops of photographs of any size: ``data.crops``."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from torch import Tensor

from ugpnet_core.config import CropSource, DataConfig, RestorationStageConfig, TrainConfig
from ugpnet_core.errors import ConfigError, TrainingError
from ugpnet_core.factory import create_task
from ugpnet_core.image import write_image
from ugpnet_core.protocols import Task
from ugpnet_core.training.checkpoint import read_result
from ugpnet_core.training.crops import (
    Collection,
    CropPairs,
    CropPhotographs,
    crops_listing,
    read_crop_photographs,
)
from ugpnet_core.training.data import training_batches
from ugpnet_core.training.restoration import RestorationStage
from ugpnet_core.training.run import train


@dataclass
class Same:
    """A task that leaves images as they are."""

    name: str = "same"
    scale: int = 1

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        return image


def places(height: int, width: int, kind: int = 0) -> Tensor:
    """Pixels that know their place: red the row, green the column, blue a kind; uint8."""
    rows = torch.arange(height).view(-1, 1).expand(height, width)
    columns = torch.arange(width).expand(height, width)
    return torch.stack([rows, columns, torch.full((height, width), kind)]).to(torch.uint8)


def crop_pairs(
    *collections: Collection, seed: int = 0, stage: str = "restoration", **settings: Any
) -> CropPairs:
    task: Task = settings.pop("task", Same())
    settings = {"crop": 4, **settings}
    return CropPairs(CropPhotographs(collections), task, seed, stage, **settings)


def levels(image: Tensor) -> np.ndarray[Any, Any]:
    return (image * 255).round().to(torch.uint8).numpy()


def within(count: int, draws: int, probability: float) -> bool:
    """Whether a count is that of a probability, within five standard deviations."""
    return abs(count - draws * probability) <= 5 * math.sqrt(
        draws * probability * (1 - probability)
    )


# What is cut


def test_crops_lie_inside_anywhere_and_are_not_distorted() -> None:
    source = crop_pairs(Collection([[places(9, 13)]], 1.0, turn=False), flip=False)
    corners: Counter[tuple[int, int]] = Counter()
    for index in range(1200):
        clean, degraded = source[index]
        assert clean.shape == (3, 4, 4)
        assert clean.is_contiguous()
        assert torch.equal(clean, degraded)
        top, left, _ = levels(clean)[:, 0, 0]
        corners[int(top), int(left)] += 1
        assert (levels(clean) == places(9, 13)[:, top : top + 4, left : left + 4].numpy()).all()
    # Every place, the outermost ones among them, alike.
    assert corners.keys() == {(top, left) for top in range(6) for left in range(10)}
    assert all(within(count, 1200, 1 / 60) for count in corners.values())


def test_a_photograph_of_the_size_of_a_crop_is_the_crop() -> None:
    source = crop_pairs(Collection([[places(4, 4)]], 1.0, turn=False), flip=False)
    assert (levels(source[7].clean) == places(4, 4).numpy()).all()


@pytest.mark.parametrize(
    ("flip", "turn", "ways"),
    [(True, False, 2), (False, True, 4), (True, True, 8), (False, False, 1)],
)
def test_crops_are_mirrored_and_turned_alike_often(flip: bool, turn: bool, ways: int) -> None:
    source = crop_pairs(Collection([[places(4, 4)]], 1.0, turn=turn), flip=flip)
    seen = Counter(levels(source[index].clean).tobytes() for index in range(1600))
    assert len(seen) == ways
    if ways > 1:
        assert all(within(count, 1600, 1 / ways) for count in seen.values())
    original = places(4, 4).numpy()
    expected = set()
    for mirrored in (original, original[..., ::-1]) if flip else (original,):
        for quarter in range(4) if turn else (0,):
            expected.add(np.rot90(mirrored, quarter, (-2, -1)).tobytes())
    assert seen.keys() == expected


def test_sources_photographs_and_scales_come_as_often_as_they_should() -> None:
    first = Collection([[places(4, 4, kind) for kind in (10, 11)], [places(6, 5, 20)]], 3.0, False)
    second = Collection([[places(5, 8, 30)]], 1.0, False)
    source = crop_pairs(first, second)
    kinds = Counter(int(levels(source[index].clean)[2, 0, 0]) for index in range(2000))
    # Shares 3 and 1; in the first, two photographs alike; of the first one, two sizes alike.
    for kind, share in ((10, 3 / 16), (11, 3 / 16), (20, 3 / 8), (30, 1 / 4)):
        assert within(kinds[kind], 2000, share), kind
    assert sum(kinds.values()) == 2000


def test_an_item_depends_on_seed_stage_and_number_alone() -> None:
    torch.manual_seed(0)
    collection = Collection([[torch.randint(256, (3, 20, 30)).to(torch.uint8)]], 1.0, True)

    def items(indices: range, **settings: Any) -> list[Tensor]:
        source = crop_pairs(collection, task=create_task("photo"), **settings)
        return [torch.cat(list(source[index])) for index in indices]

    forwards = items(range(20))
    torch.manual_seed(1)
    backwards = items(range(19, -1, -1))[::-1]
    assert all(map(torch.equal, forwards, backwards))
    for other in (items(range(20), seed=1), items(range(20), stage="fusion")):
        assert not any(map(torch.equal, forwards, other))
    assert len({item.numpy().tobytes() for item in forwards}) == 20


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_the_same_with_workers_and_from_the_middle(workers: int) -> None:
    source = crop_pairs(
        Collection([[places(20, 30)]], 1.0, True), task=create_task("photo"), crop=8
    )
    whole = list(training_batches(source, first=0, last=5, batch_size=3))
    rest = list(training_batches(source, first=2, last=5, batch_size=3, workers=workers))
    for one, other in zip(whole[2:], rest, strict=True):
        assert one.clean.shape == (3, 3, 8, 8)
        assert torch.equal(one.clean, other.clean)
        assert torch.equal(one.degraded, other.degraded)


def test_a_task_that_makes_images_smaller_gets_crops_too() -> None:
    source = crop_pairs(Collection([[places(9, 13)]], 1.0, False), task=create_task("sr4"), crop=8)
    assert source[0].degraded.shape == (3, 2, 2)


def test_the_clean_crop_is_what_the_task_wants_back() -> None:
    collection = Collection([[places(9, 13, kind=90)]], 1.0, False)
    task = create_task("photo", grey=1, untouched=0)
    clean = crop_pairs(collection, task=task)[0].clean
    assert torch.equal(clean[0], clean[2])


# What is read


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A large photograph, one that a crop of 16 just fits into, a small and a damaged one."""
    for name, size in (
        ("large.png", (40, 60)),
        ("inner/fits.png", (16, 50)),
        ("small.png", (15, 90)),
    ):
        write_image(tmp_path / "photos" / name, torch.rand(3, *size))
    damaged = (tmp_path / "photos" / "large.png").read_bytes()[:300]
    (tmp_path / "photos" / "damaged.png").write_bytes(damaged)
    return tmp_path / "photos"


def test_photographs_are_there_in_all_scales_that_a_crop_fits_into(folder: Path) -> None:
    source = CropSource(path=folder, share=2.5, scales=[1, 0.5, 0.41, 0.3], turn=True)
    read = read_crop_photographs([source], 16)
    (collection,) = read.collections
    assert (collection.share, collection.turn) == (2.5, True)
    sizes = [[tuple(one.shape) for one in photograph] for photograph in collection.sizes]
    assert sizes == [[(3, 16, 50)], [(3, 40, 60), (3, 20, 30), (3, 16, 25)]]
    assert all(one.dtype == torch.uint8 for photograph in collection.sizes for one in photograph)
    assert len(read) == 2


def test_pixels_are_those_of_the_file_and_smaller_ones_are_antialiased(tmp_path: Path) -> None:
    pixels = torch.randint(256, (30, 40, 3), generator=torch.Generator().manual_seed(0))
    picture = Image.fromarray(pixels.to(torch.uint8).numpy())
    picture.save(tmp_path / "noise.png")
    read = read_crop_photographs([CropSource(path=tmp_path, scales=[1, 0.5])], 8)
    ((whole, half),) = read.collections[0].sizes
    assert torch.equal(whole.permute(1, 2, 0).long(), pixels)
    pillow = np.asarray(picture.resize((20, 15), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(half.permute(1, 2, 0).numpy().astype(int) - pillow).max() <= 1


def test_what_is_too_small_or_damaged_is_named(folder: Path) -> None:
    read = read_crop_photographs([CropSource(path=folder)], 16)
    damaged, small = read.unreadable
    assert damaged.startswith(f"{folder}/damaged.png is ")
    assert small == f"{folder}/small.png is smaller than a crop of 16 pixels."


def test_a_source_without_photographs_is_an_error(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=rf"of at least 61 pixels in {folder}; give another"):
        read_crop_photographs([CropSource(path=folder)], 61)
    missing = CropSource(path=tmp_path / "nowhere")
    for take in (lambda: read_crop_photographs([missing], 16), lambda: crops_listing([missing])):
        with pytest.raises(TrainingError, match=r"There is no folder .*nowhere; set data\.crops\."):
            take()


def test_the_listing_changes_with_names_sizes_and_folders(folder: Path, tmp_path: Path) -> None:
    first, second = CropSource(path=folder), CropSource(path=folder / "inner")
    before = crops_listing([first])
    assert before == crops_listing([first])
    assert len({before, crops_listing([second]), crops_listing([first, second])}) == 3
    write_image(folder / "more.png", torch.rand(3, 20, 20))
    assert crops_listing([first]) != before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scales": [1, 1.5]}, "scales above 0 and up to 1, as enlarged photographs would teach"),
        ({"scales": [0]}, "scales above 0"),
        ({"scales": []}, "at least 1 item"),
        ({"share": 0}, "greater than 0"),
        ({"share": math.inf}, "finite"),
        ({"path": "photos.tar"}, r"crops are cut from folders, and photos\.tar is a shard; unpack"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CropSource.model_validate({"path": "photos", **settings})


def test_crops_need_a_size() -> None:
    settings = {"train": ["a"], "validation": ["a"], "crops": [{"path": "a"}]}
    with pytest.raises(ValidationError, match=r"set data\.crop to their side in pixels"):
        DataConfig.model_validate(settings)
    assert DataConfig.model_validate({**settings, "crop": 8}).crops[0].share == 1


@pytest.mark.parametrize("floor", [0, -3, math.inf, 301])
def test_a_floor_of_the_psnr_that_cannot_be_is_refused(floor: float) -> None:
    with pytest.raises(ValidationError, match="psnr_floor"):
        RestorationStageConfig(psnr_floor=floor)


# Trainings


@pytest.fixture
def with_crops(
    training_config: Callable[..., TrainConfig], folder: Path
) -> Callable[..., TrainConfig]:
    """A function that makes a small training on crops, with further changes."""

    def make(**changes: Any) -> TrainConfig:
        settings = {
            "prior": None,
            "model__task": {"name": "photo"},
            "model__adapter": "skip",
            "data__crop": 16,
            "data__crops": [{"path": str(folder), "scales": [1, 0.5], "turn": True}],
            "restoration__iterations": 6,
            "checkpoint_every": 3,
        }
        return training_config(**{**settings, **changes})

    return make


def weights(config: TrainConfig) -> dict[str, Tensor]:
    return dict(read_result(config.output / "restoration.safetensors")[0]["network"])


def test_a_training_on_crops_says_what_it_read_and_resumes_to_the_same_bits(
    with_crops: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = with_crops(output=str(tmp_path / "whole"))
    said: list[str] = []
    train(whole, "restoration", say=said.append)
    assert "2 photographs for crops of 16 pixels." in said
    assert any(line.endswith("small.png is smaller than a crop of 16 pixels.") for line in said)
    broken = with_crops(output=str(tmp_path / "broken"))
    update = RestorationStage.update

    def failing(self: RestorationStage, batches: Any, now: int) -> Any:
        if now == 4:
            raise KeyboardInterrupt
        assert all(pair.clean.shape[-2:] == (16, 16) for pair in batches)
        return update(self, batches, now)

    with monkeypatch.context() as patch:
        patch.setattr(RestorationStage, "update", failing)
        with pytest.raises(KeyboardInterrupt):
            train(broken, "restoration")
    assert not (broken.output / "restoration.safetensors").exists()
    train(broken, "restoration", resume=True)
    first, second = weights(whole), weights(broken)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    # The other photographs of data.train play no part in it.
    plain = with_crops(output=str(tmp_path / "plain"), data__crops=[])
    train(plain, "restoration")
    assert not all(torch.equal(first[key], value) for key, value in weights(plain).items())


def test_a_training_is_refused_when_the_photographs_of_its_crops_change(
    with_crops: Callable[..., TrainConfig], folder: Path
) -> None:
    config = with_crops(restoration__iterations=1)
    train(config, "restoration")
    train(config, "restoration")  # finished, and still the same
    write_image(folder / "large.png", torch.rand(3, 41, 60))
    message = "stage restoration: names and sizes of the photographs for crops"
    with pytest.raises(TrainingError, match=message):
        train(config, "restoration")
    with pytest.raises(TrainingError, match=r"data\.crops"):
        train(with_crops(restoration__iterations=1, data__crops=[]), "restoration")


def test_other_stages_learn_without_reading_the_crops(
    with_crops: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = with_crops(restoration__iterations=1)
    train(config, "restoration")
    monkeypatch.delattr("ugpnet_core.training.training_data.read_crop_photographs")
    said: list[str] = []
    train(config, "synthesis", say=said.append)
    assert (config.output / "synthesis.safetensors").exists()
    assert not any("crops" in line for line in said)


def test_the_task_of_pairs_has_no_use_for_crops(
    with_crops: Callable[..., TrainConfig], photographs: Path
) -> None:
    pair = {"clean": str(photographs), "degraded": str(photographs)}
    config = with_crops(model__task={"name": "paired"}, data__train=[pair], data__validation=[pair])
    with pytest.raises(ConfigError, match=r"those of data\.crops do not; leave data\.crops out"):
        train(config, "restoration")


def test_crops_fit_the_scale_of_the_task(with_crops: Callable[..., TrainConfig]) -> None:
    with pytest.raises(ConfigError, match=r"data\.crop is 18; make it a multiple of 4"):
        train(with_crops(model__task={"name": "sr4"}, data__crop=18), "restoration")
