"""What a format can hold of what is known of an image, and what is lost in it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ugpnet_core.image import jpeg
from ugpnet_core.image.exif import bare, sized, upright_xmp, with_missing, without_maker_note
from ugpnet_core.image.metadata import Metadata, as_tags, resolution_tags
from ugpnet_core.image.png import other_than_srgb


@dataclass(frozen=True)
class Description:
    """What is written beside pixels; see :class:`~ugpnet_core.image.metadata.Metadata`."""

    icc_profile: bytes | None = None
    exif: bytes | None = None
    metadata: Metadata = field(default_factory=Metadata)


def stripped(description: Description) -> Description:
    """Without everything but what colours are understood by, and how long a frame is shown."""
    kept = description.metadata
    metadata = Metadata(
        colour_chunks=kept.colour_chunks, milliseconds=kept.milliseconds, loop=kept.loop
    )
    return Description(description.icc_profile, None, metadata)


def fitted(
    description: Description, kind: str, size: tuple[int, int]
) -> tuple[Description, tuple[str, ...]]:
    """What a file of a kind and size (width, height) holds of a description, and what it cannot.

    The sides of the picture that EXIF and XMP name become those given.
    """
    exif, metadata = description.exif, description.metadata
    if exif:
        exif = sized(exif, *size)
    if metadata.xmp:
        metadata = replace(metadata, xmp=upright_xmp(metadata.xmp, *size))
    if kind in {"JPEG", "WEBP", "TIFF"}:
        exif = with_missing(exif, as_tags(metadata))
    if kind == "WEBP" and metadata.dpi:
        exif = with_missing(exif, resolution_tags(metadata.dpi))
    lost = _unlike_srgb(description) if kind != "PNG" else []
    if metadata.xmp_extension and kind != "JPEG":
        lost.append("long XMP")
    if kind == "BMP":
        return Description(metadata=Metadata(dpi=metadata.dpi)), (*lost, *_named(description))
    if kind == "JPEG":
        exif, parts = _short_enough(exif)
        lost += [*parts, *jpeg.too_long(metadata)]
    elif kind in {"WEBP", "TIFF"}:
        lost += metadata.without_tags()
        lost += ["IPTC"] if kind == "WEBP" and metadata.iptc else []
    return Description(description.icc_profile, exif, metadata), tuple(lost)


def _unlike_srgb(description: Description) -> list[str]:
    chunk = other_than_srgb(description.metadata.colour_chunks, description.icc_profile)
    return [f"kind of colours ({chunk}; .png does)"] if chunk else []


def _short_enough(exif: bytes | None) -> tuple[bytes | None, list[str]]:
    """An EXIF block that a JPEG can hold: where needed without the maker's notes, or none."""
    if not exif or len(bare(exif)) <= jpeg.MOST_EXIF:
        return exif, []
    exif = without_maker_note(exif)
    if len(bare(exif)) <= jpeg.MOST_EXIF:
        return exif, ["the camera maker's notes in EXIF"]
    return None, ["EXIF"]


def _named(description: Description) -> tuple[str, ...]:
    metadata = description.metadata
    parts = {
        "the colour profile": description.icc_profile,
        "EXIF": description.exif,
        "XMP": metadata.xmp,
        "IPTC": metadata.iptc,
        **dict(metadata.text),
    }
    return tuple(name for name, value in parts.items() if value)
