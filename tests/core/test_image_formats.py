"""Formats that are read and not written, and more than 8 bits, as other libraries write them."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pillow_heif
import pillow_jxl  # noqa: F401  (registers itself)
import pytest
import torch
from PIL import Image

from ugpnet_core.errors import ImageError
from ugpnet_core.image import EXTENSIONS, decode_image, memory_needed, read_frames, read_image
from ugpnet_core.image.jxl import header_of
from ugpnet_core.image.kinds import readable

Array = npt.NDArray[Any]
pillow_heif.register_heif_opener()
A = Path("a.jpg")  # a name that is wrong for all of them


def blocks() -> Array:
    colours = np.random.default_rng(0).integers(0, 256, (2, 3, 3), dtype=np.uint8)
    return np.kron(colours, np.ones((32, 32, 1), np.uint8))


def deep() -> Array:
    return np.random.default_rng(0).integers(0, 65536, (20, 33, 3), dtype=np.uint16)


def as_levels(x: torch.Tensor, white: int = 255) -> Array:
    return np.asarray((x.double() * white).round().permute(1, 2, 0).numpy())


def saved(kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(blocks()).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG2000", "PPM", "BMP", "PNG", "TIFF"])
def test_formats_without_loss(kind: str) -> None:
    assert np.array_equal(as_levels(decode_image(saved(kind), A).pixels), blocks())


@pytest.mark.parametrize("kind", ["JPEG", "MPO", "GIF", "WEBP", "HEIF", "AVIF", "JXL", "ICO"])
def test_formats_are_read_as_pillow_reads_them(kind: str) -> None:
    options = {"sizes": [(96, 64)]} if kind == "ICO" else {}
    data = saved(kind, **options)
    image = decode_image(data, A)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.abs(as_levels(image.pixels) - expected).max() <= 1
    assert image.bit_depth == 8
    assert image.notices == ()


def test_of_the_sizes_of_an_icon_the_largest_is_taken_and_said() -> None:
    image = decode_image(saved("ICO", sizes=[(16, 11), (48, 32), (96, 64)]), A)
    assert image.size == (64, 96)
    assert image.notices == ("It holds the picture in 3 sizes, of which this is the largest.",)


@pytest.mark.parametrize(
    ("kind", "turned"), [("HEIF", True), ("AVIF", True), ("JPEG", True), ("JXL", False)]
)
def test_who_turns_a_picture(kind: str, turned: bool) -> None:
    """HEIC and AVIF say it in the file itself; in JPEG XL the EXIF block does not count."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    image = decode_image(saved(kind, exif=exif.tobytes(), quality=90), A)
    expected = np.rot90(blocks(), 3) if turned else blocks()
    assert image.pixels.shape[1:] == expected.shape[:2]
    # In the middle of each block, away from what compression does to their edges.
    got = as_levels(image.pixels)[16::32, 16::32]
    assert np.abs(got - expected[16::32, 16::32]).max() < 30
    kept = Image.Exif()
    kept.load(image.exif or b"")
    assert kept[0x010F] == "Maker"
    assert kept.get(0x0112, 1) == 1


def heic(bits: int) -> bytes:
    shifted = deep() >> (16 - bits) << (16 - bits)
    file = pillow_heif.from_bytes("RGB;16", (33, 20), shifted.tobytes())
    buffer = io.BytesIO()
    file.save(buffer, quality=-1, matrix_coefficients=0, chroma=444)
    return buffer.getvalue()


