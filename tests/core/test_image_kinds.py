"""What a file is, by its content; the right answers are the formats that other libraries wrote."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from ugpnet_core.errors import ImageError
from ugpnet_core.image import read_image
from ugpnet_core.image.kinds import identify, readable

WRITTEN_BY_PILLOW = ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "ICO", "JPEG2000"]
NAMES = {"PPM": "PNM", "JPEG2000": "JP2"}


@pytest.mark.parametrize("kind", WRITTEN_BY_PILLOW)
def test_what_pillow_writes_is_known_under_any_name(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "photo.txt"
    Image.new("RGB", (20, 20)).save(path, format=kind)
    assert identify(path) == NAMES.get(kind, kind)
    assert readable(NAMES.get(kind, kind)) is None


def test_two_pictures_in_a_jpeg_are_an_mpo(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (20, 20)), Image.new("RGB", (20, 20), "red")
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[second])
    assert identify(tmp_path / "a.jpg") == "MPO"


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_tiffs_of_all_byte_orders(tmp_path: Path, bigtiff: bool, byteorder: str) -> None:
    pixels = np.zeros((4, 4), np.uint8)
    path = tmp_path / "a.jpg"
    tifffile.imwrite(path, pixels, bigtiff=bigtiff, byteorder=byteorder)  # type: ignore[arg-type]
    assert identify(path) == "TIFF"
    assert identify(path.rename(tmp_path / "a.NEF")) == "RAW"


def test_a_dng_is_no_tiff(tmp_path: Path) -> None:
    version = (50706, "B", 4, bytes([1, 4, 0, 0]), True)
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 4), np.uint8), extratags=[version])
    assert identify(tmp_path / "a.tif") == "RAW"
    assert readable("RAW") == ""


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (struct.pack(">I", 24) + b"ftypavif\0\0\0\0mif1miaf", "AVIF"),
        (struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic", "HEIC"),
        (struct.pack(">I", 24) + b"ftypmif1\0\0\0\0mif1avif", "AVIF"),
        (struct.pack(">I", 20) + b"ftypmif1\0\0\0\0mif1", "HEIC"),
        (struct.pack(">I", 24) + b"ftypisom\0\0\0\0isommp42", None),  # a film
        (b"\xff\x0a" + bytes(20), "JXL"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "EPS"),
        (b"%PDF-1.7\n", "PDF"),
        (b"8BPS\0\1", "PSD"),
        (b'<?xml version="1.0"?>\n<svg xmlns="x">', "SVG"),
        (b"BM stands for many things, and this is a text", None),
        (bytes(128) + b"DICM" + bytes(50), "DICOM"),
        (b"SIMPLE  =                    T", "FITS"),
        (b"P7\nWIDTH 2\n", "PAM"),
        (b"\x01\xda\x01\x01" + bytes(500), "SGI"),
        (b"II\xbc\x01" + bytes(20), "JXR"),
        (b"\x0a\x05\x01\x08" + bytes(200), "PCX"),
        (b"\x0a the line above is empty", None),
        (b"\0\0\2\0\1\0  \0\0" + bytes(20), "CUR"),
        (b"\0\0\2" + bytes(9) + b"\4\0\3\0\x18\0", None),  # a TGA that is called otherwise
        (b"P6 is a road; this is a text", "PNM"),  # as far as its beginning tells
        (b"Pictures", None),
        (b"", None),
        (b"\0", None),
    ],
)
def test_kinds_by_their_first_bytes(tmp_path: Path, head: bytes, kind: str | None) -> None:
    (tmp_path / "a.png").write_bytes(head)
    assert identify(tmp_path / "a.png") == kind


def test_a_tga_is_told_by_its_name(tmp_path: Path) -> None:
    Image.new("RGB", (3, 4)).save(tmp_path / "a.tga")
    assert identify(tmp_path / "a.tga") == "TGA"
    (tmp_path / "b.tga").write_text("a text that is called like a picture")
    assert identify(tmp_path / "b.tga") is None
    with pytest.raises(ImageError, match="of the kind TGA, which cannot be read; export"):
        read_image(tmp_path / "a.tga")


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "broken.png").symlink_to(tmp_path / "nowhere")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        for name in ["pipe.png", "broken.png", "s", "missing", "."]:
            assert identify(tmp_path / name) is None
    assert identify("/dev/zero") is None
    assert identify("a\0b") is None


def test_the_extra_that_a_kind_needs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ugpnet_core.image.kinds.find_spec", lambda name: None)
    assert readable("HEIC") == "ugpnet-core[heic]"
    assert readable("JXL") == "ugpnet-core[jxl]"
