"""``ugpnet shards``: what it packs, and that a training reads it."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch

from ugpnet_core import cli
from ugpnet_core.image import center_square, read_image, write_image
from ugpnet_core.training.photographs import read_photographs


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = torch.Generator().manual_seed(0)
    for name in ("a.png", "in.ner/a.b.png", "in.ner/c.jpg", "z.webp", "z_.png"):
        write_image(tmp_path / "photos" / name, torch.rand(3, 12, 15, generator=rng))
    return tmp_path / "photos"


def test_a_folder_becomes_shards_that_a_training_and_webdataset_read(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "shards"
    assert cli.main(["shards", str(photos), "-o", str(out), "--per-shard", "2"]) == 0
    assert sorted(file.name for file in out.iterdir()) == [
        f"photographs-00000{number}.tar" for number in range(3)
    ]
    shown = capsys.readouterr()
    pattern = out / "photographs-{000000..000002}.tar"
    assert shown.out.splitlines() == [
        "5 images in 3 shards, for a training:",
        f'  data.train=["{pattern}"]',
    ]
    read, before = read_photographs([pattern], 12), read_photographs([photos], 12)
    assert len(read) == 5
    assert all(torch.equal(read[index], before[index]) for index in range(5))
    wds = importlib.import_module("webdataset")
    samples = list(wds.WebDataset(str(pattern), shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == [
        "000000000_a",
        "000000001_in_ner_a_b",
        "000000002_in_ner_c",
        "000000003_z",
        "000000004_z_",
    ]
    assert samples[2]["jpg"] == (photos / "in.ner" / "c.jpg").read_bytes()


def test_images_are_cut_to_the_size_of_a_training_and_bad_ones_are_named(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "b.png").write_bytes(b"no image")
    out = tmp_path / "shards"
    words = ["shards", str(photos), "-o", str(out), "--size", "8", "--prefix", "faces"]
    assert cli.main(words) == 1
    shown = capsys.readouterr()
    assert shown.err.startswith(f"left out: {photos}/b.png is not an image")
    assert "5 images in 1 shards" in shown.out
    read = read_photographs([out / "faces-000000.tar"], 8)
    expected = center_square(read_image(photos / "a.png").pixels, 8)
    assert (read[0] - expected).abs().max() <= 0.5 / 255 + 1e-6

    first = (out / "faces-000000.tar").read_bytes()
    assert cli.main(words) == 1  # nothing is written over
    assert "faces-000000.tar exists already; choose another" in capsys.readouterr().err
    words[3] = str(tmp_path / "again")
    assert cli.main(words) == 1
    assert (tmp_path / "again" / "faces-000000.tar").read_bytes() == first


def test_wrong_words_are_named(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in (
        ([str(photos.parent / "gone"), "-o", "x"], "gone does not exist"),
        ([str(photos), "-o", "x", "--prefix", "a/b"], "--prefix is 'a/b'"),
    ):
        assert cli.main(["shards", *words]) == 1
        assert message in capsys.readouterr().err
