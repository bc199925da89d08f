"""The photographs of some folders: found, checked, square and of one size."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from PIL import Image
from torch import Tensor

from ugpnet_core.errors import ImageError, TrainingError
from ugpnet_core.image import center_square, list_images, read_image
from ugpnet_core.training.display import watched

logger = logging.getLogger(__name__)

# Decoding leaves Python's lock, so threads help; more than a few only wait for the disk.
MOST_READERS = 8


class Images(Protocol):
    """Images by number, each uint8 (3, r, r)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Tensor: ...


@dataclass(frozen=True)
class Photographs:
    """The readable images of some folders.

    Attributes:
        images: in memory, or decoded at each use.
        unreadable: for each file that was skipped, a sentence that names it and says why.
        enlarged: how many were smaller than the resolution.
    """

    images: Images
    unreadable: Sequence[str] = ()
    enlarged: int = 0

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        """Image ``index`` as float32 (3, r, r) in [0, 1]."""
        return self.images[index].float() / 255


class OnDisk:
    """Images that are decoded at each use, for folders that memory does not hold.

    An image that turns out to be damaged is reported once, and the next one stands in for it.
    """

    def __init__(self, paths: Sequence[Path], resolution: int) -> None:
        self.paths = paths
        self.resolution = resolution
        self._reported: set[Path] = set()

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int, /) -> Tensor:
        """Image ``index``, uint8 (3, r, r).

        Raises:
            TrainingError: not one of the images can be read any more.
        """
        for offset in range(len(self.paths)):
            path = self.paths[(index + offset) % len(self.paths)]
            try:
                return _decode(path, self.resolution)[0]
            except ImageError as error:
                if path not in self._reported:
                    self._reported.add(path)
                    logger.warning("The next photograph stands in for a bad one: %s", error)
        raise TrainingError(f"{self.paths[index]} and all others are gone; put them back.")


def read_photographs(
    folders: Sequence[Path],
    resolution: int,
    *,
    count: int | None = None,
    cache: bool = True,
    quiet: bool = True,
) -> Photographs:
    """Find the images of some folders, recursively, and skip unreadable ones.

    Args:
        count: take so many, spread evenly over the sorted files (default: all).
        cache: keep the decoded images in memory; otherwise only the beginning of each file is
            looked at now, and it is decoded at each use.
        quiet: do not show progress.

    Raises:
        TrainingError: no folder, or no readable image in them.
    """
    for folder in folders:
        if not folder.exists():
            raise TrainingError(f"There is no folder {folder}; set data.train and data.validation.")
    paths = list_images(folders, recursive=True)
    if count is not None and len(paths) > count:
        paths = [paths[index * len(paths) // count] for index in range(count)]
    seen = list(
        watched(_look_at(paths, resolution, cache), len(paths), "Reading photographs", quiet)
    )
    readable = [one for one in seen if not one.problem]
    if not readable:
        names = ", ".join(str(folder) for folder in folders)
        raise TrainingError(f"There is no readable image in {names}; give folders of photographs.")
    return Photographs(
        images=[one.image for one in readable if one.image is not None]
        if cache
        else OnDisk([one.path for one in readable], resolution),
        unreadable=[one.problem for one in seen if one.problem],
        enlarged=sum(one.side < resolution for one in readable),
    )


class _Seen(NamedTuple):
    path: Path
    image: Tensor | None = None
    side: int = 0
    problem: str = ""


def _look_at(paths: Sequence[Path], resolution: int, cache: bool) -> Iterator[_Seen]:
    readers = min(MOST_READERS, torch.get_num_threads())
    with ThreadPoolExecutor(readers) as pool:
        yield from pool.map(partial(_look, resolution=resolution, cache=cache), paths)


def _look(path: Path, resolution: int, cache: bool) -> _Seen:
    try:
        if cache:
            image, side = _decode(path, resolution)
            return _Seen(path, image, side)
        return _Seen(path, None, _shorter_side(path))
    except ImageError as error:
        return _Seen(path, problem=str(error))


def _decode(path: Path, resolution: int) -> tuple[Tensor, int]:
    """The image as uint8 (3, r, r), and the shorter side it has in the file."""
    pixels = read_image(path).pixels
    square = center_square(pixels, resolution)
    return square.mul(255).round().to(torch.uint8), min(pixels.shape[-2:])


def _shorter_side(path: Path) -> int:
    try:
        with Image.open(path) as header:
            return min(header.size)
    except Exception:  # whatever it is, reading the whole file says it in one of our own errors
        return min(read_image(path).pixels.shape[-2:])
