"""What files say beside pixels, carried between all formats; read back by Pillow and tifffile."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pillow_heif
import pytest
import tifffile
import torch
from PIL import Image, ImageCms, PngImagePlugin
from PIL.PngImagePlugin import PngInfo

from ugpnet_core.errors import ImageError
from ugpnet_core.image import (
    ImageFile,
    check_writable,
    decode_image,
    read_image,
    write_image,
)
from ugpnet_core.image.iptc import as_resource, iptc_in

CASES = Path(__file__).parents[1] / "cases" / "files"
CAPTION = "Großmutter, Łódź 1953 猫"
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" '
    'exif:PixelXDimension="30"><exif:PixelYDimension>20</exif:PixelYDimension>'
    f"<dc:title>{CAPTION}</dc:title></rdf:Description></x:xmpmeta>"
).encode()
IPTC = b"\x1c\x01\x5a\x00\x03\x1b%G" + b"\x1c\x02\x78\x00\x06" + "Łódź".encode()[:6]
FORMATS = [".jpg", ".png", ".webp", ".tif"]
DESCRIPTION, MAKE, ORIENTATION, ARTIST = 270, 271, 274, 315
PIXEL_X, PIXEL_Y = 0xA002, 0xA003


def exif_block(order: str = "<", thumbnail: bytes = b"") -> bytes:
    """An EXIF block made by hand: caption in UTF-8, orientation 6, sides, GPS, a thumbnail."""
    caption = CAPTION.encode() + b"\0"

    def entry(tag: int, kind: int, count: int, value: int | bytes) -> bytes:
        if isinstance(value, bytes):
            packed = value.ljust(4, b"\0")
        elif kind == 3:
            packed = struct.pack(order + "HH", value, 0)
        else:
            packed = struct.pack(order + "I", value)
        return struct.pack(order + "HHI", tag, kind, count) + packed

    first = 8
    inner = first + 2 + 12 * 5 + 4
    gps = inner + 2 + 12 * 2 + 4
    text = gps + 2 + 12 * 1 + 4
    second = text + len(caption) + len(caption) % 2
    picture = second + 2 + 12 * 3 + 4
    block = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", first)
    block += struct.pack(order + "H", 5)
    block += entry(DESCRIPTION, 2, len(caption), text)
    block += entry(MAKE, 2, 4, b"Box\0")
    block += entry(ORIENTATION, 3, 1, 6)
    block += entry(0x8769, 4, 1, inner) + entry(0x8825, 4, 1, gps)
    block += struct.pack(order + "I", second if thumbnail else 0)
    block += struct.pack(order + "H", 2) + entry(PIXEL_X, 3, 1, 30) + entry(PIXEL_Y, 4, 1, 20)
    block += bytes(4)
    block += struct.pack(order + "H", 1) + entry(1, 2, 2, b"N\0") + bytes(4)
    block += caption + b"\0" * (len(caption) % 2)
    if thumbnail:
        block += struct.pack(order + "H", 3) + entry(ORIENTATION, 3, 1, 6)
        block += entry(0x201, 4, 1, picture) + entry(0x202, 4, 1, len(thumbnail)) + bytes(4)
        block += thumbnail
    return b"Exif\0\0" + block


def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))


def app13(records: bytes) -> bytes:
    content = b"Photoshop 3.0\0" + as_resource(records)
    return b"\xff\xed" + struct.pack(">H", len(content) + 2) + content


def full_file(folder: Path, extension: str, order: str = "<") -> Path:
    """A file with all that its format holds, as other programs write it."""
    path = folder / f"full{extension}"
    block = exif_block(order)
    options: dict[str, Any] = {"exif": block}
    if extension == ".jpg":
        picture().save(path, xmp=XMP, dpi=(300, 300), comment=CAPTION.encode(), **options)
        data = path.read_bytes()
        path.write_bytes(data[:2] + app13(IPTC) + data[2:])
    elif extension == ".png":
        text = PngInfo()
        text.add_itxt("Description", CAPTION)
        text.add_text("Software", "Scanner 1")
        text.add_itxt("Comment", CAPTION)
        text.add_itxt("XML:com.adobe.xmp", XMP.decode())
        digits = as_resource(IPTC).hex()
        profile = f"\niptc\n{len(digits) // 2:8d}\n{digits}\n"
        text.add_text("Raw profile type iptc", profile, zip=True)
        picture().save(path, pnginfo=text, dpi=(300, 300), **options)
    elif extension == ".webp":
        picture().save(path, xmp=XMP, lossless=True, **options)
    else:
        tags: Any = [
            (DESCRIPTION, 2, 0, CAPTION.encode(), True),
            (MAKE, 2, 0, "Box", True),
            (ORIENTATION, 3, 1, 6, True),
            (700, 1, len(XMP), XMP, True),
            (33723, 7, len(IPTC), IPTC, True),
            (65000, 2, 0, b"private", True),
        ]
        tifffile.imwrite(
            path, np.asarray(picture()), photometric="rgb", resolution=(300, 300),
            resolutionunit=2, extratags=tags, metadata=None,
        )  # fmt: skip
    return path


def written(image: ImageFile, path: Path, scale: int = 2, **options: Any) -> Path:
    """The image enlarged, with all that was read of it."""
    write_image(
        path,
        image.pixels.repeat_interleave(scale, 1).repeat_interleave(scale, 2),
        bit_depth=image.bit_depth,
        icc_profile=image.icc_profile,
        exif=image.exif,
        metadata=image.metadata,
        grey=image.grey,
        **options,
    )
    return path


def tag_text(path: Path, tag: int) -> str | None:
    """The text of a tag of the first directory, in UTF-8, read by tifffile."""
    if path.suffix == ".tif":
        data = path.read_bytes()
    else:
        opened = Image.open(path)
        opened.load()
        block = opened.info.get("exif")
        if block is None:
            return None
        data = block.removeprefix(b"Exif\0\0")
    order, at = ("<", 4) if data[:2] == b"II" else (">", 4)
    (at,) = struct.unpack_from(order + "I", data, at)
    (count,) = struct.unpack_from(order + "H", data, at)
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        found, _, length = struct.unpack_from(order + "HHI", data, entry)
        if found == tag:
            where = (
                entry + 8 if length <= 4 else struct.unpack_from(order + "I", data, entry + 8)[0]
            )
            return data[where : where + length].rstrip(b"\0").decode("utf-8")
    return None


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("into", FORMATS)
@pytest.mark.parametrize("source", FORMATS)
def test_captions_in_any_alphabet(tmp_path: Path, source: str, into: str, order: str) -> None:
    image = read_image(full_file(tmp_path, source, order))
    path = written(image, tmp_path / f"out{into}")
    assert tag_text(path, DESCRIPTION) == CAPTION
    assert tag_text(path, MAKE) == "Box"
    assert read_image(path).pixels.shape == (3, 60, 40)  # turned once, and not again


@pytest.mark.parametrize("into", FORMATS)
@pytest.mark.parametrize("source", FORMATS)
def test_xmp_is_kept_and_true(tmp_path: Path, source: str, into: str) -> None:
    path = written(read_image(full_file(tmp_path, source)), tmp_path / f"out{into}")
    opened = Image.open(path)
    opened.load()
    packet = opened.info.get("xmp") or opened.info.get("XML:com.adobe.xmp")
    packet = packet if isinstance(packet, bytes) else str(packet).encode()
    assert CAPTION.encode() in packet
    assert b'tiff:Orientation="1"' in packet
    assert b'exif:PixelXDimension="40"' in packet
    assert b"<exif:PixelYDimension>60</exif:PixelYDimension>" in packet


@pytest.mark.parametrize("into", FORMATS)
@pytest.mark.parametrize("source", [".jpg", ".png", ".webp"])
def test_sides_named_by_exif_are_those_of_the_result(
    tmp_path: Path, source: str, into: str
) -> None:
    path = written(read_image(full_file(tmp_path, source)), tmp_path / f"out{into}")
    exif = Image.open(path).getexif()
    inner = exif.get_ifd(0x8769)
    assert (inner[PIXEL_X], inner[PIXEL_Y]) == (40, 60)
    assert exif.get(ORIENTATION, 1) == 1
    assert exif.get_ifd(0x8825)[1].rstrip("\0") == "N"


@pytest.mark.parametrize("into", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("source", [".jpg", ".png", ".tif"])
def test_iptc_is_kept(tmp_path: Path, source: str, into: str) -> None:
    path = written(read_image(full_file(tmp_path, source)), tmp_path / f"out{into}")
    opened = Image.open(path)
    opened.load()
    if into == ".jpg":
        assert opened.info["photoshop"][0x0404] == IPTC
    elif into == ".png":
        lines = opened.text["Raw profile type iptc"].strip().split("\n")  # type: ignore[attr-defined]
        assert iptc_in(bytes.fromhex("".join(lines[2:]))) == IPTC
    else:
        with tifffile.TiffFile(path) as tif:
            assert bytes(tif.pages[0].aspage().tags[33723].value) == IPTC


@pytest.mark.parametrize("into", [".jpg", ".png", ".tif", ".webp", ".bmp"])
@pytest.mark.parametrize("source", [".jpg", ".png", ".tif"])
def test_resolution_is_kept(tmp_path: Path, source: str, into: str) -> None:
    path = written(read_image(full_file(tmp_path, source)), tmp_path / f"out{into}")
    opened = Image.open(path)
    if into == ".webp":
        assert float(opened.getexif()[282]) == pytest.approx(300, abs=0.1)
    else:
        assert opened.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_centimetres_are_inches(tmp_path: Path) -> None:
    pixels = np.zeros((4, 4), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, resolution=(100, 50), resolutionunit=3)
    dpi = read_image(tmp_path / "a.tif").metadata.dpi
    assert dpi == pytest.approx((254, 127))


def test_text_of_a_png(tmp_path: Path) -> None:
    image = read_image(full_file(tmp_path, ".png"))
    opened = Image.open(written(image, tmp_path / "out.png"))
    opened.load()
    text = opened.text  # type: ignore[attr-defined]
    assert text["Description"] == text["Comment"] == CAPTION
    assert text["Software"] == "Scanner 1"
    opened = Image.open(written(image, tmp_path / "out.jpg"))
    assert opened.info["comment"].decode() == CAPTION
    assert tag_text(tmp_path / "out.jpg", 305) == "Scanner 1"


@pytest.mark.parametrize("where", ["before", "after"])
def test_megabytes_of_text_are_no_damage(tmp_path: Path, where: str) -> None:
    packet = XMP.replace(b"</dc:title>", b" long" * 400_000 + b"</dc:title>")
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", packet.decode(), zip=True)
    if where == "after":
        info.add_itxt("Workflow", "a step, " * 200_000, zip=True)
    buffer = io.BytesIO()
    picture().save(buffer, "PNG", pnginfo=info)
    data = buffer.getvalue()
    if where == "after":
        at, end = data.index(b"IDAT") - 4, data.rindex(b"IEND") - 4
        text = data[33:at]
        data = data[:33] + data[at:end] + text + data[end:]
    image = decode_image(data, Path("a.png"))
    path = written(image, tmp_path / "b.png")
    assert len(packet) - len(read_image(path).metadata.xmp or b"") in range(-4, 5)
    assert PngImagePlugin.MAX_TEXT_CHUNK < 2**21


def test_the_comment_of_a_jpeg(tmp_path: Path) -> None:
    image = read_image(full_file(tmp_path, ".jpg"))
    assert Image.open(written(image, tmp_path / "a.jpg")).info["comment"].decode() == CAPTION
    opened = Image.open(written(image, tmp_path / "a.png"))
    opened.load()
    assert opened.text["Comment"] == CAPTION  # type: ignore[attr-defined]


def test_private_tags_of_a_tiff_are_kept(tmp_path: Path) -> None:
    path = written(read_image(full_file(tmp_path, ".tif")), tmp_path / "out.tif")
    with tifffile.TiffFile(path) as tif:
        page = tif.pages[0].aspage()
        assert page.tags[65000].value in {"private", b"private"}
        assert page.imagewidth == 40
        assert ORIENTATION not in page.tags or page.tags[ORIENTATION].value == 1


def test_colours_of_a_png_stay_as_they_were_meant(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_with(gAMA=LINEAR))
    for strip in (False, True):
        path = written(read_image(tmp_path / "a.png"), tmp_path / "b.png", strip=strip)
        assert Image.open(path).info["gamma"] == 1.0


def png_with(**chunks: bytes) -> bytes:
    buffer = io.BytesIO()
    picture().save(buffer, "PNG")
    data = buffer.getvalue()
    packed = b"".join(
        struct.pack(">I", len(content))
        + name.encode()
        + content
        + struct.pack(">I", zlib.crc32(name.encode() + content))
        for name, content in chunks.items()
    )
    return data[:33] + packed + data[33:]


SRGB_CORNERS = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
LINEAR = struct.pack(">I", 100000)


@pytest.mark.parametrize(
    ("chunks", "lost"),
    [
        ({"gAMA": LINEAR}, "gAMA"),
        ({"cHRM": SRGB_CORNERS[::-1]}, "cHRM"),
        ({"cICP": bytes([12, 13, 0, 1])}, "cICP"),
        ({"gAMA": struct.pack(">I", 45455), "cHRM": SRGB_CORNERS}, None),
        ({"sRGB": b"\0", "gAMA": LINEAR}, None),
        ({"cICP": bytes([1, 13, 0, 1])}, None),
    ],
)
@pytest.mark.parametrize("into", FORMATS)
def test_colours_that_another_format_would_show_otherwise_are_said(
    tmp_path: Path, chunks: dict[str, bytes], lost: str | None, into: str
) -> None:
    image = decode_image(png_with(**chunks), Path("a.png"))
    said = check_writable(tmp_path / f"a{into}", 30, 20, metadata=image.metadata)
    assert len(said) == (lost is not None and into != ".png")
    assert all(f"cannot hold its kind of colours ({lost}; .png does)" in each for each in said)


def coded(kind: str, primaries: int, transfer: int) -> bytes:
    if kind == "AVIF":
        data = bytearray(imagecodecs.avif_encode(np.asarray(picture())))
        struct.pack_into(">HH", data, data.index(b"colrnclx") + 8, primaries, transfer)
        return bytes(data)
    buffer = io.BytesIO()
    pillow_heif.from_pillow(picture()).save(
        buffer, color_primaries=primaries, transfer_characteristics=transfer, full_range_flag=1
    )
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["AVIF", "HEIC"])
def test_colours_of_wide_gamuts_are_named_in_the_png(tmp_path: Path, kind: str) -> None:
    for primaries, transfer in ((12, 13), (9, 16), (9, 18)):
        image = decode_image(coded(kind, primaries, transfer), Path("a.heic"))
        data = written(image, tmp_path / "a.png").read_bytes()
        at = data.index(b"cICP")
        assert data[at + 4 : at + 8] == bytes([primaries, transfer, 0, 1])
        assert "kind of colours" in check_writable("a.jpg", 30, 20, metadata=image.metadata)[0]
    plain = decode_image(coded(kind, 1, 13), Path("a.heic"))
    assert plain.metadata.colour_chunks == ()


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_thumbnail_is_gone_to_its_last_byte(tmp_path: Path, order: str) -> None:
    secret = b"\xff\xd8 the face as it was \xff\xd9"
    picture().save(tmp_path / "a.jpg", exif=exif_block(order, secret))
    path = written(read_image(tmp_path / "a.jpg"), tmp_path / "b.jpg")
    assert secret in (tmp_path / "a.jpg").read_bytes()
    assert b"the face" not in path.read_bytes()
    assert not Image.open(path).getexif().get_ifd(1)
    assert tag_text(path, DESCRIPTION) == CAPTION


@pytest.mark.parametrize("into", FORMATS)
def test_xmp_that_goes_on_in_further_segments(tmp_path: Path, into: str) -> None:
    parts = [
        b"http://ns.adobe.com/xmp/extension/\0" + b"0123456789ABCDEF" * 2 + bytes(8) + text * 900
        for text in (b"<first/>", b"<second/>")
    ]
    buffer = io.BytesIO()
    picture().save(buffer, "JPEG", xmp=XMP)
    data = buffer.getvalue()
    data = data[:2] + b"".join(b"\xff\xe1" + be16(len(p) + 2) + p for p in parts) + data[2:]
    image = decode_image(data, Path("a.jpg"))
    result = written(image, tmp_path / f"b{into}").read_bytes()
    said = check_writable(tmp_path / f"c{into}", 30, 20, metadata=image.metadata)
    if into == ".jpg":
        assert all(part in result for part in parts)
        assert said == ()
        assert "APP1" in dict(Image.open(io.BytesIO(result)).applist)  # type: ignore[attr-defined]
    else:
        assert "cannot hold its long XMP" in said[0]
    stripped = written(image, tmp_path / f"d{into}", strip=True)
    assert parts[0] not in stripped.read_bytes()


def be16(value: int) -> bytes:
    return value.to_bytes(2, "big")


@pytest.mark.parametrize("into", FORMATS)
def test_nothing_is_left_where_it_is_to_be_stripped(tmp_path: Path, into: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = read_image(full_file(tmp_path, ".jpg"))
    path = tmp_path / f"a{into}"
    write_image(
        path,
        image.pixels,
        icc_profile=profile,
        exif=image.exif,
        metadata=image.metadata,
        strip=True,
    )
    data = path.read_bytes()
    for word in (CAPTION.encode(), b"Box", "Łód".encode(), b"xmpmeta"):
        assert word not in data
    opened = Image.open(path)
    opened.load()
    assert opened.info["icc_profile"] == profile


def grey_profile() -> bytes:
    profile = Image.open(CASES / "grey_icc.jpg").info["icc_profile"]
    assert isinstance(profile, bytes)
    return profile


@pytest.mark.parametrize("into", [".jpg", ".png", ".tif"])
def test_a_grey_profile_is_kept_with_grey(tmp_path: Path, into: str) -> None:
    image = read_image(CASES / "grey_icc.jpg")
    assert image.grey
    opened = Image.open(written(image, tmp_path / f"a{into}", 1))
    opened.load()
    assert opened.mode == "L"
    assert opened.info["icc_profile"] == grey_profile()


@pytest.mark.parametrize("into", FORMATS)
def test_a_grey_profile_is_dropped_with_colours(tmp_path: Path, into: str) -> None:
    image = read_image(CASES / "grey_icc.jpg")
    coloured = image.pixels.clone()
    coloured[0] = 0.9
    write_image(tmp_path / f"a{into}", coloured, icc_profile=image.icc_profile, grey=image.grey)
    opened = Image.open(tmp_path / f"a{into}")
    opened.load()
    assert opened.mode == "RGB"
    assert "icc_profile" not in opened.info


def test_grey_files_stay_grey_files(tmp_path: Path) -> None:
    picture().convert("LA").save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    write_image(tmp_path / "b.png", image.pixels, alpha=image.alpha, grey=image.grey)
    assert Image.open(tmp_path / "b.png").mode == "LA"
    write_image(tmp_path / "c.png", image.pixels, bit_depth=16, grey=True)
    assert np.asarray(Image.open(tmp_path / "c.png")).dtype == np.uint16


def test_too_much_exif_for_a_jpeg_is_said_before(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[MAKE] = "Box"
    exif.get_ifd(0x8769)[0x927C] = bytes(70_000)
    picture().save(tmp_path / "a.png", exif=exif.tobytes())
    image = read_image(tmp_path / "a.png")
    assert check_writable(tmp_path / "b.png", 30, 20, exif=image.exif) == ()
    said = check_writable(tmp_path / "b.jpg", 30, 20, exif=image.exif)
    assert len(said) == 1
    assert "JPEG" in said[0]
    path = written(image, tmp_path / "b.jpg")
    assert Image.open(path).getexif()[MAKE] == "Box"  # what fits is kept
    exif[MAKE] = "x" * 70_000
    picture().save(tmp_path / "a.png", exif=exif.tobytes())
    image = read_image(tmp_path / "a.png")
    assert "EXIF" in check_writable(tmp_path / "b.jpg", 30, 20, exif=image.exif)[0]
    written(image, tmp_path / "b.jpg")


@pytest.mark.parametrize(
    ("name", "width", "height", "fits"),
    [
        ("a.webp", 16_383, 10, True),
        ("a.webp", 16_384, 10, False),
        ("a.jpg", 10, 65_535, False),
        ("a.jpg", 10, 65_500, True),
        ("a.png", 100_000, 10, True),
        ("a.tif", 10, 100_000, True),
    ],
)
def test_sides_are_checked_before(
    tmp_path: Path, name: str, width: int, height: int, fits: bool
) -> None:
    if fits:
        assert check_writable(tmp_path / name, width, height) == ()
        write_image(tmp_path / name, torch.zeros(3, height, width))
    else:
        with pytest.raises(ImageError, match=name):
            check_writable(tmp_path / name, width, height)
        with pytest.raises(ImageError, match=name):
            write_image(tmp_path / name, torch.zeros(3, height, width))
        assert not (tmp_path / name).exists()


def test_what_a_format_cannot_hold_is_named(tmp_path: Path) -> None:
    image = read_image(full_file(tmp_path, ".jpg"))
    said = check_writable(tmp_path / "a.webp", 9, 9, exif=image.exif, metadata=image.metadata)
    assert "IPTC" in said[0]
    said = check_writable(tmp_path / "a.bmp", 9, 9, exif=image.exif, metadata=image.metadata)
    assert "EXIF" in said[0]
    assert "XMP" in said[0]
    with pytest.raises(ImageError, match="extension"):
        check_writable(tmp_path / "a.gif", 9, 9)


@pytest.mark.parametrize(
    "block", [b"Exif\0\0", b"Exif\0\0II*\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"]
)
def test_broken_exif_is_no_reason_to_lose_a_picture(tmp_path: Path, block: bytes) -> None:
    picture().save(tmp_path / "a.jpg", exif=block)
    image = read_image(tmp_path / "a.jpg")
    written(image, tmp_path / "b.jpg")
    written(image, tmp_path / "b.tif")


def test_scrambled_exif_never_crashes(tmp_path: Path) -> None:
    block = exif_block(thumbnail=b"thumb")
    rng = np.random.default_rng(0)
    for _ in range(40):
        data = bytearray(block)
        for at in rng.integers(6, len(data), 3):
            data[at] = rng.integers(0, 256)
        buffer = io.BytesIO()
        picture().save(buffer, "JPEG", exif=bytes(data))
        (tmp_path / "a.jpg").write_bytes(buffer.getvalue())
        image = read_image(tmp_path / "a.jpg")
        written(image, tmp_path / "b.tif")
        assert read_image(written(image, tmp_path / "b.jpg")).pixels.isfinite().all()
