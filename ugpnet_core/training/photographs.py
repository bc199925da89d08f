"""The photographs that are learned from: found, checked, square and of one size."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

import torch
from PIL import Image
from torch import Tensor

from ugpnet_core.config import PairedFolders, Source
from ugpnet_core.errors import ImageError, TrainingError
from ugpnet_core.image import center_square, resize
from ugpnet_core.progress import watched
from ugpnet_core.training.sources import File, Original, Photograph, find_originals

logger = logging.getLogger(__name__)

# Decoding leaves Python's lock, so threads help; more than a few only wait for the disk.
MOST_READERS = 8
ORIENTATION = 0x0112  # the EXIF tag


class Picture(NamedTuple):
    """A photograph, uint8 (3, r, r), and what it looks like degraded, uint8 (3, r / s, r / s), or
    None where a task makes that."""

    clean: Tensor
    degraded: Tensor | None = None


class Pictures(Protocol):
    """Pictures by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Picture: ...


@dataclass(frozen=True)
class Photographs:
    """The readable images of some sources.

    Attributes:
        pictures: in memory, or decoded at each use.
        unreadable: for each file that was skipped, a sentence that names it and says why.
        enlarged: how many were smaller than the resolution.
        resized_pairs: how many pairs were resized, and with them what degrades them.
        listing: a digest of names and sizes: another one means other photographs.
        pairs: a digest of the names of degraded images; empty where there are none.
    """

    pictures: Pictures
    unreadable: Sequence[str] = ()
    enlarged: int = 0
    resized_pairs: int = 0
    listing: str = ""
    pairs: str = ""

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Tensor:
        """Image ``index`` as float32 (3, r, r) in [0, 1]."""
        return self.pictures[index].clean.float() / 255

    def pair(self, index: int) -> tuple[Tensor, Tensor | None]:
        """Image ``index``, and how it looks degraded where it comes with that, as float32."""
        clean, degraded = self.pictures[index]
        return clean.float() / 255, None if degraded is None else degraded.float() / 255


class OnDisk:
    """Images that are decoded at each use, for what memory does not hold.

    An image that turns out to be damaged is reported once, and the next one stands in for it.

    Args:
        scale: of the task: how many times smaller degraded images are.
    """

    def __init__(self, photographs: Sequence[Photograph], resolution: int, scale: int) -> None:
        self.photographs = photographs
        self.resolution = resolution
        self.scale = scale
        self._reported: set[Photograph] = set()

    def __len__(self) -> int:
        return len(self.photographs)

    def __getitem__(self, index: int, /) -> Picture:
        """Image ``index``.

        Raises:
            TrainingError: not one of the images can be read any more.
        """
        for offset in range(len(self.photographs)):
            one = self.photographs[(index + offset) % len(self.photographs)]
            try:
                return _decode(one, self.resolution, self.scale)[0]
            except ImageError as error:
                if one not in self._reported:
                    self._reported.add(one)
                    logger.warning("The next photograph stands in for a bad one: %s", error)
        clean = self.photographs[index].clean
        raise TrainingError(f"{clean} and all others are gone; put them back.")


class Joined:
    """Several collections, one after the other."""

    def __init__(self, parts: Sequence[Pictures]) -> None:
        self.parts = [part for part in parts if len(part)]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __getitem__(self, index: int, /) -> Picture:
        """Picture ``index`` of all."""
        for part in self.parts:
            if index < len(part):
                return part[index]
            index -= len(part)
        raise IndexError(index)


