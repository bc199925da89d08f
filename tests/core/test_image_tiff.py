"""TIFF files of every kind, written by tifffile and Pillow; the right values are theirs."""

from __future__ import annotations

import gc
import io
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
import torch
from PIL import Image, ImageCms, TiffImagePlugin

from ugpnet_core.errors import ImageError
from ugpnet_core.image import ImageFile, decode_image, read_image, write_image
from ugpnet_core.image.files import decode_all

Array = npt.NDArray[Any]
CASES = Path(__file__).parents[1] / "cases" / "files"
SHAPE = (20, 28)


def levels(channels: int = 3, dtype: str = "uint16") -> Array:
    most = np.iinfo(dtype).max + 1
    values = np.random.default_rng(0).integers(0, most, (*SHAPE, channels), dtype=dtype)
    return values[..., 0] if channels == 1 else values


def read(array: Array, **options: Any) -> ImageFile:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return decode_image(buffer.getvalue(), Path("a.tif"))


def as_levels(x: torch.Tensor, white: int = 65535) -> Array:
    return np.asarray((x.double() * white).round().permute(1, 2, 0).numpy())


def stored(name: str) -> Array:
    """The samples as they lie in a file of the cases, read by tifffile."""
    return np.asarray(tifffile.imread(CASES / name))


@pytest.mark.parametrize("name", ["icc_tif16.tif", "tif16_zstd.tif"])
def test_rgb_of_the_cases(name: str) -> None:
    image = read_image(CASES / name)
    assert image.bit_depth == 16
    assert np.array_equal(as_levels(image.pixels), stored(name))


def test_the_profile_of_a_deep_tiff_is_kept(tmp_path: Path) -> None:
    image = read_image(CASES / "icc_tif16.tif")
    with tifffile.TiffFile(CASES / "icc_tif16.tif") as tif:
        assert image.icc_profile == tif.pages[0].aspage().iccprofile
    for name in ("a.tif", "a.png"):
        write_image(tmp_path / name, image.pixels, bit_depth=16, icc_profile=image.icc_profile)
        assert Image.open(tmp_path / name).info["icc_profile"] == image.icc_profile


def test_planes_that_lie_apart() -> None:
    image = read_image(CASES / "tif16_planar.tif")
    assert np.array_equal(as_levels(image.pixels), stored("tif16_planar.tif").transpose(1, 2, 0))
    apart = levels(3, "uint8").transpose(2, 0, 1)
    image = read(apart, photometric="rgb", planarconfig="separate", compression="lzw")
    assert np.array_equal(as_levels(image.pixels, 255), apart.transpose(1, 2, 0))


