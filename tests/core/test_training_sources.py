"""What a training learns from besides folders: shards, and pairs of folders."""

from __future__ import annotations

import importlib
import io
import logging
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from ugpnet_core.config import PairedFolders, TrainConfig
from ugpnet_core.errors import ConfigError, ImageError, TrainingError
from ugpnet_core.factory import create_task
from ugpnet_core.image import write_image
from ugpnet_core.training.checkpoint import read_result
from ugpnet_core.training.data import Pairs, training_batches, validation_batches
from ugpnet_core.training.photographs import read_photographs
from ugpnet_core.training.run import train
from ugpnet_core.training.shards import expand, index_shard

# Shards


def encoded(level: int, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (9, 8), (level, level, level)).save(buffer, kind)
    return buffer.getvalue()


def write_tar(path: Path, content: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as file:
        for name, data in content.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            file.addfile(entry, io.BytesIO(data))
    return path


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """A pattern of two shards on two disks, with six images of levels 10 to 60."""
    first = {"a.jpg": encoded(10, "JPEG"), "a.cls": b"3", "b.seg.png": encoded(20), ".c.png": b""}
    second = {f"in/{level}.WEBP": encoded(level, "WEBP") for level in (30, 40, 50)}
    write_tar(tmp_path / "one" / "train-08.tar", first)
    write_tar(tmp_path / "two" / "train-08.tar", {**second, "z.jpeg": encoded(60, "JPEG")})
    return tmp_path / "{one,two}" / "train-{08..08}.tar"


def levels(photographs: Any) -> list[int]:
    return [round(float(photographs[i].mean()) * 255) for i in range(len(photographs))]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a.tar", ["a.tar"]),
        ("a-{08..11}.tar", ["a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"]),
        ("{9..11}", ["9", "10", "11"]),
        ("{2..0}", ["2", "1", "0"]),
        ("{x,y}/{0..1}", ["x/0", "x/1", "y/0", "y/1"]),
        ("{one}-{1,2}", ["{one}-1", "{one}-2"]),
    ],
)
def test_braces_are_written_out_as_shells_do(pattern: str, expected: list[str]) -> None:
    assert expand(pattern) == expected


def test_images_of_shards_are_read_in_their_order(shards: Path) -> None:
    read = read_photographs([shards], 8)
    assert levels(read) == pytest.approx([10, 20, 30, 40, 50, 60], abs=1)
    assert read.unreadable == []
    assert read[3].shape == (3, 8, 8)


def test_shards_of_the_webdataset_library_are_read(tmp_path: Path) -> None:
    wds = importlib.import_module("webdataset")
    with wds.ShardWriter(str(tmp_path / "s-%06d.tar"), maxcount=2, verbose=0) as writer:
        for level in (10, 20, 30):
            picture = Image.new("RGB", (8, 8), (level, level, level))
            writer.write({"__key__": f"sample{level:03d}", "png": picture, "cls": level})
    read = read_photographs([tmp_path / "s-{000000..000001}.tar"], 8)
    assert levels(read) == [10, 20, 30]


def test_samples_of_shards_are_the_same_with_workers_and_after_an_interruption(
    shards: Path,
) -> None:
    def batches(first: int, workers: int) -> list[Any]:
        source = Pairs(read_photographs([shards], 8), create_task("denoise"), 3, "restoration")
        return list(training_batches(source, first=first, last=6, batch_size=2, workers=workers))

    whole = batches(0, 0)
    for first, workers in ((3, 0), (0, 2)):
        for one, other in zip(whole[first:], batches(first, workers), strict=True):
            assert torch.equal(one.clean, other.clean)
            assert torch.equal(one.degraded, other.degraded)


