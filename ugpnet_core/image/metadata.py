"""What an image file says beside its pixels, colour profile and EXIF."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PIL import Image

from ugpnet_core.image.ifd import SHORT, Entry, text_entry
from ugpnet_core.image.iptc import iptc_in

XMP_KEY = "XML:com.adobe.xmp"
_RAW_PROFILE = "Raw profile type "
_COMMENT = "Comment"
# PNG's keywords, and the EXIF tags that mean the same.
_AS_TAGS = {
    "Description": 270,
    "Title": 270,
    "Software": 305,
    "Author": 315,
    "Copyright": 33432,
}
COLOUR_CHUNKS = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI")


@dataclass(frozen=True)
class Metadata:
    """What is carried from file to file.

    Attributes:
        xmp: the XMP packet, its orientation applied.
        xmp_extension: what a JPEG holds of XMP that is longer than one segment, as it lies there.
        iptc: the IPTC records.
        text: keywords and their text, as in PNG files; the comment of a JPEG is ``Comment``.
        dpi: pixels per inch across and down.
        colour_chunks: chunks of a PNG that say how its colours are meant: name and content.
        milliseconds: how long this frame of an animation is shown, or None.
        loop: how often the animation is shown, 0 for ever, None where it does not say.
    """

    xmp: bytes | None = None
    iptc: bytes | None = None
    text: tuple[tuple[str, str], ...] = ()
    dpi: tuple[float, float] | None = None
    colour_chunks: tuple[tuple[bytes, bytes], ...] = ()
    milliseconds: float | None = None
    loop: int | None = None
    xmp_extension: tuple[bytes, ...] = ()

    @property
    def comment(self) -> str | None:
        """The text of the keyword ``Comment``."""
        return dict(self.text).get(_COMMENT)

    def without_tags(self) -> tuple[str, ...]:
        """Keywords of the text that no EXIF tag stands for."""
        return tuple(key for key, _ in self.text if key not in _AS_TAGS and key != _COMMENT)


def of_pillow(image: Image.Image) -> Metadata:
    """What Pillow knows of a loaded image, orientations as they are."""
    info = image.info
    text = _text(image)
    return Metadata(
        xmp=_bytes(info.get("xmp")) or _bytes(text.get(XMP_KEY)),
        iptc=_iptc(info, text),
        text=tuple(
            (key, str(value))
            for key, value in text.items()
            if key != XMP_KEY and not key.startswith(_RAW_PROFILE)
        ),
        dpi=_dpi(info.get("dpi")),
        milliseconds=info.get("duration"),
        loop=info.get("loop"),
    )


def raw_profile(image: Image.Image, name: str) -> bytes | None:
    """What ImageMagick hides in the text of a PNG, such as ``"exif"``: hexadecimal digits."""
    return _digits(_text(image).get(_RAW_PROFILE + name))


def as_tags(metadata: Metadata) -> dict[int, Entry]:
    """The text as EXIF tags (little-endian), a comment as the description where there is none."""
    tags = {_AS_TAGS[key]: text_entry(value) for key, value in metadata.text if key in _AS_TAGS}
    if metadata.comment is not None:
        tags.setdefault(270, text_entry(metadata.comment))
    return tags


def resolution_tags(dpi: tuple[float, float]) -> dict[int, Entry]:
    """Pixels per inch as EXIF tags, little-endian."""
    across, down = (
        Entry(5, 1, round(value * 1000).to_bytes(4, "little") + (1000).to_bytes(4, "little"))
        for value in dpi
    )
    return {282: across, 283: down, 296: Entry(SHORT, 1, (2).to_bytes(2, "little"))}


def _text(image: Image.Image) -> dict[str, Any]:
    found = dict(getattr(image, "text", None) or {})
    comment = _decoded(image.info.get("comment"))
    if comment:
        found.setdefault(_COMMENT, comment.rstrip("\0"))
    return found


def _decoded(comment: Any) -> str:
    if not isinstance(comment, bytes):
        return str(comment or "")
    try:
        return comment.decode("utf-8")
    except UnicodeDecodeError:
        return comment.decode("latin-1")


def _iptc(info: dict[Any, Any], text: dict[str, Any]) -> bytes | None:
    resources = info.get("photoshop")
    if isinstance(resources, dict) and isinstance(resources.get(0x0404), bytes):
        return resources[0x0404] or None
    packed = _digits(text.get(_RAW_PROFILE + "iptc"))
    return (iptc_in(packed) or packed) if packed else None


def _digits(profile: Any) -> bytes | None:
    """Three lines of title, name and length, and the digits after them."""
    try:
        return bytes.fromhex("".join(str(profile).strip().split("\n")[2:])) or None
    except ValueError:
        return None


def _bytes(value: Any) -> bytes | None:
    if isinstance(value, str):
        value = value.encode("utf-8")
    return value if isinstance(value, bytes) and value else None


def _dpi(value: Any) -> tuple[float, float] | None:
    try:
        across, down = (float(side) for side in value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (across, down) if 0 < across < 1e6 and 0 < down < 1e6 else None