def read_photographs(
    sources: Sequence[Source],
    resolution: int,
    *,
    scale: int = 1,
    count: int | None = None,
    cache: bool = True,
    quiet: bool = True,
) -> Photographs:
    """Find the photographs of some sources, and skip unreadable ones.

    Args:
        sources: folders, read recursively; shards; pairs of folders.
        scale: how many times smaller the degraded images of pairs are.
        count: take so many, spread evenly over all (default: all).
        cache: keep the decoded images in memory; otherwise only the beginning of each file is
            looked at now, and it is decoded at each use. So are those in shards in any case, and
            nothing of them is looked at now.
        quiet: do not show progress.

    Raises:
        TrainingError: no such source, no readable image, or pairs of another scale.
        ImageError: a pair of folders does not match.
    """
    found = find_originals(sources)
    chosen = found.photographs
    if count is not None and len(chosen) > count:
        chosen = [chosen[index * len(chosen) // count] for index in range(count)]
    files = [one for one in chosen if isinstance(one.clean, File)]
    members = [one for one in chosen if not isinstance(one.clean, File)]
    looking = _look_at(files, resolution, scale, cache)
    seen = list(watched(looking, len(files), "Reading photographs", quiet))
    readable = [one for one in seen if not one.problem]
    if not readable and not members:
        raise TrainingError(
            f"There is no readable image in {', '.join(map(_name, sources))}; give folders of "
            "photographs."
        )
    in_files: Pictures = (
        [one.picture for one in readable if one.picture is not None]
        if cache
        else OnDisk([one.photograph for one in readable], resolution, scale)
    )
    return Photographs(
        pictures=Joined([in_files, OnDisk(members, resolution, scale)]) if members else in_files,
        unreadable=[*found.problems, *(one.problem for one in seen if one.problem)],
        enlarged=sum(one.side < resolution for one in readable),
        resized_pairs=sum(
            one.photograph.degraded is not None and one.side != resolution for one in readable
        ),
        listing=found.listing,
        pairs=found.pairs,
    )


class _Seen(NamedTuple):
    photograph: Photograph
    picture: Picture | None = None
    side: int = 0
    problem: str = ""


def _look_at(
    photographs: Sequence[Photograph], resolution: int, scale: int, cache: bool
) -> Iterator[_Seen]:
    readers = min(MOST_READERS, torch.get_num_threads())
    look = partial(_look, resolution=resolution, scale=scale, cache=cache)
    with ThreadPoolExecutor(readers) as pool:
        yield from pool.map(look, photographs)


def _look(photograph: Photograph, resolution: int, scale: int, cache: bool) -> _Seen:
    try:
        if cache:
            picture, side = _decode(photograph, resolution, scale)
            return _Seen(photograph, picture, side)
        return _Seen(photograph, None, _shorter_side(photograph, scale))
    except ImageError as error:
        return _Seen(photograph, problem=str(error))


def _decode(photograph: Photograph, resolution: int, scale: int) -> tuple[Picture, int]:
    """The pictures, and the shorter side that the clean image has in its file."""
    pixels = photograph.clean.read().pixels
    side = min(pixels.shape[-2:])
    if photograph.degraded is None:
        return Picture(_levels(center_square(pixels, resolution))), side
    degraded = photograph.degraded.read().pixels
    _check_scale(photograph, tuple(pixels.shape[-2:]), tuple(degraded.shape[-2:]), scale)
    # The square is cut on the grid of the degraded image, so that both show the same.
    height, width = degraded.shape[-2:]
    small = min(height, width)
    top, left = (height - small) // 2, (width - small) // 2
    both = [
        image[:, top * s : (top + small) * s, left * s : (left + small) * s]
        for image, s in ((pixels, scale), (degraded, 1))
    ]
    sizes = resolution, resolution // scale
    clean, worse = (resize(image, (r, r)) for image, r in zip(both, sizes, strict=True))
    return Picture(_levels(clean), _levels(worse)), side


def _levels(image: Tensor) -> Tensor:
    return image.mul(255).round().to(torch.uint8)


def _check_scale(
    photograph: Photograph, clean: tuple[int, ...], degraded: tuple[int, ...], scale: int
) -> None:
    """Raise a TrainingError where a degraded image is not ``scale`` times smaller."""
    if tuple(side * scale for side in degraded) != clean:
        words = [f"{width}x{height}" for height, width in (degraded, clean)]
        raise TrainingError(
            f"{photograph.degraded} has {words[0]} pixels and {photograph.clean} {words[1]}, but "
            f"the task makes images {scale} times smaller; set the task's scale, or give pairs "
            "that fit it."
        )


def _shorter_side(photograph: Photograph, scale: int) -> int:
    clean = _size(photograph.clean)
    if photograph.degraded is not None:
        _check_scale(photograph, clean, _size(photograph.degraded), scale)
    return min(clean)


def _size(original: Original) -> tuple[int, ...]:
    """Height and width, from the header of a file where that says it."""
    if isinstance(original, File):
        try:
            with Image.open(original.path) as header:
                # The EXIF block of other formats may lie behind the pixels.
                exif = header.getexif() if header.format == "JPEG" else {}
                width, height = header.size
                turned = exif.get(ORIENTATION, 1) >= 5
                return (width, height) if turned else (height, width)
        except Exception:  # whatever it is, reading the whole file says it in one of our own errors
            pass
    return tuple(original.read().pixels.shape[-2:])


def _name(source: Source) -> str:
    if isinstance(source, PairedFolders):
        return f"{source.clean} and {source.degraded}"
    return str(source)
