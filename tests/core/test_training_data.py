"""Photographs, pairs and batches of a training."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ugpnet_core.errors import TrainingError
from ugpnet_core.factory import create_task
from ugpnet_core.image import center_square, read_image, write_image
from ugpnet_core.training.augmentation import draw_movements, move_together
from ugpnet_core.training.data import Pair, Pairs, training_batches, validation_batches
from ugpnet_core.training.photographs import Photographs, Picture, read_photographs
from ugpnet_core.training.prefetching import ahead

LEVELS = [Picture(torch.full((3, 8, 8), value, dtype=torch.uint8)) for value in range(0, 250, 25)]


def pairs(count: int = 10, seed: int = 0, **settings: object) -> Pairs:
    task = create_task("denoise")
    return Pairs(Photographs(LEVELS[:count]), task, seed, "restoration", **settings)  # type: ignore[arg-type]


def batches(source: Pairs, first: int, last: int, **settings: int) -> list[Pair]:
    defaults = {"batch_size": 3, "rank": 0, "world": 1, "workers": 0}
    return list(training_batches(source, first=first, last=last, **{**defaults, **settings}))


def levels(made: list[Pair]) -> list[int]:
    """Which of LEVELS the clean images of some batches are."""
    return [round(float(image.mean()) * 255) // 25 for batch in made for image in batch.clean]


# Photographs


def test_photographs_are_squares_of_the_files_in_any_folder_below(photographs: Path) -> None:
    read = read_photographs([photographs], 16)
    assert len(read) == 5
    file = sorted(photographs.rglob("*.png"))[2]
    expected = center_square(read_image(file).pixels, 16)
    assert read[2].shape == (3, 16, 16)
    assert (read[2] - expected).abs().max() <= 0.5 / 255 + 1e-6
    assert read.unreadable == []
    assert read.enlarged == 0


@pytest.fixture
def mixed(photographs: Path, tmp_path: Path) -> Path:
    """A folder with two good files, a grey small one, a truncated one and one that is no image."""
    folder = tmp_path / "mixed"
    for index in (0, 1):
        (folder / "a").mkdir(parents=True, exist_ok=True)
        content = (photographs / "inner" / f"{index}.png").read_bytes()
        (folder / "a" / f"{index}.png").write_bytes(content)
    (folder / "a" / "2-cut.png").write_bytes(content[: len(content) // 2])
    (folder / "3-text.jpg").write_text("no image")
    (folder / "notes.txt").write_text("not looked at")
    from PIL import Image

    Image.fromarray(np.full((20, 30), 77, np.uint8)).save(folder / "4-grey.png")
    return folder


def test_unreadable_files_are_named_with_a_reason_and_skipped(mixed: Path) -> None:
    read = read_photographs([mixed], 32)
    assert len(read) == 3
    assert [Path(reason.split()[0]).name for reason in read.unreadable] == [
        "3-text.jpg",
        "2-cut.png",
    ]
    assert "damaged" in read.unreadable[1]
    grey = read[0]
    assert torch.allclose(grey, torch.tensor(77 / 255), atol=1e-6)
    assert read.enlarged == 1


def test_on_disk_only_headers_are_read_and_a_bad_file_is_replaced_once_it_is_used(
    mixed: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_memory = read_photographs([mixed], 32)
    with monkeypatch.context() as patch:
        decoded: list[object] = []
        patch.setattr(
            "ugpnet_core.training.photographs._decode", lambda one, *_: decoded.append(one)
        )
        on_disk = read_photographs([mixed], 32, cache=False)
        assert decoded == []
    assert [Path(reason.split()[0]).name for reason in on_disk.unreadable] == ["3-text.jpg"]
    assert on_disk.enlarged == 1
    # Files by name: 4-grey, a/0, a/1, a/2-cut; the first stands in for the last.
    with caplog.at_level(logging.WARNING):
        images = [on_disk[index] for index in (0, 1, 2, 3, 3)]
    expected = [in_memory[index] for index in (0, 1, 2, 0, 0)]
    assert all(map(torch.equal, images, expected))
    assert len(caplog.records) == 1
    assert "2-cut.png" in caplog.text


def test_a_folder_that_vanishes_is_an_error(mixed: Path) -> None:
    on_disk = read_photographs([mixed], 32, cache=False)
    for file in mixed.rglob("*.png"):
        file.unlink()
    with pytest.raises(TrainingError, match="put them back"):
        on_disk[1]


@pytest.mark.parametrize("cache", [True, False])
def test_no_folder_and_no_image_are_errors(tmp_path: Path, cache: bool) -> None:
    with pytest.raises(TrainingError, match=r"no folder .*nowhere"):
        read_photographs([tmp_path / "nowhere"], 32, cache=cache)
    (tmp_path / "bad.png").write_text("")
    with pytest.raises(TrainingError, match=f"no readable image in {tmp_path}"):
        read_photographs([tmp_path], 32, cache=cache)


def test_a_count_is_spread_over_all_files(tmp_path: Path) -> None:
    for index in range(7):
        write_image(tmp_path / f"{index}.png", torch.full((3, 4, 4), index / 7))
    read = read_photographs([tmp_path], 4, count=3)
    assert [round(float(read[i].mean()) * 7) for i in range(3)] == [0, 2, 4]
    assert len(read_photographs([tmp_path], 4, count=70)) == 7


# Pairs


def test_a_sample_depends_on_seed_and_number_alone() -> None:
    forwards = [pairs()[index] for index in range(25)]
    source = pairs()
    backwards = [source[index] for index in reversed(range(25))][::-1]
    for one, other in zip(forwards, backwards, strict=True):
        assert torch.equal(one.clean, other.clean)
        assert torch.equal(one.degraded, other.degraded)
    others = [pairs(seed=1)[index] for index in range(25)]
    assert not any(map(torch.equal, (p.degraded for p in forwards), (p.degraded for p in others)))


def test_each_epoch_takes_every_photograph_once_in_an_order_of_its_own() -> None:
    source = pairs()
    drawn = [round(float(source[i].clean.mean()) * 255) // 25 for i in range(30)]
    epochs = [drawn[:10], drawn[10:20], drawn[20:]]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_half_of_the_images_are_mirrored_with_what_was_made_of_them() -> None:
    ramp = torch.arange(64).view(1, 1, 64).expand(3, 64, 64).to(torch.uint8)
    source = Pairs(Photographs([Picture(ramp)]), create_task("sr8"), 0, "restoration")
    made = [source[index] for index in range(60)]
    mirrored = [bool(pair.clean[0, 0, 0] > pair.clean[0, 0, -1]) for pair in made]
    assert 18 < sum(mirrored) < 42
    assert [bool(pair.degraded[0, 0, 0] > pair.degraded[0, 0, -1]) for pair in made] == mirrored
    still = Pairs(Photographs([Picture(ramp)]), create_task("sr8"), 0, "restoration", flip=False)
    assert all(torch.equal(still[i].clean, made[mirrored.index(False)].clean) for i in range(9))


def test_crops_lie_anywhere_in_the_image() -> None:
    grid = (torch.arange(16).view(4, 4) * 10).to(torch.uint8).expand(3, 4, 4)
    source = Pairs(Photographs([Picture(grid)]), create_task("denoise"), 0, "x", flip=False, crop=3)
    corners = {round(float(source[i].clean[0, 0, 0]) * 255) for i in range(60)}
    assert corners == {0, 10, 40, 50}
    assert source[0].clean.shape == source[0].degraded.shape == (3, 3, 3)
    large = Pairs(Photographs([Picture(grid)]), create_task("denoise"), 0, "x", crop=9)
    assert large[0].clean.shape == (3, 4, 4)


# Batches


def test_batches_go_on_where_they_were_left() -> None:
    whole = batches(pairs(), 0, 7)
    parts = batches(pairs(), 0, 4) + batches(pairs(), 4, 7)
    assert len(whole) == 7
    for one, other in zip(whole, parts, strict=True):
        assert torch.equal(one.degraded, other.degraded)
        assert one.clean.shape == (3, 3, 8, 8)


def test_workers_make_the_same_batches_and_leave_the_global_generator_alone() -> None:
    torch.manual_seed(3)
    alone = batches(pairs(), 2, 5)
    expected = torch.rand(1)
    torch.manual_seed(3)
    helped = batches(pairs(), 2, 5, workers=2)
    assert torch.equal(torch.rand(1), expected)
    for one, other in zip(alone, helped, strict=True):
        assert torch.equal(one.clean, other.clean)
        assert torch.equal(one.degraded, other.degraded)


def test_processes_and_accumulated_batches_share_the_samples_of_an_update() -> None:
    whole = batches(pairs(), 0, 2, batch_size=12)
    shared = [
        batches(pairs(), 0, 2, batch_size=2, accumulate=2, rank=rank, world=3) for rank in range(3)
    ]
    assert all(len(one) == 2 * 2 for one in shared)
    for update, expected in enumerate(whole):
        parts = [one[2 * update + batch] for one in shared for batch in range(2)]
        # Every sixth sample belongs to one batch, which begins with one of the first six.
        in_order = torch.stack([part.degraded for part in parts], dim=1).flatten(0, 1)
        assert torch.equal(in_order, expected.degraded)


def test_batches_are_made_ahead_in_a_thread_that_ends_when_they_are_no_longer_wanted() -> None:
    def ours() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "ahead"]

    made = training_batches(pairs(), first=0, last=10**9, batch_size=3)
    first = next(made)
    assert torch.equal(first.degraded, batches(pairs(), 0, 1)[0].degraded)
    assert len(ours()) == 1
    made.close()
    assert ours() == []


def test_what_is_made_ahead_takes_one_core_and_leaves_training_its_own() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with ahead((torch.get_num_threads() for _ in range(2)), 1) as counts:
            assert list(counts) == [1, 1]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_things_made_ahead_come_in_order_and_so_do_errors() -> None:
    asked: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(5):
            asked.append(number)
            yield number
        raise TrainingError("no more")

    with ahead(numbers(), 2) as items:
        assert next(items) == 0
        while len(asked) < 4:  # one handed over, two ready, one in the hand
            time.sleep(0.001)
        time.sleep(0.05)
        assert asked == [0, 1, 2, 3]
        assert [next(items) for _ in range(4)] == [1, 2, 3, 4]
        with pytest.raises(TrainingError, match="no more"):
            next(items)
    with ahead("abc", 1) as letters:
        assert list(letters) == ["a", "b", "c"]


def test_the_validation_set_is_fixed() -> None:
    task = create_task("denoise")
    first = validation_batches(Photographs(LEVELS), task, 5, batch_size=4)
    again = validation_batches(Photographs(LEVELS), task, 5, batch_size=10)
    assert [len(pair.clean) for pair in first] == [4, 4, 2]
    assert levels(first) == list(range(10))
    assert torch.equal(torch.cat([pair.degraded for pair in first]), again[0].degraded)
    other = validation_batches(Photographs(LEVELS), task, 6)
    assert not torch.equal(other[0].degraded, again[0].degraded[:8])


# Augmentation


def test_both_images_of_a_pair_move_alike_and_stay_in_range() -> None:
    torch.manual_seed(0)
    first = torch.rand(12, 3, 24, 24)
    moved, moved_too = move_together(first, 1 - first, draw_movements(len(first)))
    assert moved.shape == first.shape
    assert torch.allclose(moved, 1 - moved_too, atol=1e-5)
    assert moved.min() >= 0
    assert moved.max() <= 1 + 1e-6
    assert all((moved[i] - first[i]).abs().max() > 1e-3 for i in range(12))


def dot(row: float, column: float, size: int = 64) -> Tensor:
    """A soft dot around a position in pixels, (1, 3, size, size)."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    value = torch.exp(-((y - row) ** 2 + (x - column) ** 2) / 8.0)
    return value.expand(1, 3, size, size)


