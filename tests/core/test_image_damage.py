"""Damaged, hostile and enormous files: an error that says so, or a result with a notice."""

from __future__ import annotations

import io
import logging
import os
import socket
import struct
import subprocess
import warnings
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import psutil
import pytest
import tifffile
import torch
from PIL import Image

from ugpnet_core.errors import DependencyError, ImageError
from ugpnet_core.image import decode_image, memory_needed, read_image, write_image
from ugpnet_core.image.limits import free_memory
from ugpnet_core.image.png import with_chunks

CASES = Path(__file__).parents[1] / "cases" / "files"
A_PS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\nshowpage\n"


def noise(height: int = 80, width: int = 64) -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def jpeg(**options: Any) -> bytes:
    buffer = io.BytesIO()
    noise().save(buffer, "JPEG", quality=90, **options)
    return buffer.getvalue()


def test_a_jpeg_without_its_last_bytes_is_read_and_said_to_be_cut_short() -> None:
    image = read_image(CASES / "trunc_2bytes.jpg")
    assert image.pixels.shape == (3, 80, 64)
    assert image.notices == ("It is cut short, little or nothing of the picture is missing.",)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"optimize": True}])
@pytest.mark.parametrize("lacking", [1, 2, 3, 10, 100])
def test_what_there_is_of_a_jpeg_is_as_it_was(lacking: int, options: dict[str, Any]) -> None:
    whole = jpeg(**options)
    image = decode_image(whole[:-lacking], Path("a.jpg"))
    assert "cut short" in image.notices[0]
    expected = np.asarray(Image.open(io.BytesIO(whole)))
    got = (image.pixels * 255).round().permute(1, 2, 0).numpy()
    if not options.get("progressive"):
        assert np.abs(got[:48] - expected[:48]).max() <= 1
    assert not decode_image(whole, Path("a.jpg")).notices


