"""Where photographs come from: folders, shards, and pairs of folders."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ugpnet_core.config import PairedFolders, Source
from ugpnet_core.errors import TrainingError
from ugpnet_core.image import ImageFile, list_images, match_pairs, read_image
from ugpnet_core.training.shards import Index, expand, index_shard

READERS = 8


class Original(Protocol):
    """An image that has not been read yet; ``str`` names it."""

    def read(self) -> ImageFile:
        """Read it, or raise ImageError."""
        ...


@dataclass(frozen=True)
class File:
    """An image file."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def read(self) -> ImageFile:
        """Read it."""
        return read_image(self.path)


@dataclass(frozen=True)
class Photograph:
    """A clean image, and the degraded one where it comes with one."""

    clean: Original
    degraded: Original | None = None


@dataclass
class Found:
    """What some sources hold.

    Attributes:
        problems: sentences about shards that are damaged.
        listing: a digest of names and sizes: another one means other photographs.
        pairs: a digest of the names of degraded images; empty where there are none.
    """

    photographs: list[Photograph] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    listing: str = ""
    pairs: str = ""


def find_originals(sources: Sequence[Source]) -> Found:
    """List the photographs of some sources, in their order; within a folder by name.

    Raises:
        TrainingError: a folder or shard does not exist.
        ImageError: a pair of folders does not match.
    """
    found, listing, pairs = Found(), hashlib.sha256(), hashlib.sha256()

    def note(*words: str | int) -> None:
        listing.update(_line(*words))

    for source in sources:
        if isinstance(source, PairedFolders):
            for name, clean, degraded in match_pairs(source.clean, source.degraded, source.pattern):
                found.photographs.append(Photograph(File(clean), File(degraded)))
                note(name, clean.suffix, _size(clean), degraded.suffix, _size(degraded))
                pairs.update(_line(degraded.relative_to(source.degraded).as_posix()))
                found.pairs = pairs.hexdigest()
        elif source.suffix == ".tar":
            for shard, index in _index(source):
                found.photographs += [Photograph(member) for member in index.members]
                found.problems += [index.problem] if index.problem else []
                for member in index.members:
                    note(shard.name, member.name, member.offset, member.size)
        else:
            if not source.exists():
                raise TrainingError(
                    f"There is no folder {source}; set data.train and data.validation."
                )
            for path in list_images([source], recursive=True):
                found.photographs.append(Photograph(File(path)))
                name = path.relative_to(source).as_posix() if path != source else path.name
                note(name, _size(path))
    found.listing = listing.hexdigest()
    return found


def _line(*words: str | int) -> bytes:
    return "\0".join(map(str, words)).encode("utf-8", "surrogateescape") + b"\n"


def _index(pattern: Path) -> list[tuple[Path, Index]]:
    shards = [Path(one) for one in expand(str(pattern))]
    missing = [str(shard) for shard in shards if not shard.exists()]
    if missing:
        more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
        raise TrainingError(
            f"There is no shard {', '.join(missing[:10])}{more}; set data.train and "
            "data.validation."
        )
    with ThreadPoolExecutor(READERS) as pool:
        return list(zip(shards, pool.map(index_shard, shards), strict=True))


def _size(path: Path) -> int:
    """In bytes; -1 for a file that is gone, which reading will say."""
    try:
        return path.stat().st_size
    except OSError:
        return -1