def test_a_damaged_shard_or_image_is_named_and_the_rest_goes_on(
    shards: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    second = tmp_path / "two" / "train-08.tar"
    members = index_shard(second).members
    content = bytearray(second.read_bytes())
    content[members[1].offset : members[1].offset + members[1].size] = bytes(members[1].size)
    second.write_bytes(content[: members[3].offset + 5])
    (tmp_path / "none.tar").write_bytes(b"\x1f\x8b no tar at all, but long enough to be looked at")
    read = read_photographs([shards, tmp_path / "none.tar"], 8)
    assert len(read) == 5
    assert read.unreadable[0] == f"{second} is cut short after 3 images; copy it again."
    assert read.unreadable[1].startswith(f"{tmp_path}/none.tar is no uncompressed tar file")
    with caplog.at_level(logging.WARNING):
        assert levels(read) == pytest.approx([10, 20, 30, 50, 50], abs=1)
    assert f"{second}/in/40.WEBP is" in caplog.text


def test_shards_that_are_missing_are_listed(tmp_path: Path, shards: Path) -> None:
    with pytest.raises(TrainingError, match=r"no shard .*x-0\.tar, .*x-9\.tar and 3 more; set"):
        read_photographs([tmp_path / "x-{0..12}.tar"], 8)
    read = read_photographs([shards], 8)
    (tmp_path / "one" / "train-08.tar").unlink()
    (tmp_path / "two" / "train-08.tar").unlink()
    with pytest.raises(TrainingError, match="all others are gone"):
        read[0]


def test_a_stage_is_refused_when_its_photographs_were_exchanged(
    training_config: Callable[..., TrainConfig], shards: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    for index in range(3):
        write_image(folder / f"{index}.png", torch.rand(3, 36, 36))
    changes: dict[str, Any] = {"prior": None, "restoration__iterations": 1}
    made = training_config(data__train=[str(shards), str(folder)], **changes)
    train(made, "restoration")
    assert read_result(made.output / "restoration.safetensors")[2]["iterations"] == 1
    train(made, "restoration")
    write_image(folder / "1.png", torch.rand(3, 40, 36))
    message = "stage restoration: names and sizes of the photographs for training"
    with pytest.raises(TrainingError, match=message):
        train(made, "restoration")


# Pairs


def write_pairs(folder: Path, scale: int = 1, count: int = 4, side: int = 32) -> PairedFolders:
    """Pairs whose degraded images are the clean ones, darker and ``scale`` times smaller."""
    rng = torch.Generator().manual_seed(7)
    for index in range(count):
        worse = torch.rand(3, side // scale, side // scale + 2, generator=rng)
        clean = worse.repeat_interleave(scale, -2).repeat_interleave(scale, -1)
        write_image(folder / "clean" / f"{index}.png", clean)
        write_image(folder / "degraded" / "sub" / ".." / f"{index}.bmp", worse / 2)
    (folder / "degraded" / "sub").rmdir()
    return PairedFolders(clean=folder / "clean", degraded=folder / "degraded")


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize(("scale", "crop"), [(1, None), (1, 7), (4, None), (4, 12)])
def test_both_images_of_a_pair_are_cut_and_mirrored_alike(
    tmp_path: Path, cache: bool, scale: int, crop: int | None
) -> None:
    read = read_photographs([write_pairs(tmp_path, scale)], 32, scale=scale, cache=cache)
    assert (len(read), read.resized_pairs) == (4, 0)
    task = create_task("paired", scale=scale)
    source = Pairs(read, task, 0, "restoration", crop=crop)
    corners = set()
    for index in range(24):
        clean, degraded = source[index]
        side = crop or 32
        assert clean.shape == (3, side, side)
        assert degraded.shape == (3, side // scale, side // scale)
        enlarged = degraded.repeat_interleave(scale, -2).repeat_interleave(scale, -1)
        assert (enlarged - clean / 2).abs().max() <= 1.01 / 255
        corners.add(float(clean[0, 0, 0]))
    assert len(corners) > 6  # mirrored or not, and cropped anywhere
    for pair in validation_batches(read, task, 0):
        enlarged = pair.degraded.repeat_interleave(scale, -2).repeat_interleave(scale, -1)
        assert (enlarged - pair.clean / 2).abs().max() <= 1.01 / 255


def test_pairs_of_another_size_are_resized_and_counted(tmp_path: Path) -> None:
    read = read_photographs([write_pairs(tmp_path, 2, side=64)], 16, scale=2)
    assert read.resized_pairs == 4
    clean, degraded = read.pair(0)
    assert degraded is not None
    assert clean.shape == (3, 16, 16)
    assert degraded.shape == (3, 8, 8)


@pytest.mark.parametrize("cache", [True, False])
def test_pairs_of_another_scale_are_refused(tmp_path: Path, cache: bool) -> None:
    pairs = write_pairs(tmp_path, 2)
    message = r"0\.bmp has 18x16 pixels and .*0\.png 36x32, but the task makes images 4 times"
    with pytest.raises(TrainingError, match=message):
        read_photographs([pairs], 32, scale=4, cache=cache)
    (tmp_path / "clean" / "2.png").unlink()
    with pytest.raises(ImageError, match=r"1 image is without a partner .*2\.bmp"):
        read_photographs([pairs], 32, scale=2, cache=cache)


def test_a_training_on_pairs_leaves_a_model_of_their_scale(
    training_config: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    pairs = write_pairs(tmp_path / "pairs", 4).model_dump(mode="json")
    changes: dict[str, Any] = {
        "prior": None,
        "model__task": {"name": "paired", "options": {"scale": 4}},
        "data__train": [pairs],
        "data__validation": [pairs],
        "restoration__iterations": 1,
    }
    made = training_config(**changes)
    said: list[str] = []
    train(made, "restoration", say=said.append)
    assert said[0] == "4 photographs to learn from, 0 unreadable; 2 to validate on."
    write_image(tmp_path / "pairs" / "degraded" / "3.bmp", torch.rand(3, 8, 10))
    train(made, "restoration")  # as large as before, so that nothing tells it
    (tmp_path / "pairs" / "degraded" / "3.bmp").rename(tmp_path / "pairs" / "degraded" / "3.png")
    with pytest.raises(TrainingError, match="names and sizes of the photographs for training"):
        train(made, "restoration")


def test_the_task_of_pairs_needs_pairs(
    training_config: Callable[..., TrainConfig], photographs: Path
) -> None:
    with pytest.raises(ConfigError, match="Task 'paired' takes images that come degraded, and"):
        train(training_config(model__task={"name": "paired"}, prior=None))
    with pytest.raises(ConfigError, match="degrades nothing itself"):
        create_task("paired")(torch.rand(3, 8, 8), None)  # type: ignore[arg-type]


def test_degraded_versions_of_other_names_are_other_photographs(
    training_config: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    given = [("clean", "1", 32), ("degraded", "1_a", 32), ("degraded", "1_b", 32)]
    for folder, name, side in given:
        write_image(tmp_path / folder / f"{name}.bmp", torch.rand(3, side, side))
    pairs = {
        "clean": str(tmp_path / "clean"),
        "degraded": str(tmp_path / "degraded"),
        "pattern": "{stem}_*",
    }
    config = training_config(
        prior=None,
        model__task={"name": "paired"},
        data__train=[pairs],
        data__validation=[pairs],
        restoration__iterations=1,
    )
    train(config, "restoration")
    moved = training_config(
        **{
            "prior": None,
            "model__task": {"name": "paired"},
            "data__train": [{**pairs, "degraded": str(tmp_path / "elsewhere")}],
            "data__validation": [{**pairs, "degraded": str(tmp_path / "elsewhere")}],
            "restoration__iterations": 1,
        }
    )
    (tmp_path / "degraded").rename(tmp_path / "elsewhere")
    train(moved, "restoration")  # what a folder is called does not matter
    # As large as before, and in the other order.
    (tmp_path / "elsewhere" / "1_a.bmp").rename(tmp_path / "elsewhere" / "1_c.bmp")
    with pytest.raises(TrainingError, match="names and sizes of the photographs for training pai"):
        train(moved, "restoration")


def test_pairs_by_pattern_give_each_degraded_version(tmp_path: Path) -> None:
    for name, side in (("1", 16), ("1_a", 8), ("1_b", 8)):
        write_image(tmp_path / f"{name}.png", torch.rand(3, side, side))
    source = PairedFolders(clean=tmp_path, degraded=tmp_path, pattern="{stem}_*")
    found = read_photographs([source], 16, scale=2)
    assert len(found) == 2
    (one, first), (other, second) = (found.pair(index) for index in range(2))
    assert torch.equal(one, other)
    assert first is not None
    assert second is not None
    assert not torch.equal(first, second)
    with pytest.raises(ValidationError, match="a pattern has"):
        PairedFolders(clean=tmp_path, degraded=tmp_path, pattern="x4")
