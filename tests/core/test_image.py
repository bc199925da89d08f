from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from ugpnet_core.errors import ImageError, SizeError
from ugpnet_core.image import (
    center_square,
    list_images,
    pad_reflect,
    pad_to_multiple,
    read_image,
    resize,
    write_image,
)


def photograph(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def as_uint8(x: torch.Tensor) -> np.ndarray:
    return (x * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


@pytest.mark.parametrize("extension", [".png", ".tif", ".bmp", ".PNG"])
def test_lossless_formats_keep_every_value_and_the_order_of_colours(
    tmp_path: Path, extension: str
) -> None:
    array = photograph(5, 7)
    path = tmp_path / f"bild äöü 猫{extension}"
    write_image(path, torch.from_numpy(array).permute(2, 0, 1) / 255)
    assert np.array_equal(np.asarray(Image.open(path)), array)  # by a second library
    image = read_image(path)
    assert image.pixels.dtype == torch.float32
    assert image.bit_depth == 8
    assert image.alpha is None
    assert np.array_equal(as_uint8(image.pixels), array)


@pytest.mark.parametrize("extension", [".jpg", ".webp"])
def test_lossy_formats_keep_colours(tmp_path: Path, extension: str) -> None:
    colour = torch.tensor([0.9, 0.4, 0.1]).view(3, 1, 1).expand(3, 16, 24)
    write_image(tmp_path / f"a{extension}", colour)
    assert (read_image(tmp_path / f"a{extension}").pixels - colour).abs().max() < 4 / 255


@pytest.mark.parametrize("extension", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [3, 4])
def test_16_bits_stay_16_bits(tmp_path: Path, extension: str, channels: int) -> None:
    array = np.random.default_rng(0).integers(0, 65536, (6, 9, channels), dtype=np.uint16)
    path = tmp_path / f"deep{extension}"
    order = [2, 1, 0, 3][:channels]
    assert cv2.imwrite(str(path), array[:, :, order])
    image = read_image(path)
    assert image.bit_depth == 16
    planes = image.pixels if image.alpha is None else torch.cat([image.pixels, image.alpha])
    assert np.array_equal((planes * 65535).round().permute(1, 2, 0).numpy(), array)
    write_image(tmp_path / f"b{extension}", image.pixels, alpha=image.alpha, bit_depth=16)
    again = cv2.imread(str(tmp_path / f"b{extension}"), cv2.IMREAD_UNCHANGED)
    assert again is not None
    assert again.dtype == np.uint16
    assert np.array_equal(again[:, :, order], array)


@pytest.mark.parametrize("extension", [".png", ".tiff"])
def test_16_bit_grey_has_three_equal_channels(tmp_path: Path, extension: str) -> None:
    array = np.random.default_rng(0).integers(0, 65536, (6, 9), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / f"g{extension}"), array)
    pixels = read_image(tmp_path / f"g{extension}").pixels
    assert pixels.shape == (3, 6, 9)
    assert np.array_equal((pixels[1] * 65535).round().numpy(), array)
    assert torch.equal(pixels[0], pixels[2])


@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_rotation_is_applied_once(tmp_path: Path, extension: str, orientation: int) -> None:
    array = np.kron(photograph(2, 3), np.ones((16, 16, 1), np.uint8))
    stored = Image.fromarray(array)
    exif = stored.getexif()
    exif[0x0112] = orientation
    exif[0x010F] = "Maker"
    path = tmp_path / f"turned{extension}"
    stored.save(path, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
    image = read_image(path)
    assert np.array_equal(as_uint8(image.pixels), expected)
    write_image(tmp_path / "again.png", image.pixels, exif=image.exif)
    again = Image.open(tmp_path / "again.png").getexif()
    assert again.get(0x0112, 1) == 1
    assert again[0x010F] == "Maker"


@pytest.mark.parametrize("extension", [".png", ".tif"])
@pytest.mark.parametrize("orientation", [1, 2, 6])
def test_rotation_of_16_bit_files(tmp_path: Path, extension: str, orientation: int) -> None:
    array = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    stored = Image.fromarray(array)
    exif = stored.getexif()
    exif[0x0112] = orientation
    stored.save(tmp_path / f"a{extension}", exif=exif)
    image = read_image(tmp_path / f"a{extension}")
    expected = {1: array, 2: array[:, ::-1], 6: np.rot90(array, 3)}[orientation]
    assert image.bit_depth == 16
    assert np.array_equal((image.pixels[0] * 65535).round().numpy(), expected)


@pytest.mark.parametrize("extension", [".png", ".tif", ".webp"])
def test_alpha_is_kept(tmp_path: Path, extension: str) -> None:
    array = np.kron(photograph(2, 3, 4), np.ones((8, 8, 1), np.uint8))
    array[..., 3] |= 128
    Image.fromarray(array).save(tmp_path / f"a{extension}", lossless=True)
    image = read_image(tmp_path / f"a{extension}")
    assert image.alpha is not None
    write_image(tmp_path / f"b{extension}", image.pixels, alpha=image.alpha)
    again = np.asarray(Image.open(tmp_path / f"b{extension}"))
    assert np.array_equal(again[..., 3], array[..., 3])
    write_image(tmp_path / "c.jpg", image.pixels, alpha=image.alpha)
    assert Image.open(tmp_path / "c.jpg").mode == "RGB"


def test_palettes_greys_and_cmyk(tmp_path: Path) -> None:
    colours = Image.new("RGB", (4, 4), (200, 30, 60))
    colours.convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "p.png")
    assert tuple(as_uint8(read_image(tmp_path / "p.png").pixels)[0, 0]) == (200, 30, 60)
    colours.convert("L").save(tmp_path / "l.png")
    assert len(set(as_uint8(read_image(tmp_path / "l.png").pixels)[0, 0])) == 1
    colours.convert("1").save(tmp_path / "1.png")
    assert read_image(tmp_path / "1.png").pixels.shape == (3, 4, 4)
    colours.convert("CMYK").save(tmp_path / "c.jpg", quality=100)
    read = as_uint8(read_image(tmp_path / "c.jpg").pixels)[0, 0].astype(int)
    assert np.abs(read - (200, 30, 60)).max() <= 4
    clear = colours.convert("P", palette=Image.Palette.ADAPTIVE)
    clear.save(tmp_path / "t.png", transparency=0)
    alpha = read_image(tmp_path / "t.png").alpha
    assert alpha is not None
    assert alpha.max() == 0


@pytest.mark.parametrize("depth", [8, 16])
def test_the_colour_profile_is_written_back(tmp_path: Path, depth: Literal[8, 16]) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(photograph(4, 4)).save(tmp_path / "a.png", icc_profile=profile)
    image = read_image(tmp_path / "a.png")
    assert image.icc_profile == profile
    write_image(tmp_path / "b.png", image.pixels, bit_depth=depth, icc_profile=profile)
    written = Image.open(tmp_path / "b.png")
    written.load()
    assert written.info["icc_profile"] == profile
    assert read_image(tmp_path / "b.png").bit_depth == depth


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    for name, data, word in [
        ("empty.png", b"", "empty"),
        ("text.jpg", b"this is no image", "not an image"),
    ]:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ImageError, match=word) as caught:
            read_image(tmp_path / name)
        assert name in str(caught.value)
    with pytest.raises(ImageError, match=r"missing\.png"):
        read_image(tmp_path / "missing.png")
    with pytest.raises(ImageError, match="cannot be read"):
        read_image(tmp_path)