def position(image: Tensor) -> Tensor:
    """Centre of mass of a dot, as (row, column) from the centre of the image."""
    mass = image[0, 0] / image[0, 0].sum()
    steps = torch.arange(image.shape[-1]) - (image.shape[-1] - 1) / 2
    return torch.stack([(mass.sum(1) * steps).sum(), (mass.sum(0) * steps).sum()])


def test_a_batch_moves_as_one_in_the_published_training() -> None:
    """Shifts of up to 128 pixels across and 50 down at 512 pixels; black outside."""
    pictures, across, down = torch.rand(5, 3, 32, 32) + 0.5, [], []
    for seed in range(80):
        torch.manual_seed(seed)
        movements = draw_movements(5, "published")
        assert all(torch.equal(one, movements[0]) for one in movements)
        moved, moved_too = move_together(pictures, pictures, movements, "published")
        assert torch.equal(moved, moved_too)
        if torch.equal(movements[0, :, :2], torch.eye(2)):
            # From half sides to parts of the side.
            across.append(abs(float(movements[0, 0, 2])) / 2)
            down.append(abs(float(movements[0, 1, 2])) / 2)
            if across[-1] > 3 / 32:
                columns = moved[..., (0, -1)].flatten(0, 2).amax(0)
                assert sorted(columns == 0) == [False, True]
    assert 0.2 < max(across) <= 128 / 512
    assert 0.07 < max(down) <= 50 / 512


def test_movements_are_the_published_ones() -> None:
    centre, right = dot(31.5, 31.5), dot(31.5, 47.5)
    ratios, angles, shifts = [], [], []
    for seed in range(60):
        torch.manual_seed(seed)
        moved, moved_right = move_together(centre, right, draw_movements(1))
        shift = position(moved)
        arm = position(moved_right) - shift
        if shift.abs().max() > 0.05:
            shifts.append(shift)
        elif abs(arm[0]) > 0.05:
            angles.append(torch.rad2deg(torch.atan2(arm[0], arm[1])))
        else:
            ratios.append(arm[1] / 16)
    assert min(map(len, (ratios, angles, shifts))) > 8
    ratio, angle, shift = torch.stack(ratios), torch.stack(angles), torch.stack(shifts)
    # A few steps of tolerance: a dot is not sampled exactly.
    assert 7 / 8 - 0.01 < ratio.min() < 0.95
    assert 1.05 < ratio.max() < 9 / 8 + 0.01
    assert -5.1 < angle.min() < -2
    assert 2 < angle.max() < 5.1
    assert 2 < shift.abs().max() < 64 / 16 + 0.1