DEEP: dict[str, tuple[int, Callable[[], bytes]]] = {
    "png": (16, lambda: bytes(imagecodecs.png_encode(deep()))),
    "jxl": (16, lambda: bytes(imagecodecs.jpegxl_encode(deep(), lossless=True))),
    "jp2": (16, lambda: bytes(imagecodecs.jpeg2k_encode(deep(), level=0))),
    "jp2 of 12": (
        12,
        lambda: bytes(imagecodecs.jpeg2k_encode(deep() >> 4, level=0, bitspersample=12)),
    ),
    "jxl of 12": (
        12,
        lambda: bytes(imagecodecs.jpegxl_encode(deep() >> 4, lossless=True, bitspersample=12)),
    ),
    "jxl of 10": (
        10,
        lambda: bytes(imagecodecs.jpegxl_encode(deep() >> 6, lossless=True, bitspersample=10)),
    ),
    "avif of 10": (
        10,
        lambda: bytes(imagecodecs.avif_encode(deep() >> 6, bitspersample=10, level=100)),
    ),
    "avif of 12": (
        12,
        lambda: bytes(imagecodecs.avif_encode(deep() >> 4, bitspersample=12, level=100)),
    ),
    "heic of 10": (10, lambda: heic(10)),
    "ppm": (16, lambda: b"P6 # a comment\n33 20\n65535\n" + deep().astype(">u2").tobytes()),
    "ppm of 10": (10, lambda: b"P6 33 20 1023\n" + (deep() >> 6).astype(">u2").tobytes()),
}


@pytest.mark.parametrize("name", DEEP)
def test_more_than_8_bits(name: str) -> None:
    bits, data = DEEP[name]
    image = decode_image(data(), A)
    assert image.bit_depth == 16
    assert np.array_equal(as_levels(image.pixels, 2**bits - 1), deep() >> (16 - bits))


@pytest.mark.parametrize("mode", ["grey", "grey and alpha", "alpha"])
def test_deep_png_of_other_channels(mode: str) -> None:
    grey, alpha = deep()[..., 0].copy(), deep()[..., 1]
    array = {
        "grey": grey,
        "grey and alpha": np.stack([grey, alpha], 2),
        "alpha": np.dstack([deep(), alpha]),
    }[mode]
    image = decode_image(bytes(imagecodecs.png_encode(array)), A)
    assert image.grey == mode.startswith("grey")
    assert (image.alpha is not None) == mode.endswith("alpha")
    assert np.array_equal(as_levels(image.pixels, 65535)[..., 0], grey)
    if image.alpha is not None:
        assert np.array_equal(as_levels(image.alpha, 65535)[..., 0], alpha)


def test_one_colour_of_a_deep_png_may_be_transparent(tmp_path: Path) -> None:
    array = np.full((4, 4), 1000, np.uint16)
    array[0, 0] = 7
    Image.fromarray(array).save(tmp_path / "a.png", transparency=7)
    alpha = read_image(tmp_path / "a.png").alpha
    assert alpha is not None
    assert alpha[0, 0, 0] == 0
    assert alpha.sum() == 15


