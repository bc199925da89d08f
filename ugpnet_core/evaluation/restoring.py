"""Restore photographs with methods, batch after batch, and keep what was made for a later run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import safetensors.torch
import torch
from torch import Tensor

from ugpnet_core.errors import ConfigError
from ugpnet_core.evaluation.findings import range_finding
from ugpnet_core.evaluation.methods import Batch, Runner
from ugpnet_core.evaluation.photographs import Sample
from ugpnet_core.evaluation.running import SeededRuns
from ugpnet_core.evaluation.store import Store, digest, digest_of_sample, metadata_of
from ugpnet_core.evaluation.trouble import Trouble
from ugpnet_core.metrics.pixel import quantised

Images = Mapping[str, Tensor]
"""By method, (3, r, r) in [0, 1], 8-bit levels, on the CPU; a method that failed is absent."""


class Made(NamedTuple):
    """What a runner made of a photograph.

    Attributes:
        images: see :data:`Images`.
        ranges: by method, the lowest and the highest value before it was clamped.
    """

    images: Images
    ranges: Mapping[str, Sequence[float]]


class Restoring:
    """Runs methods on batches of photographs.

    Images are kept one by one, but those of a batch that was restored as a whole together or not
    at all, since in another one their last bits could be others. What failed is not kept.

    Args:
        run: how methods are run.
        trouble: told what fails, and what is out of range.
        batch_size: how many photographs a batch has, if there are as many.
        store: where results are kept; None: nowhere.
    """

    def __init__(
        self, run: SeededRuns, trouble: Trouble, batch_size: int, store: Store | None = None
    ) -> None:
        self.run = run
        self.trouble = trouble
        self.batch_size = batch_size
        self.store = store
        self._out_of_range: set[str] = set()

    def __call__(self, runner: Runner, batch: Batch) -> list[Images]:
        """What a runner makes of each sample; nothing of one that it fails on."""
        known = [self._kept(runner, sample) for sample in batch.samples]
        # A batch of which some images are there was not restored as a whole.
        if not (self.run.goes_alone(runner) or any(known)):
            known = self._together(runner, batch) or known
        return [
            self._seen(sample, made or self._alone(runner, sample))
            for sample, made in zip(batch.samples, known, strict=True)
        ]

    def _together(self, runner: Runner, batch: Batch) -> list[Made | None]:
        """A batch at once; nothing where that fails: the others must not pay for one image."""
        with suppress(Exception):
            made = self._made(runner, batch)
            self._keep(runner, batch.samples, made)
            return [*made]
        return []

    def _alone(self, runner: Runner, sample: Sample) -> Made:
        try:
            made = self._made(runner, Batch.of([sample]))
        except Exception as error:  # whatever a network raises is that method's trouble only
            self.trouble.method(runner, sample.name, error)
            return Made({}, {})
        self._keep(runner, [sample], made)
        return made[0]

    def _made(self, runner: Runner, batch: Batch) -> list[Made]:
        images = _checked(runner, self.run(runner, batch.fresh()), batch)
        levels = {name: quantised(x.detach().cpu()) for name, x in images.items()}
        return [
            Made(
                {name: x[place] for name, x in levels.items()},
                {
                    name: (float(x[place].min()), float(x[place].max()))
                    for name, x in images.items()
                },
            )
            for place in range(len(batch.samples))
        ]

    def _seen(self, sample: Sample, made: Made) -> Images:
        for method, (lowest, highest) in made.ranges.items():
            finding = range_finding(lowest, highest)
            if finding and method not in self._out_of_range:
                self._out_of_range.add(method)
                self.trouble.found(method, sample.name, finding)
        return made.images

    def _kept(self, runner: Runner, sample: Sample) -> Made | None:
        if self.store is None or not runner.identity:
            return None
        content = self.store.get(self._name(runner, sample))
        return None if content is None else _unpacked(content)

    def _keep(self, runner: Runner, samples: Sequence[Sample], made: Sequence[Made]) -> None:
        if self.store is not None and runner.identity:
            pairs = zip(samples, made, strict=True)
            self.store.put_all({self._name(runner, each): _packed(one) for each, one in pairs})

    def _name(self, runner: Runner, sample: Sample) -> str:
        count = 1 if self.run.goes_alone(runner) else self.batch_size
        facts = runner.identity, str(self.run.seed), str(count)
        return digest("image", *facts, digest_of_sample(sample))


def _checked(runner: Runner, images: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
    """Images by method, if they are what was asked for."""
    expected = (len(batch.samples), 3, batch.resolution, batch.resolution)
    for method in runner.methods:
        shape = tuple(images[method.name].shape)
        if shape != expected:
            raise ConfigError(
                f"{method.name} made images {shape} of photographs {expected}; use a network of "
                "the task's scale."
            )
        if not images[method.name].isfinite().all():
            raise ConfigError(f"{method.name} made pixels that are not finite; check its weights.")
    return {method.name: images[method.name].float() for method in runner.methods}


def _packed(made: Made) -> bytes:
    levels = {n: (x * 255).round().to(torch.uint8).contiguous() for n, x in made.images.items()}
    return safetensors.torch.save(levels, {"ranges": json.dumps(made.ranges)})


def _unpacked(content: bytes) -> Made:
    images = {name: x.float() / 255 for name, x in safetensors.torch.load(content).items()}
    ranges = json.loads(metadata_of(content)["ranges"])
    return Made({name: images[name] for name in ranges}, ranges)