def test_how_much_is_missing_is_said_and_too_much_is_an_error() -> None:
    whole = jpeg()
    image = decode_image(whole[: len(whole) * 85 // 100], Path("a.jpg"))
    share = int(image.notices[0].split("%")[0].split()[-1])
    assert 5 <= share <= 20
    for part in (len(whole) // 2, len(whole) // 4, 60):
        with pytest.raises(ImageError, match=r"a\.jpg is damaged"):
            decode_image(whole[:part], Path("a.jpg"))


def test_what_a_library_does_not_know_is_not_called_damaged() -> None:
    buffer = io.BytesIO()
    noise().save(buffer, "BMP")
    strange = bytearray(buffer.getvalue())
    strange[28:30] = (2).to_bytes(2, "little")  # bits of a pixel, as handheld computers had them
    with pytest.raises(
        ImageError, match=r"BMP file of a sort that cannot be read \(.*export it as"
    ):
        decode_image(bytes(strange), Path("a.bmp"))
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.zeros((8, 9), np.uint8), compression=None, metadata=None)
    strange = bytearray(buffer.getvalue())
    at = strange.index(struct.pack("<HHI", 259, 3, 1)) + 8
    strange[at : at + 2] = (32766).to_bytes(2, "little")  # the compression of NeXT
    with pytest.raises(ImageError, match="TIFF file of a sort that cannot be read"):
        decode_image(bytes(strange), Path("a.tif"))


@pytest.mark.parametrize("extension", [".jpg", ".bmp"])
def test_transparent_pixels_are_laid_on_white(tmp_path: Path, extension: str) -> None:
    alpha = torch.zeros(1, 16, 24)
    alpha[..., 16:] = 0.5
    write_image(tmp_path / f"a{extension}", torch.zeros(3, 16, 24), alpha=alpha, quality=100)
    written = np.asarray(Image.open(tmp_path / f"a{extension}"))
    assert written[:, :8].min() >= 254
    assert np.abs(written[:, 20:].astype(int) - 128).max() <= 1


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.eps", "a.tif"])
def test_only_decoders_that_are_named_are_asked(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(*arguments: Any, **_: Any) -> None:
        raise AssertionError(f"a program was started: {arguments}")

    monkeypatch.setattr(subprocess, "Popen", started)
    monkeypatch.setattr(os, "system", started)
    path = tmp_path / name
    path.write_bytes(A_PS)
    with pytest.raises(ImageError, match="EPS"):
        read_image(path)
    path.write_bytes(b"8BPS" + bytes(60))
    with pytest.raises(ImageError, match="PSD"):
        read_image(path)


def test_pipes_sockets_and_devices_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.png"))
        for path in (tmp_path / "pipe.png", tmp_path / "s.png", Path("/dev/zero")):
            with pytest.raises(ImageError, match="pipe, socket or device"):
                read_image(path)
            with pytest.raises(ImageError, match="pipe, socket or device"):
                memory_needed(path)
    with pytest.raises(ImageError, match="cannot be read"):
        read_image("a\0.png")


def test_the_memory_of_an_enormous_picture_is_known_from_its_header(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bomb = CASES / "bomb_144M.png"
    needed = memory_needed(bomb)
    assert needed >= 12_000 * 12_000 * (3 + 3 * 4)  # RGB and floats, at least
    monkeypatch.setattr("ugpnet_core.image.limits.free_memory", lambda: needed - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match="12000 x 12000 pixels") as caught:
            read_image(bomb)
    assert f"{needed / 2**20:,.0f} MB" in str(caught.value)


def huge_png(side: int) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + checksum

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels)


def huge_tiff(side: int) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.zeros((64, 64), np.uint8), compression="zlib")
    data = bytearray(buffer.getvalue())
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        for code in (256, 257):
            tag = tif.pages[0].aspage().tags[code]
            struct.pack_into("<HHII", data, tag.offset, code, 4, 1, side)
    return bytes(data)


def huge_gif(side: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "GIF")
    return buffer.getvalue()[:6] + struct.pack("<HH", side, side) + buffer.getvalue()[10:]


@pytest.mark.parametrize("make", [huge_png, huge_tiff, huge_gif])
def test_no_decoder_is_asked_for_more_than_there_is(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ugpnet_core.image.limits.free_memory", lambda: 2**30)
    (tmp_path / "a.png").write_bytes(make(60_000))
    assert memory_needed(tmp_path / "a.png") > 2**30
    with pytest.raises(ImageError, match="60000 x 60000"):
        read_image(tmp_path / "a.png")


def test_memory_of_small_pictures(tmp_path: Path) -> None:
    noise(10, 10).save(tmp_path / "a.jpg")
    assert 10 * 10 * 15 <= memory_needed(tmp_path / "a.jpg") <= 10 * 10 * 30
    assert memory_needed(CASES / "icc_tif16.tif") <= 190 * 150 * 40
    (tmp_path / "b.jpg").write_bytes(b"text")
    with pytest.raises(ImageError, match="not an image"):
        memory_needed(tmp_path / "b.jpg")


def test_the_limit_of_this_process_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    held = psutil.Process().memory_info().vms
    limit = held + 50 * 2**20
    monkeypatch.setattr("resource.getrlimit", lambda _: (limit, limit))
    assert 0 < free_memory() <= 60 * 2**20
    monkeypatch.setattr("resource.getrlimit", lambda _: (1, 1))
    assert free_memory() == 0


def test_nothing_reaches_the_terminal_but_what_we_say(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Pillow warns, tifffile logs, and libraries in C write to the terminal themselves."""
    damaged = bytearray(jpeg())
    damaged[len(damaged) // 2 : len(damaged) // 2 + 20] = bytes(20)
    files = {
        "bomb.png": (CASES / "bomb_144M.png").read_bytes(),
        "cut.jpg": jpeg()[:-9],
        "damaged.jpg": bytes(damaged),
        "zstd.tif": (CASES / "tif16_zstd.tif").read_bytes(),
        "odd.tif": huge_tiff(70),
        "half.tif": (CASES / "icc_tif16.tif").read_bytes()[:5000],
        "ycbcr.tif": half_chroma(),
        "deep.png": odd_png(iCCP=b"icc\0\0no profile", sBIT=b"\0", bKGD=b"", eXIf=b"no"),
    }
    monkeypatch.setattr("ugpnet_core.image.limits.free_memory", lambda: 2**30)
    monkeypatch.setattr(logging.root, "handlers", [])  # as in a command: what is left goes raw
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        for name, data in files.items():
            with suppress(ImageError):
                decode_image(data, Path(name))
    assert not raised
    assert capfd.readouterr() == ("", "")


def odd_png(**chunks: bytes) -> bytes:
    """16 bits, and chunks that say something beside the pixels."""
    data = bytes(imagecodecs.png_encode(np.asarray(noise()).astype(np.uint16) * 257))
    return with_chunks(data, [(name.encode(), content) for name, content in chunks.items()])


def test_damage_beside_the_pixels_is_no_reason_to_lose_them() -> None:
    assert not decode_image(odd_png(), Path("a.png")).notices
    for chunks in ({"pHYs": b"\0"}, {"cHRM": b"\0"}, {"iCCP": b"icc\0\1"}, {"zTXt": b"a\0\7"}):
        image = decode_image(odd_png(**chunks), Path("a.png"))
        assert torch.equal(image.pixels, decode_image(odd_png(), Path("a.png")).pixels)
    assert decode_image(odd_png(pHYs=b"\0"), Path("a.png")).notices == (
        "What it says beside its pixels is damaged, and left out.",
    )


def half_chroma() -> bytes:
    """What only Pillow's libtiff reads, damaged."""
    buffer = io.BytesIO()
    noise().convert("YCbCr").save(buffer, "TIFF", compression="tiff_lzw")
    data = bytearray(buffer.getvalue())
    data[200:260] = bytes(60)
    return bytes(data)


@pytest.mark.parametrize(
    ("module", "head", "extra"),
    [
        ("pillow_heif", struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic", "heic"),
        ("pillow_jxl", b"\xff\x0a" + bytes(30), "jxl"),
    ],
)
def test_an_extra_that_is_missing_is_named(
    tmp_path: Path, module: str, head: bytes, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ugpnet_core.image.kinds.find_spec", lambda name: None)
    (tmp_path / "a.jpg").write_bytes(head)
    with pytest.raises(DependencyError, match=rf"ugpnet-core\[{extra}\]"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("filling", [bytes(3000), b"\xff" * 3000, b"\xff\xd9"])
def test_an_end_that_somebody_has_filled_is_missing(mode: str, filling: bytes) -> None:
    buffer = io.BytesIO()
    noise().convert(mode).save(buffer, "JPEG", quality=90)
    whole = buffer.getvalue()
    cut = decode_image(whole[: len(whole) * 85 // 100], Path("a.jpg"))
    filled = decode_image(whole[: len(whole) * 85 // 100] + filling, Path("a.jpg"))
    assert "cut short, the last" in filled.notices[0]
    assert filled.notices == cut.notices
    assert torch.equal(filled.pixels, cut.pixels)
    with pytest.raises(ImageError, match=r"a\.jpg is damaged: it is cut short"):
        decode_image(whole[: len(whole) // 2] + filling, Path("a.jpg"))


@pytest.mark.parametrize("after", [b"", bytes(500), b"\xff" * 500])
def test_a_grey_border_is_not_taken_for_a_missing_one(after: bytes) -> None:
    picture = Image.new("RGB", (64, 80), (128, 128, 128))
    picture.paste(noise(30))
    for options in ({}, {"progressive": True}, {"restart_marker_rows": 1}):
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=90, **options)
        assert not decode_image(buffer.getvalue() + after, Path("a.jpg")).notices


def test_the_film_of_a_moving_photograph_is_said_to_be_left_out() -> None:
    packet = b'<x:xmpmeta><rdf:Description GCamera:MotionPhoto="1"/></x:xmpmeta>'
    film = b"\0\0\0\x18ftypmp42\0\0\0\0" + bytes(100)
    image = decode_image(jpeg(xmp=packet) + film, Path("a.jpg"))
    assert image.notices == ("The film that follows the picture is left out.",)
    assert image.metadata.xmp == packet.replace(b'"1"', b'"0"')
