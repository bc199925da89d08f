"""Photographs inside WebDataset shards (plain .tar files), read by number.

WebDataset (https://github.com/webdataset/webdataset) reads shards as a stream. Here the place of
each image is looked up once, so that image i is the same in every process and after every
interruption. Each image in a shard counts, whatever other files its sample has.
"""

from __future__ import annotations

import itertools
import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ugpnet_core.errors import ImageError
from ugpnet_core.image import EXTENSIONS, ImageFile, decode_image

_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_BRACES = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Member:
    """An image inside a shard: ``size`` bytes from ``offset`` on."""

    shard: Path
    name: str
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.shard}: {self.name}"

    def read(self) -> ImageFile:
        """Read the image.

        The shard is opened anew: processes that are forked would share one place in it.

        Raises:
            ImageError: the shard is gone or shorter, or the image is damaged.
        """
        try:
            with self.shard.open("rb") as file:
                file.seek(self.offset)
                data = file.read(self.size)
        except OSError as error:
            raise ImageError(
                f"{self} cannot be read: {error.strerror or error}; check the path."
            ) from error
        if len(data) < self.size:
            raise ImageError(f"{self} is cut short; copy the shard again.")
        return decode_image(data, self.shard / self.name)


class Index(NamedTuple):
    """The images of a shard, and a sentence about what is wrong with it, or an empty one."""

    members: list[Member]
    problem: str = ""


def expand(pattern: str) -> list[str]:
    """Write out braces: ``a-{08..11}`` is a-08, a-09, a-10, a-11 and ``{a,b}c`` is ac, bc."""
    found = _BRACES.search(pattern)
    if found is None:
        return [pattern]
    inner = found.group(1)
    numbers = _RANGE.fullmatch(inner)
    if numbers is not None:
        first, last = map(int, numbers.groups())
        step = 1 if last >= first else -1
        width = len(numbers.group(1)) if numbers.group(1).startswith("0") else 0
        words = [f"{number:0{width}d}" for number in range(first, last + step, step)]
    elif "," in inner:
        words = inner.split(",")
    else:
        # Braces around a single word are no pattern, for a shell neither.
        words = ["{" + inner + "}"]
        rest = expand(pattern[found.end() :])
        return [pattern[: found.start()] + words[0] + one for one in rest]
    return list(
        itertools.chain.from_iterable(
            expand(pattern[: found.start()] + word + pattern[found.end() :]) for word in words
        )
    )


def index_shard(shard: Path) -> Index:
    """Find the images in a shard, in their order, without reading them.

    A shard that is damaged somewhere gives the images before that.
    """
    try:
        total = shard.stat().st_size
        # No stream and no compression: both would have to be read from the beginning each time.
        with tarfile.open(shard, "r:") as file:
            members: list[Member] = []
            problem = ""
            try:
                members.extend(_images(file, shard))
            except (tarfile.TarError, OSError, EOFError) as error:
                problem = f"{shard} is damaged after {len(members)} images ({error})"
            lost = [one for one in members if one.offset + one.size > total]
            if lost:
                members = [one for one in members if one.offset + one.size <= total]
                problem = f"{shard} is cut short after {len(members)} images"
    except tarfile.TarError as error:
        return Index([], f"{shard} is no uncompressed tar file ({error}); replace or remove it.")
    except OSError as error:
        return Index([], f"{shard} cannot be read: {error.strerror or error}; check the path.")
    return Index(members, f"{problem}; copy it again." if problem else "")


def _images(file: tarfile.TarFile, shard: Path) -> Iterator[Member]:
    for entry in file:
        path = PurePosixPath(entry.name)
        hidden = path.name.startswith(".")
        if entry.isreg() and path.suffix.lower() in EXTENSIONS and not hidden:
            yield Member(shard, os.fspath(path), entry.offset_data, entry.size)
