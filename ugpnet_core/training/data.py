"""The pairs of clean and degraded images that a stage learns from.

Nothing here has a state: sample number i of a stage is a pure function of the seed, the stage
and i. A training that is resumed at step t therefore sees what an uninterrupted one would.
"""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator, Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from ugpnet_core.degradations import rng_for
from ugpnet_core.degradations.pairing import pair
from ugpnet_core.protocols import Task
from ugpnet_core.training.photographs import Photographs
from ugpnet_core.training.prefetching import ahead
from ugpnet_core.training.stopping import SIGNALS

# Batches that are ready before they are needed: enough for a slow sample or two.
AHEAD = 4
# Images that each worker makes ahead, where batches are small, and batches where they are not: a
# fast GPU takes many while one of them is late, but all have to lie in shared memory.
IMAGES_AHEAD = 64
BATCHES_AHEAD = 2


class Pair(NamedTuple):
    """Clean images x_gt (N, 3, r, r) and degraded ones x (N, 3, r / s, r / s), in [0, 1]."""

    clean: Tensor
    degraded: Tensor


class MixedPair(NamedTuple):
    """Clean images x_gt (N, 3, r, r); degraded ones, each at the upper left of (N, 3, r, r); and
    which of several tasks degraded them (N,)."""

    clean: Tensor
    degraded: Tensor
    source: Tensor


P = TypeVar("P", Pair, MixedPair)


class Pairs(Dataset[Pair]):
    """An endless sequence of pairs: item i is drawn from (seed, stage, i) alone."""

    def __init__(
        self,
        photographs: Photographs,
        task: Task,
        seed: int,
        stage: str,
        *,
        flip: bool = True,
        crop: int | None = None,
    ) -> None:
        self.photographs = photographs
        self.task = task
        self.seed = seed
        self.stage = stage
        self.flip = flip
        self.crop = crop
        self._order: tuple[int, Sequence[int]] = (-1, ())

    def __getitem__(self, index: int) -> Pair:
        """Sample ``index``: clean (3, r, r) and degraded (3, r / s, r / s)."""
        epoch, position = divmod(index, len(self.photographs))
        if self._order[0] != epoch:
            order = rng_for(self.seed, self.stage, "epoch", epoch)
            self._order = (epoch, order.permutation(len(self.photographs)).tolist())
        rng = rng_for(self.seed, self.stage, "sample", index)
        clean, degraded = self.photographs.pair(self._order[1][position])
        if self.flip and rng.random() < 0.5:
            clean = clean.flip(-1)
            degraded = None if degraded is None else degraded.flip(-1)
        if self.crop is not None and self.crop < clean.shape[-1]:
            # Of a pair, whole pixels of the degraded image are cut.
            grid = 1 if degraded is None else self.task.scale
            places = (clean.shape[-1] - self.crop) // grid + 1
            top, left = rng.integers(0, places, size=2).tolist()
            clean = _cut(clean, top * grid, left * grid, self.crop)
            if degraded is not None:
                degraded = _cut(degraded, top, left, self.crop // grid)
        if degraded is None:
            return Pair(*pair(self.task, clean.contiguous(), rng))
        return Pair(clean.contiguous(), degraded.contiguous())


class UpdateSamples(Sampler[int]):
    """The numbers of the samples that a process needs for its updates ``first`` to ``last`` - 1.

    Update u sees the samples from u * images on, as many as ``images`` = batch_size * accumulate *
    world says; :func:`ugpnet_core.training.processes.shares` says which batch has which of them.
    """

    def __init__(
        self, first: int, last: int, batch_size: int, accumulate: int, rank: int, world: int
    ) -> None:
        self.updates = range(first, last)
        self.batch_size = batch_size
        self.batches = accumulate * world
        self.own = range(rank * accumulate, (rank + 1) * accumulate)

    def __iter__(self) -> Iterator[int]:
        for update in self.updates:
            start = update * self.batch_size * self.batches
            for batch in self.own:
                for item in range(self.batch_size):
                    yield start + item * self.batches + batch

    def __len__(self) -> int:
        return len(self.updates) * len(self.own) * self.batch_size


def training_batches(
    pairs: Dataset[P],
    *,
    first: int,
    last: int,
    batch_size: int,
    accumulate: int = 1,
    rank: int = 0,
    world: int = 1,
    workers: int = 0,
) -> Generator[P]:
    """The batches of one process for the updates ``first`` to ``last`` - 1, ``accumulate`` each.

    They are made ahead of their use: by ``workers`` processes, or without any by a thread, which
    ends when the generator is closed.
    """
    loader = DataLoader(
        pairs,
        batch_size=batch_size,
        sampler=UpdateSamples(first, last, batch_size, accumulate, rank, world),
        num_workers=workers,
        prefetch_factor=max(BATCHES_AHEAD, IMAGES_AHEAD // batch_size) if workers else None,
        # From pinned memory a copy to a GPU goes on beside what is computed there.
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=_begin_worker,
        # Workers must not draw their seeds from the global generator, which training resets.
        generator=torch.Generator(),
    )
    if workers:
        yield from loader
    else:
        with ahead(loader, AHEAD) as batches:
            yield from batches


def validation_batches(
    photographs: Photographs, task: Task, seed: int, batch_size: int = 8
) -> list[Pair]:
    """The fixed validation set: the same images, degraded in the same way, at every call."""
    both = [photographs.pair(index) for index in range(len(photographs))]
    made = [
        pair(task, image, rng_for(seed, "validation", index)) if given is None else (image, given)
        for index, (image, given) in enumerate(both)
    ]
    clean, degraded = [image for image, _ in made], [image for _, image in made]
    return [
        Pair(torch.stack(clean[i : i + batch_size]), torch.stack(degraded[i : i + batch_size]))
        for i in range(0, len(clean), batch_size)
    ]


def _begin_worker(_number: int) -> None:
    """Leave interruptions, and what asks a training to stop, to the process that trains: they may
    be sent to all, and it decides how long it needs its workers, which end with it."""
    for number in (signal.SIGINT, *SIGNALS):
        signal.signal(number, signal.SIG_IGN)


def _cut(image: Tensor, top: int, left: int, side: int) -> Tensor:
    return image[:, top : top + side, left : left + side]
