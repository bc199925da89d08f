"""Random crops of photographs of any size: what a regression network, which knows no domain,
learns from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ugpnet_core.config import CropSource
from ugpnet_core.degradations import rng_for
from ugpnet_core.degradations.pairing import pair
from ugpnet_core.errors import ImageError, TrainingError
from ugpnet_core.image import resize
from ugpnet_core.progress import watched
from ugpnet_core.protocols import Task
from ugpnet_core.training.data import Pair
from ugpnet_core.training.sources import Found, Original, find_originals

READERS = 8


@dataclass(frozen=True)
class Collection:
    """The photographs of one source, decoded.

    Attributes:
        sizes: for each photograph, uint8 (3, H, W) in each of the scales that a crop fits into.
        share: how often a crop is from here, against the other collections.
    """

    sizes: Sequence[Sequence[Tensor]]
    share: float
    turn: bool


@dataclass(frozen=True)
class CropPhotographs:
    """All that crops are cut from.

    Attributes:
        unreadable: for each file that was skipped, a sentence that names it and says why.
    """

    collections: Sequence[Collection]
    unreadable: Sequence[str] = ()

    def __len__(self) -> int:
        return sum(len(one.sizes) for one in self.collections)


class CropPairs(Dataset[Pair]):
    """An endless sequence of pairs: item i is drawn from (seed, stage, i) alone.

    The source is drawn by its share; in it, photograph, scale and place alike.
    """

    def __init__(
        self,
        photographs: CropPhotographs,
        task: Task,
        seed: int,
        stage: str,
        *,
        crop: int,
        flip: bool = True,
    ) -> None:
        self.photographs = photographs
        self.task = task
        self.seed = seed
        self.stage = stage
        self.crop = crop
        self.flip = flip
        total = sum(one.share for one in photographs.collections)
        self._shares = [one.share / total for one in photographs.collections]

    def __getitem__(self, index: int) -> Pair:
        """Sample ``index``: clean (3, crop, crop) and degraded (3, crop / s, crop / s)."""
        rng = rng_for(self.seed, self.stage, "sample", index)
        collections = self.photographs.collections
        collection = collections[int(rng.choice(len(collections), p=self._shares))]
        sizes = collection.sizes[int(rng.integers(len(collection.sizes)))]
        pixels = sizes[int(rng.integers(len(sizes)))]
        top, left = (int(rng.integers(side - self.crop + 1)) for side in pixels.shape[-2:])
        clean = pixels[:, top : top + self.crop, left : left + self.crop].float() / 255
        if self.flip and rng.random() < 0.5:
            clean = clean.flip(-1)
        if collection.turn:
            clean = torch.rot90(clean, int(rng.integers(4)), (-2, -1))
        clean = clean.contiguous()
        return Pair(*pair(self.task, clean, rng))


def crops_listing(sources: Sequence[CropSource]) -> str:
    """A digest of names and sizes of all files: another one means other photographs.

    Raises:
        TrainingError: a source is missing.
    """
    listing = hashlib.sha256()
    for source in sources:
        listing.update(_found(source).listing.encode())
    return listing.hexdigest()


def read_crop_photographs(
    sources: Sequence[CropSource], crop: int, *, quiet: bool = True
) -> CropPhotographs:
    """Read the photographs of all sources into memory, in all their scales.

    Args:
        quiet: do not show progress.

    Raises:
        TrainingError: a source is missing, or has no readable photograph that a crop fits into.
    """
    collections, unreadable = [], []
    for source in sources:
        originals = [photograph.clean for photograph in _found(source).photographs]
        with ThreadPoolExecutor(min(READERS, torch.get_num_threads())) as pool:
            reading = pool.map(_Reader(source.scales, crop), originals)
            what = f"Reading {source.path}"
            read = list(watched(reading, len(originals), what, quiet))
        unreadable += [one for one in read if isinstance(one, str)]
        sizes = [one for one in read if not isinstance(one, str)]
        if not sizes:
            raise TrainingError(
                f"There is no readable photograph of at least {crop} pixels in {source.path}; "
                "give another folder, or a smaller data.crop."
            )
        collections.append(Collection(sizes, source.share, source.turn))
    return CropPhotographs(collections, unreadable)


def _found(source: CropSource) -> Found:
    if not source.path.exists():
        raise TrainingError(f"There is no folder {source.path}; set data.crops.")
    return find_originals([source.path])


class _Reader:
    """Reads one photograph in some scales, or says in a sentence why not."""

    def __init__(self, scales: Sequence[float], crop: int) -> None:
        self.scales = scales
        self.crop = crop

    def __call__(self, original: Original) -> list[Tensor] | str:
        try:
            pixels = original.read().pixels
        except ImageError as error:
            return str(error)
        wanted = [[round(side * scale) for side in pixels.shape[-2:]] for scale in self.scales]
        fitting = [size for size in wanted if min(size) >= self.crop]
        if not fitting:
            return f"{original} is smaller than a crop of {self.crop} pixels."
        return [resize(pixels, size).mul(255).round().to(torch.uint8) for size in fitting]
