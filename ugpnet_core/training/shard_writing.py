"""Photographs packed into WebDataset shards, for data that is read from a network or many disks."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from ugpnet_core.atomic import write_beside
from ugpnet_core.errors import ImageError
from ugpnet_core.image import EXTENSIONS, center_square, read_image
from ugpnet_core.image.encoding import encode
from ugpnet_core.image.files import QUALITY, to_levels
from ugpnet_core.image.fitting import Description

NAME = "{prefix}-{number:06d}.tar"


class Written(NamedTuple):
    """The shards, how many images they hold, and for each file that was left out a reason."""

    shards: list[Path]
    images: int
    problems: list[str]


def write_shards(
    files: Iterable[Path],
    out: Path,
    *,
    prefix: str = "photographs",
    per_shard: int = 1000,
    size: int | None = None,
    root: Path | None = None,
) -> Written:
    """Pack image files into OUT/PREFIX-000000.tar and so on, in their order.

    The same files give the same bytes. A file that cannot be read is left out.

    Args:
        per_shard: images in one shard.
        size: cut each image to a centred square of this size, stored as PNG; None: as it is.
        root: names inside the shards are taken from the paths below this folder.

    Raises:
        ImageError: a shard exists, or the disk refuses; shards that are finished stay.
    """
    shards: list[Path] = []
    problems: list[str] = []
    images = 0
    waiting: list[tuple[str, bytes]] = []

    def flush() -> None:
        path = out / NAME.format(prefix=prefix, number=len(shards))
        if path.exists():
            raise ImageError(f"{path} exists already; choose another folder or prefix.")
        try:
            write_beside(path, lambda partial: _write(partial, waiting))
        except OSError as error:
            raise ImageError(f"{path} cannot be written: {error.strerror or error}.") from error
        shards.append(path)
        waiting.clear()

    for file in files:
        try:
            suffix, data = _content(file, size)
        except ImageError as error:
            problems.append(str(error))
            continue
        below = file.relative_to(root) if root is not None else Path(file.name)
        # A sample's name ends at the first dot, and must be one of its own.
        name = "_".join(below.with_suffix("").parts).replace(".", "_")
        waiting.append((f"{images:09d}_{name}{suffix}", data))
        images += 1
        if len(waiting) == per_shard:
            flush()
    if waiting:
        flush()
    return Written(shards, images, problems)


def _content(file: Path, size: int | None) -> tuple[str, bytes]:
    """Extension and content of what is stored for a file; it is decoded either way."""
    pixels = read_image(file).pixels
    extension = file.suffix.lower()
    # Of kinds that are not written, or under other names, a reader would not know what they are.
    if size is None and extension in EXTENSIONS:
        return extension, file.read_bytes()
    picture = pixels if size is None else center_square(pixels, size)
    levels = to_levels(picture, "PNG", file)
    return ".png", encode(levels, "PNG", Description(), QUALITY)


def _write(partial: Path, content: Sequence[tuple[str, bytes]]) -> None:
    with tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in content:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            entry.mode = 0o644
            tar.addfile(entry, io.BytesIO(data))