def test_white_may_be_zero() -> None:
    image = read_image(CASES / "tif16_miniswhite.tif")
    assert image.grey
    assert np.array_equal(as_levels(image.pixels)[..., 1], 65535 - stored("tif16_miniswhite.tif"))
    image = read(levels(1, "uint8"), photometric="miniswhite")
    assert np.array_equal(as_levels(image.pixels, 255)[..., 1], 255 - levels(1, "uint8"))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_alpha_that_was_multiplied_in_is_divided_out(dtype: str) -> None:
    white = np.iinfo(dtype).max
    alpha = levels(1, dtype) | (white // 2 + 1)  # 8 bits below would not give colours back
    colours = levels(3, dtype)
    colours[3, 4], alpha[3, 4] = 0, 0
    multiplied = (colours.astype(np.float64) * alpha[..., None] / white).round().astype(dtype)
    both = np.concatenate([multiplied, alpha[..., None]], axis=2)
    image = read(both, photometric="rgb", extrasamples=["assocalpha"])
    assert image.alpha is not None
    assert np.array_equal(as_levels(image.alpha, white)[..., 0], alpha)
    assert np.abs(as_levels(image.pixels, white) - colours).max() <= 1
    assert image.pixels.isfinite().all()


def test_multiplied_alpha_of_the_case_is_as_bright_as_the_same_picture_without() -> None:
    image, plain = read_image(CASES / "tif16_rgba_assoc.tif"), stored("icc_tif16.tif")
    assert image.alpha is not None
    sure = as_levels(image.alpha)[..., 0] > 32768
    assert np.abs(as_levels(image.pixels)[sure] - plain[sure]).max() <= 2


def test_grey_with_alpha(tmp_path: Path) -> None:
    image = read_image(CASES / "tif16_la.tif")
    assert image.alpha is not None
    assert np.array_equal(as_levels(image.pixels)[..., 2], stored("tif16_la.tif")[..., 0])
    assert np.array_equal(as_levels(image.alpha)[..., 0], stored("tif16_la.tif")[..., 1])
    write_image(tmp_path / "a.tif", image.pixels, alpha=image.alpha, bit_depth=16, grey=image.grey)
    assert np.array_equal(tifffile.imread(tmp_path / "a.tif"), stored("tif16_la.tif"))


def test_alpha_is_called_alpha_in_what_is_written(tmp_path: Path) -> None:
    write_image(tmp_path / "a.tif", torch.rand(3, 5, 6), alpha=torch.rand(1, 5, 6), bit_depth=16)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert [int(what) for what in tif.pages[0].aspage().extrasamples] == [2]


def test_orientation_of_a_bigtiff() -> None:
    image = read_image(CASES / "ori_bigtif16_6.tif")
    assert np.array_equal(as_levels(image.pixels), np.rot90(stored("ori_bigtif16_6.tif"), 3))


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations_are_pillows(orientation: int, byteorder: Any, bigtiff: bool) -> None:
    array = levels(3, "uint8")
    tags: Any = [(274, "H", 1, orientation, True)]
    plain = io.BytesIO()
    tifffile.imwrite(plain, array, photometric="rgb", extratags=tags)
    expected = Image.open(plain)
    expected.load()  # turns it; Pillow does not in big-endian BigTIFFs
    image = read(array, photometric="rgb", extratags=tags, byteorder=byteorder, bigtiff=bigtiff)
    assert np.array_equal(as_levels(image.pixels, 255), np.asarray(expected))


@pytest.mark.parametrize("compression", ["lzw", "zlib", "zstd", "lzma", "packbits", "lerc"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
@pytest.mark.parametrize("predictor", [False, True])
def test_compressions(compression: str, tile: tuple[int, int] | None, predictor: bool) -> None:
    if predictor and compression in {"packbits", "lerc"}:
        predictor = False
    image = read(
        levels(), photometric="rgb", compression=compression, tile=tile, predictor=predictor
    )
    assert np.array_equal(as_levels(image.pixels), levels())


@pytest.mark.parametrize("photometric", ["rgb", "ycbcr"])
def test_jpeg_in_tiff(photometric: str) -> None:
    array = np.kron(levels(3, "uint8")[:2, :3], np.ones((16, 16, 1), np.uint8))
    buffer = io.BytesIO()
    options: dict[str, Any] = {"compression": "jpeg", "quality": 95}
    Image.fromarray(array).convert("YCbCr" if photometric == "ycbcr" else "RGB").save(
        buffer, "TIFF", **options
    )
    image = decode_image(buffer.getvalue(), Path("a.tif"))
    expected = np.asarray(Image.open(buffer).convert("RGB"))
    assert np.abs(as_levels(image.pixels, 255) - expected).max() <= 1


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_chroma_without_jpeg(compression: str) -> None:
    buffer = io.BytesIO()
    picture = Image.fromarray(levels(3, "uint8")).convert("YCbCr")
    picture.save(buffer, "TIFF", compression=compression)
    # Pillow 12 cannot read what it wrote without compression.
    written = picture if compression == "raw" else Image.open(buffer)
    expected = np.asarray(written.convert("RGB"))
    image = decode_image(buffer.getvalue(), Path("a.tif"))
    assert np.array_equal(as_levels(image.pixels, 255), expected)


@pytest.mark.parametrize("compression", ["raw", "group3", "group4", "tiff_ccitt"])
def test_black_and_white(compression: str) -> None:
    picture = Image.fromarray(levels(1, "uint8") > 128)
    buffer = io.BytesIO()
    picture.save(buffer, "TIFF", compression=compression)
    image = decode_image(buffer.getvalue(), Path("a.tif"))
    assert np.array_equal(as_levels(image.pixels, 255)[..., 0], np.asarray(picture) * 255)
    assert image.grey


def test_pages_of_a_fax_each_upright() -> None:
    pages = [Image.fromarray(levels(1, "uint8") > most) for most in (64, 128)]
    buffer = io.BytesIO()
    turn = TiffImagePlugin.ImageFileDirectory_v2()
    turn[274] = 3
    pages[0].save(
        buffer,
        "TIFF",
        compression="group4",
        save_all=True,
        append_images=pages[1:],
        tiffinfo=turn,
    )
    read_pages = list(decode_all(buffer.getvalue(), Path("a.tif")))
    assert len(read_pages) == 2
    for image, page in zip(read_pages, pages, strict=True):
        expected = np.asarray(page)[::-1, ::-1] * 255
        assert np.array_equal(as_levels(image.pixels, 255)[..., 0], expected)


def packed(array: Array, bits: int) -> bytes:
    """A TIFF of RGB with so many bits a sample, row by row, which not every imagecodecs packs."""
    ones = array[..., None] >> np.arange(bits - 1, -1, -1) & 1
    strip = np.packbits(ones.reshape(len(array), -1).astype(np.uint8), axis=1).tobytes()
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[256], tags[257], tags[258], tags[259] = array.shape[1], len(array), (bits,) * 3, 1
    tags[262], tags[277], tags[278], tags[279] = 2, 3, len(array), len(strip)
    tags[273] = 0  # counted from behind the tags, by Pillow
    return b"II*\0" + struct.pack("<I", 8) + tags.tobytes(8) + strip


@pytest.mark.parametrize("bits", [2, 4, 12])
def test_bits_between(bits: int) -> None:
    most = 2**bits - 1
    array = np.random.default_rng(0).integers(0, most + 1, (*SHAPE, 3))
    image = decode_image(packed(array, bits), Path("a.tif"))
    assert image.bit_depth == (16 if bits > 8 else 8)
    assert np.abs(as_levels(image.pixels, 1 << 20) / (1 << 20) - array / most).max() < 1e-4


def test_palettes() -> None:
    palette = np.random.default_rng(1).integers(0, 256, (3, 256)).astype(np.uint16)
    expected = palette.T[levels(1, "uint8")]
    for scale in (257, 256, 1):  # how programs fill 16 bits; the last is wrong, and found
        image = read(levels(1, "uint8"), photometric="palette", colormap=palette * scale)
        assert np.array_equal(as_levels(image.pixels, 255), expected)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_numbers_from_0_to_1(dtype: str) -> None:
    values = np.random.default_rng(0).random((*SHAPE, 3)).astype(dtype)
    image = read(values, photometric="rgb", compression="zlib", predictor=dtype != "float16")
    assert image.bit_depth == 16
    assert image.notices == ()
    assert np.abs(image.pixels.permute(1, 2, 0).numpy() - values).max() <= 0.5 / 65535 + 1e-6


@pytest.mark.parametrize("white", [255.0, 65535.0, 1000.0])
def test_numbers_of_another_range_are_divided_by_it_and_said(white: float) -> None:
    values = np.linspace(0, white, 100 * 3, dtype=np.float32).reshape(10, 10, 3)
    image = read(values, photometric="rgb")
    expected = 65535.0 if white > 255 else 255.0
    assert np.abs(image.pixels.permute(1, 2, 0).numpy() - values / expected).max() < 1e-4
    assert f"divided by {expected:g}" in image.notices[0]


def test_lights_brighter_than_white_and_what_is_no_number() -> None:
    values = np.full((10, 10, 3), 0.25, np.float32)
    values[0, 0], values[0, 1], values[0, 2], values[0, 3] = 7.5, -1, np.nan, np.inf
    image = read(values, photometric="rgb")
    assert image.pixels[0, 0, :5].tolist() == pytest.approx([1, 0, 0, 1, 0.25], abs=1e-4)
    assert image.notices


@pytest.mark.parametrize(("dtype", "white"), [("uint32", 2**32 - 1), ("int32", 2**31 - 1)])
def test_wide_whole_numbers(dtype: str, white: int) -> None:
    values = np.array([[0, white // 2, white]], dtype)
    assert read(values).pixels[0, 0].tolist() == pytest.approx([0, 0.5, 1], abs=1e-4)
    below = read(np.array([[-5, 5]], "int16"))
    assert below.pixels[0, 0, 0] == 0
    assert "egative" in below.notices[0]


def test_more_channels_than_colours() -> None:
    image = read(levels(5), photometric="rgb", planarconfig="contig", extrasamples=[0, 0])
    assert np.array_equal(as_levels(image.pixels), levels(5)[..., :3])
    assert image.alpha is None
    assert "5 channels" in image.notices[0]
    image = read(levels(5), photometric="rgb", planarconfig="contig", extrasamples=[0, 2])
    assert image.alpha is not None
    assert np.array_equal(as_levels(image.alpha)[..., 0], levels(5)[..., 4])
    image = read(levels(5), photometric="minisblack", planarconfig="contig")
    assert np.array_equal(as_levels(image.pixels), levels(5)[..., :3])


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_inks_without_a_profile(dtype: str) -> None:
    inks, white = levels(4, dtype), np.iinfo(dtype).max
    image = read(inks, photometric="separated")
    light = 1 - inks / white
    expected = light[..., :3] * light[..., 3:]
    assert np.abs(as_levels(image.pixels, white) - expected * white).max() <= 1
    assert "sRGB" in image.notices[0]
    if dtype == "uint8":
        pillow = np.asarray(Image.fromarray(inks, "CMYK").convert("RGB")).astype(int)
        assert np.abs(as_levels(image.pixels, 255) - pillow).max() <= 1


def lab_of(colours: Array) -> Array:
    """L*a*b* of sRGB by the formulas of the CIE, for the white D50 (Lindbloom's matrix, Bradford
    adaptation)."""
    x = colours / 255
    linear = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    matrix = np.array(
        [
            [0.4360747, 0.3850649, 0.1430804],
            [0.2225045, 0.7168786, 0.0606169],
            [0.0139322, 0.0971045, 0.7141733],
        ]
    )
    t = linear @ matrix.T / (0.96422, 1, 0.82521)
    f = np.where(t > 216 / 24389, np.cbrt(t), (24389 / 27 * t + 16) / 116)
    return np.stack(
        [116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=2
    )


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_lab(dtype: str, signed: bool) -> None:
    colours = np.random.default_rng(3).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    colours[0, :2] = [[0, 0, 0], [255, 255, 255]]
    lab = lab_of(colours)
    step = 256 if dtype == "uint16" else 1
    most = np.iinfo(dtype).max if signed or step == 1 else 0xFF00
    light = (lab[..., :1] / 100 * most).round()
    hue = (lab[..., 1:] * step).round() + (0 if signed else 128 * step)
    stored = np.concatenate([light, hue], axis=2).astype(np.int64).astype(dtype)
    image = read(stored, photometric="cielab" if signed else "icclab")
    assert image.bit_depth == (16 if dtype == "uint16" else 8)
    wrong = np.abs(as_levels(image.pixels, 255) - colours)
    assert wrong[0, :2].max() <= 1
    assert wrong.max() <= (8 if step == 1 else 1)  # 8 bits of L*a*b* are coarse


def ink_profile() -> bytes:
    """A profile for inks made by hand, as none comes with any library here: a table of 16 corners
    (lut8Type of ICC.1:2001)."""
    corners = bytearray()
    for inks in np.ndindex(2, 2, 2, 2):
        r, g, b = ((1 - ink) * (1 - inks[3]) for ink in inks[:3])
        light = round(255 * (0.3 * r + 0.59 * g + 0.11 * b))
        corners += bytes([light, 128 + 60 * (r - g), 128 + 60 * (g - b)])
    matrix = struct.pack(">9i", *(65536 * np.eye(3, dtype=int)).ravel().tolist())
    line = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + line * 4 + corners + line * 3
    white = struct.pack(">3i", 63190, 65536, 54061)
    tags = {b"A2B0": table, b"wtpt": b"XYZ " + bytes(4) + white}
    tags[b"desc"] = b"desc" + bytes(4) + struct.pack(">I", 2) + b"x\0" + bytes(78)
    tags[b"cprt"] = b"text" + bytes(4) + b"x\0"
    entries, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        entries += name + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    size = 128 + len(entries) + len(body)
    head = struct.pack(">I4sI4s4s4s", size, b"none", 0x02400000, b"prtr", b"CMYK", b"Lab ")
    head += bytes(12) + b"acsp" + bytes(28) + white
    return head.ljust(128, b"\0") + entries + body


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_inks_with_a_profile_are_converted_by_it(dtype: str) -> None:
    profile, inks = ink_profile(), levels(4, "uint8")
    expected = ImageCms.profileToProfile(
        Image.frombytes("CMYK", SHAPE[::-1], inks.tobytes()),
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        outputMode="RGB",
    )
    stored = inks if dtype == "uint8" else inks.astype(np.uint16) * np.uint16(257)
    image = read(stored, photometric="separated", iccprofile=profile)
    assert np.abs(as_levels(image.pixels, 255) - np.asarray(expected)).max() <= 1
    assert image.icc_profile is None


def test_a_profile_that_is_none_for_inks_is_not_applied_to_them() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    claimed = profile[:16] + b"CMYK" + profile[20:]
    plain = read(levels(4), photometric="separated")
    for block in (profile, claimed):
        image = read(levels(4), photometric="separated", iccprofile=block)
        assert torch.equal(image.pixels, plain.pixels)
        assert image.icc_profile is None


def test_levels_of_pyramids_and_previews_are_no_pages() -> None:
    buffer = io.BytesIO()
    preview = levels(3, "uint8")[::2, ::2]
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(preview, photometric="rgb", subfiletype=1)
        writer.write(levels(), photometric="rgb", subifds=1)
        writer.write(preview, photometric="rgb", subfiletype=1)
        writer.write(preview, photometric="rgb", subfiletype=1)
    image = decode_image(buffer.getvalue(), Path("a.tif"))
    assert image.frames == 1
    assert np.array_equal(as_levels(image.pixels), levels())


def test_what_is_no_picture_is_an_error_that_names_the_file() -> None:
    with pytest.raises(ImageError, match=r"a\.tif"):
        read(np.ones((4, 4), np.complex64))
    with pytest.raises(ImageError, match=r"a\.tif"):
        read(np.ones((20, 16, 16), np.uint8), volumetric=True, tile=(16, 16, 16))


def test_every_cut_of_a_tiff_is_an_error(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, levels(), photometric="rgb", compression="zlib")
    whole = buffer.getvalue()
    for part in [*range(0, 400, 7), len(whole) // 2, len(whole) - 1]:
        with pytest.raises(ImageError, match=r"a\.tif"):
            decode_image(whole[:part], Path("a.tif"))


def test_scrambled_directories_never_crash() -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, levels(3, "uint8"), photometric="rgb", compression="lzw")
    rng = np.random.default_rng(0)
    for _ in range(60):
        data = bytearray(buffer.getvalue())
        for at in rng.integers(0, 300, 4):
            data[at] = rng.integers(0, 256)
        try:
            image = decode_image(bytes(data), Path("a.tif"))
        except ImageError:
            continue
        assert image.pixels.isfinite().all()


@pytest.mark.parametrize(
    "tag", [(274, "H", 2, (1, 1)), (296, "H", 2, (2, 2)), (296, "s", 0, "inch"), (274, "s", 0, "x")]
)
def test_tags_of_another_type_are_no_reason_to_lose_a_picture(tag: tuple[Any, ...]) -> None:
    code, kind, count, value = tag
    array = levels(3, "uint8")
    image = read(array, photometric="rgb", extratags=[(code, kind, count, value, True)])
    assert np.array_equal(as_levels(image.pixels, 255), array)


def test_layers_are_said_to_be_left_out() -> None:
    layers = (37724, "B", 8, b"Adobe Ph", True)
    image = read(levels(3, "uint8"), photometric="rgb", extratags=[layers])
    assert image.notices[0].startswith("Its layers are left out")


def test_the_range_of_heights_is_said_as_it_is() -> None:
    image = read(np.linspace(100, 2480, 560, dtype=np.float32).reshape(SHAPE))
    assert image.notices[0].startswith("Values from 100 to 2480 ")


def test_nothing_of_the_file_is_kept_but_its_pixels(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((500, 400, 3), np.uint8), photometric="rgb")
    read_image(path)  # what is imported
    gc.collect()
    gc.disable()  # which would clear away what refers to itself, but only now and then
    tracemalloc.start()
    try:
        image = read_image(path)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert image.levels.nbytes <= kept < 1.3 * image.levels.nbytes