@pytest.mark.parametrize("extension", [".png", ".webp", ".tif", ".bmp"])
@pytest.mark.parametrize("bits", [8, 16])
def test_half_a_file_is_an_error(tmp_path: Path, extension: str, bits: int) -> None:
    whole = tmp_path / f"whole{extension}"
    write_image(whole, torch.rand(3, 40, 40), bit_depth=16 if bits == 16 else 8)
    data = whole.read_bytes()
    for part in (len(data) // 2, len(data) * 9 // 10, 60):
        (tmp_path / f"half{extension}").write_bytes(data[:part])
        with pytest.raises(ImageError, match="half"):
            read_image(tmp_path / f"half{extension}")


def test_a_failed_write_leaves_the_old_file_and_no_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(ImageError, match="No space left"):
        write_image(path, torch.rand(3, 4, 4))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_unknown_formats_and_shapes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="extension"):
        write_image(tmp_path / "a.xyz", torch.rand(3, 4, 4))
    with pytest.raises(ImageError, match="3, H, W"):
        write_image(tmp_path / "a.png", torch.rand(1, 4, 4))


def test_list_images(tmp_path: Path) -> None:
    names = ["b.PNG", "a.jpg", "note.txt", ".hidden.png", "sub/c.webp"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    inside = [tmp_path / "a.jpg", tmp_path / "b.PNG"]
    assert list_images([tmp_path]) == inside
    assert list_images([tmp_path], recursive=True) == [*inside, tmp_path / "sub/c.webp"]
    assert list_images([tmp_path / "a.jpg", tmp_path]) == inside
    with pytest.raises(ImageError, match="nowhere"):
        list_images([tmp_path / "nowhere"])


sizes = st.integers(1, 9)


@settings(max_examples=40, deadline=None)
@given(sizes, sizes, *[st.integers(0, 20)] * 4)
def test_padding_agrees_with_numpy(
    height: int, width: int, left: int, right: int, top: int, bottom: int
) -> None:
    x = torch.rand(2, height, width)
    expected = np.pad(x.numpy(), ((0, 0), (top, bottom), (left, right)), mode="reflect")
    assert np.array_equal(pad_reflect(x, left, right, top, bottom).numpy(), expected)
    widths = ((0, 0), (top, bottom), (left, right))
    repeated = np.pad(x.numpy(), widths, mode="symmetric")
    assert np.array_equal(pad_reflect(x, left, right, top, bottom, edge=True).numpy(), repeated)


@settings(max_examples=30, deadline=None)
@given(sizes, sizes, st.integers(1, 20))
def test_pad_to_multiple_can_be_undone(height: int, width: int, multiple: int) -> None:
    x = torch.rand(1, 3, height, width)
    padded = pad_to_multiple(x, multiple)
    assert padded.shape[-2] % multiple == padded.shape[-1] % multiple == 0
    assert padded.shape[-1] < width + multiple
    assert torch.equal(padded[..., :height, :width], x)


def test_nothing_cannot_be_padded() -> None:
    with pytest.raises(SizeError):
        pad_reflect(torch.rand(3, 0, 4), 1, 1, 1, 1)


@pytest.mark.parametrize("shape", [(3, 20, 31), (2, 3, 17, 16), (3, 1, 1)])
def test_center_square(shape: tuple[int, ...]) -> None:
    square = center_square(torch.rand(shape), 16)
    assert square.shape == (*shape[:-2], 16, 16)
    assert square.min() >= 0
    assert square.max() <= 1
    flat = torch.full(shape, 0.4)
    assert (center_square(flat, 16) - 0.4).abs().max() < 1e-5


def test_center_square_takes_the_middle() -> None:
    x = torch.zeros(3, 4, 10)
    x[..., 3:7] = 1
    assert torch.equal(center_square(x, 4), torch.ones(3, 4, 4))


def test_resize_agrees_with_pillow() -> None:
    # Pillow's bicubic is antialiased, too, but works in 8 bits.
    array = np.asarray(Image.fromarray(photograph(8, 8)).resize((64, 48), Image.Resampling.BICUBIC))
    x = torch.from_numpy(array.copy()).permute(2, 0, 1) / 255
    expected = Image.fromarray(array).resize((16, 12), Image.Resampling.BICUBIC)
    assert np.abs(as_uint8(resize(x, (12, 16))).astype(int) - np.asarray(expected)).max() <= 1


def test_no_file_needs_opencv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    for extension in (".png", ".tif"):
        write_image(tmp_path / f"deep{extension}", torch.rand(3, 4, 4), bit_depth=16)
        assert read_image(tmp_path / f"deep{extension}").bit_depth == 16
