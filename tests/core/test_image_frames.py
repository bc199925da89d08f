"""Pages and frames: all of them are read, and written where the format holds them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
import torch
from PIL import Image, ImageSequence

from ugpnet_core.errors import ImageError
from ugpnet_core.image import (
    ImageFile,
    holds_frames,
    read_frames,
    read_image,
    write_frames,
    write_image,
)

Array = npt.NDArray[Any]


def pictures(count: int = 3, dtype: str = "uint8") -> list[Array]:
    rng = np.random.default_rng(0)
    most = np.iinfo(dtype).max + 1
    return [rng.integers(0, most, (20, 28, 3), dtype=dtype) for _ in range(count)]


def as_levels(x: torch.Tensor, white: int = 255) -> Array:
    return np.asarray((x.double() * white).round().permute(1, 2, 0).numpy())


def animation(path: Path, times: list[int], **options: Any) -> list[Array]:
    frames = [Image.fromarray(array) for array in pictures(len(times))]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=times, **options)
    with Image.open(path) as opened:
        return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(opened)]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_pages_of_a_tiff(tmp_path: Path, dtype: str) -> None:
    white = np.iinfo(dtype).max
    pages = [*pictures(2, dtype), pictures(1, dtype)[0][:9, :5]]  # of different sizes
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for number, page in enumerate(pages):
            writer.write(page, photometric="rgb", description=f"page {number}", metadata=None)
    first = read_image(tmp_path / "a.tif")
    assert first.frames == 3
    assert "3 pictures" in first.notices[-1]
    found = list(read_frames(tmp_path / "a.tif"))
    assert not any(frame.notices for frame in found)
    for frame, page in zip(found, pages, strict=True):
        assert np.array_equal(as_levels(frame.pixels, white), page)
    assert holds_frames(tmp_path / "b.tif", first)
    assert not holds_frames(tmp_path / "b.png", first)  # no animation is made of a letter
    write_frames(tmp_path / "b.tif", iter(found))
    with tifffile.TiffFile(tmp_path / "b.tif") as tif:
        assert len(tif.pages) == 3
        for number, page in enumerate(pages):
            assert np.array_equal(tif.pages[number].asarray(), page)
            assert tif.pages[number].aspage().description == f"page {number}"


@pytest.mark.parametrize("into", [".png", ".webp"])
@pytest.mark.parametrize("source", [".gif", ".png", ".webp"])
def test_animations_keep_their_frames_times_and_loops(
    tmp_path: Path, source: str, into: str
) -> None:
    times = [120, 60, 240]
    options: dict[str, Any] = {"loop": 3} | ({"lossless": True} if source == ".webp" else {})
    frames = animation(tmp_path / f"a{source}", times, **options)
    found = list(read_frames(tmp_path / f"a{source}"))
    assert [frame.metadata.milliseconds for frame in found] == times
    for frame, expected in zip(found, frames, strict=True):
        assert np.array_equal(as_levels(frame.pixels), expected)
    assert holds_frames(tmp_path / f"b{into}", found[0])
    assert not holds_frames(tmp_path / "b.jpg", found[0])
    write_frames(tmp_path / f"b{into}", found, quality=100)
    with Image.open(tmp_path / f"b{into}") as opened:
        assert opened.n_frames == 3  # type: ignore[attr-defined]
        assert opened.info["loop"] == (4 if source == ".gif" else 3)
        for index, expected in enumerate(frames):
            opened.seek(index)
            opened.load()
            assert opened.info["duration"] == times[index]
            if into == ".png":
                assert np.array_equal(np.asarray(opened.convert("RGB")), expected)


def test_an_animation_that_is_shown_once_still_is(tmp_path: Path) -> None:
    animation(tmp_path / "a.gif", [50, 50])
    write_frames(tmp_path / "b.png", read_frames(tmp_path / "a.gif"))
    assert Image.open(tmp_path / "b.png").info["loop"] == 1


def test_a_picture_that_stands_in_for_an_animation_is_none_of_it(tmp_path: Path) -> None:
    instead, *frames = [Image.fromarray(array) for array in pictures(3)]
    options: dict[str, Any] = {"default_image": True, "duration": [40, 90]}
    instead.save(tmp_path / "a.png", save_all=True, append_images=frames, **options)
    found = list(read_frames(tmp_path / "a.png"))
    assert [frame.metadata.milliseconds for frame in found] == [40, 90]
    for frame, expected in zip(found, frames, strict=True):
        assert np.array_equal(as_levels(frame.pixels), np.asarray(expected))
    assert read_image(tmp_path / "a.png").notices[-1].startswith("It holds 2 pictures")


def test_transparent_frames(tmp_path: Path) -> None:
    arrays = [np.full((8, 8, 4), value, np.uint8) for value in (50, 250)]
    frames = [Image.fromarray(array) for array in arrays]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:], duration=100)
    found = list(read_frames(tmp_path / "a.png"))
    mixed = [found[0], replace(found[1], levels=found[1].levels[..., :3])]
    write_frames(tmp_path / "b.png", mixed)
    with Image.open(tmp_path / "b.png") as opened:
        assert np.asarray(opened.convert("RGBA"))[0, 0].tolist() == [50, 50, 50, 50]
        opened.seek(1)
        assert np.asarray(opened.convert("RGBA"))[0, 0].tolist() == [250, 250, 250, 255]


def test_two_pictures_of_a_camera(tmp_path: Path) -> None:
    first, second = (Image.fromarray(array) for array in pictures(2))
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second])
    image = read_image(tmp_path / "a.jpg")
    assert image.frames == 2
    assert "2 pictures" in image.notices[0]
    assert len(list(read_frames(tmp_path / "a.jpg"))) == 2


def test_a_single_picture_is_one_frame_without_a_notice(tmp_path: Path) -> None:
    for name in ("a.png", "a.tif", "a.webp"):
        write_image(tmp_path / name, torch.rand(3, 8, 8))
        image = read_image(tmp_path / name)
        assert (image.frames, image.notices) == (1, ())
        assert not holds_frames(tmp_path / "b.tif", image)


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    one = ImageFile(np.zeros((8, 8, 3), np.uint8), tmp_path)
    other = ImageFile(np.zeros((9, 8, 3), np.uint8), tmp_path)
    with pytest.raises(ImageError, match="one picture"):
        write_frames(tmp_path / "a.jpg", [one, one])
    with pytest.raises(ImageError, match="one size"):
        write_frames(tmp_path / "a.png", [one, other])
    for name in ("a.tif", "a.png"):
        with pytest.raises(ImageError, match=r"no picture"):
            write_frames(tmp_path / name, [])
    assert list(tmp_path.iterdir()) == []


def test_what_making_a_frame_raises_is_raised(tmp_path: Path) -> None:
    def frames() -> Iterator[ImageFile]:
        yield ImageFile(np.zeros((8, 8, 3), np.uint8), tmp_path)
        raise RuntimeError("out of memory")

    for name in ("a.tif", "a.png"):
        with pytest.raises(RuntimeError, match="out of memory"):
            write_frames(tmp_path / name, frames())
    assert list(tmp_path.iterdir()) == []


def test_damage_in_a_later_frame_is_an_error_of_that_frame(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for page in pictures(2):
            writer.write(page, photometric="rgb", compression="zlib")
    data = buffer.getvalue()
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        begin = tif.pages[1].aspage().dataoffsets[0]
    (tmp_path / "a.tif").write_bytes(data[:begin] + bytes(60) + data[begin + 60 :])
    frames = read_frames(tmp_path / "a.tif")
    assert next(frames).pixels.shape == (3, 20, 28)
    with pytest.raises(ImageError, match="damaged"):
        next(frames)