def test_portable_grey_and_float_maps() -> None:
    grey = deep()[..., 0]
    image = decode_image(b"P5 33 20 65535\n" + grey.astype(">u2").tobytes(), A)
    assert (image.bit_depth, image.grey) == (16, True)
    assert np.array_equal(as_levels(image.pixels, 65535)[..., 1], grey)
    values = np.linspace(0, 1, 660, dtype="<f4").reshape(20, 33)
    image = decode_image(b"Pf\n33 20\n-1.0\n" + values[::-1].tobytes(), A)
    assert np.abs(image.pixels[0].numpy() - values).max() < 1e-4


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (64, 40), (300, 200), (640, 480), (960, 540)])
@pytest.mark.parametrize("boxes", [False, True])
def test_the_size_of_a_jpeg_xl(size: tuple[int, int], boxes: bool, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    options: dict[str, Any] = {"use_container": boxes, "effort": 1}
    Image.new("RGB", size).save(buffer, "JXL", **options)
    header = header_of(buffer.getvalue())
    assert header is not None
    assert (header.width, header.height) == size
    (tmp_path / "a.jpg").write_bytes(buffer.getvalue())
    assert memory_needed(tmp_path / "a.jpg") >= size[0] * size[1] * 15


@pytest.mark.parametrize("bits", [1, 4, 7, 12])
@pytest.mark.parametrize("channels", [1, 3])
def test_white_of_a_jpeg_2000_is_white(bits: int, channels: int) -> None:
    white = 2**bits - 1
    values = deep() >> (16 - bits)
    values[0, 0], values[0, 1] = white, 0
    stored = values.astype(np.uint8 if bits <= 8 else np.uint16)
    stored = stored if channels == 3 else np.ascontiguousarray(stored[..., 0])
    data = imagecodecs.jpeg2k_encode(stored, level=0, bitspersample=bits)
    image = decode_image(bytes(data), A)
    assert image.grey == (channels == 1)
    assert image.bit_depth == (8 if bits <= 8 else 16)
    got = as_levels(image.pixels, white)
    assert np.array_equal(got[..., 0], values[..., 0])


RARE: dict[str, tuple[int, bool, Callable[[], bytes | bytearray]]] = {
    "12 bits": (12, False, lambda: imagecodecs.jpeg_encode(wide(12), level=98, bitspersample=12)),
    "12 bits, grey": (
        12,
        True,
        lambda: imagecodecs.jpeg_encode(wide(12)[..., 0].copy(), level=98, bitspersample=12),
    ),
    "16 bits, without loss": (16, True, lambda: imagecodecs.ljpeg_encode(wide(16)[..., 0].copy())),
    "JPEG-LS": (16, False, lambda: imagecodecs.jpegls_encode(wide(16))),
    "JPEG-LS, 8 bits": (8, True, lambda: imagecodecs.jpegls_encode(blocks()[..., 0].copy())),
}


def wide(bits: int) -> Array:
    return np.asarray(blocks().astype(np.uint16) << (bits - 8))


@pytest.mark.parametrize("name", RARE)
def test_jpegs_that_pillow_does_not_read(name: str, tmp_path: Path) -> None:
    bits, grey, make = RARE[name]
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    block = b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")
    data = bytes(make())
    data = data[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + data[2:]
    image = decode_image(data, A)
    assert (image.bit_depth, image.grey) == (8 if bits == 8 else 16, grey)
    expected = np.rot90(blocks(), 3)[16::32, 16::32]
    got = as_levels(image.pixels)[16::32, 16::32]
    assert np.abs(got - (expected[..., :1] if grey else expected)).max() <= 4
    kept = Image.Exif()
    kept.load(image.exif or b"")
    assert kept[0x010F] == "Maker"
    (tmp_path / "a.jpg").write_bytes(data)
    assert memory_needed(tmp_path / "a.jpg") >= blocks()[..., 0].size * 15
    with pytest.raises(ImageError, match=r"a\.jpg is"):
        decode_image(data[: len(data) // 2], A)


def test_floating_point_and_animated_jpeg_xl(tmp_path: Path) -> None:
    values = (deep() / 65535).astype(np.float32)
    image = decode_image(bytes(imagecodecs.jpegxl_encode(values, lossless=True)), A)
    assert image.bit_depth == 16
    assert np.abs(as_levels(image.pixels, 65535) - deep()).max() <= 1
    frames = [np.roll(blocks(), 9 * step, axis=1) for step in range(3)]
    data = bytes(imagecodecs.jpegxl_encode(np.stack(frames), lossless=True))
    image = decode_image(data, A)
    assert image.notices == ("It holds 3 pictures, of which this is the first.",)
    (tmp_path / "a.jxl").write_bytes(data)
    read = [as_levels(frame.pixels) for frame in read_frames(tmp_path / "a.jxl")]
    assert np.array_equal(np.stack(read), np.stack(frames))


def test_the_table_of_the_documentation_is_what_is_read() -> None:
    text = (Path(__file__).parents[2] / "docs" / "restoring.md").read_text(encoding="utf-8")
    table = text.partition("| kind | read |")[2].partition("\n\n")[0]
    rows = [line for line in table.splitlines() if re.match(r"\| `\w+`", line)]
    kinds = {kind for row in rows for kind in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert kinds == {
        "PNG", "JPEG", "MPO", "WEBP", "TIFF", "BMP", "GIF", "JP2", "PNM", "ICO", "AVIF", "HEIC",
        "JXL",
    }  # fmt: skip
    assert all(readable(kind) is None for kind in kinds)
    names = set(re.findall(r"\.\w+", " ".join(row.split("|")[3] for row in rows)))
    assert names == set(EXTENSIONS)
