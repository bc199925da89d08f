"""Restore photographs with methods, batch after batch, and keep what was made for a later run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress

import safetensors.torch
import torch
from torch import Tensor

from ugpnet_core.errors import ConfigError
from ugpnet_core.evaluation.findings import findings_of, range_finding
from ugpnet_core.evaluation.methods import Batch, Runner
from ugpnet_core.evaluation.photographs import Sample
from ugpnet_core.evaluation.running import SeededRuns
from ugpnet_core.evaluation.store import Store, digest, digest_of_sample, metadata_of
from ugpnet_core.evaluation.trouble import Trouble, names_of
from ugpnet_core.metrics.pixel import quantised

Images = Mapping[str, Tensor]
"""By method, (3, r, r) in [0, 1], 8-bit levels, on the CPU; a method that failed is absent."""

Ranges = Mapping[str, Sequence[float]]
"""By method, the lowest and the highest value before it was clamped."""


class Restoring:
    """Runs methods on batches of photographs.

    A batch is kept as a whole or not at all: in another one, the last bits of an image could be
    others. What failed is not kept.

    Args:
        seed: with a photograph's name, of the random numbers that a method draws for it.
        trouble: told what fails and what is found.
        store: where results are kept; None: nowhere.
    """

    def __init__(self, seed: int, trouble: Trouble, store: Store | None = None) -> None:
        self.run = SeededRuns(seed)
        self.trouble = trouble
        self.store = store
        self._out_of_range: set[str] = set()

    def look_at(self, runner: Runner, sample: Sample) -> None:
        """Find out whether a method's figures can be trusted, by running it on a photograph."""
        if not runner.is_foreign:
            return
        name = self._name("findings", runner, [sample])
        kept = self._get(name)
        if kept is None:
            try:
                found = list(findings_of(runner, sample, self.run))
            except Exception:  # it will fail again where it is run, and be reported there
                return
            self._put(name, json.dumps(found).encode())
        else:
            found = json.loads(kept)
        for finding in found:
            self.trouble.found(names_of(runner), "", finding)

    def __call__(self, runner: Runner, batch: Batch) -> list[Images]:
        """What a runner makes of each sample; nothing of one that it fails on."""
        name = self._name("images", runner, batch.samples)
        kept = self._get(name)
        if kept is not None:
            images, ranges = _unpacked(kept)
        else:
            made = self._together(runner, batch)
            if made is None:
                return [self._alone(runner, sample) for sample in batch.samples]
            images, ranges = made
            self._put(name, _packed(images, ranges))
        self._say_ranges(ranges, batch.samples[0].name)
        return [
            {name: levels[index] for name, levels in images.items()}
            for index in range(len(batch.samples))
        ]

    def _together(self, runner: Runner, batch: Batch) -> tuple[Images, Ranges] | None:
        """A batch at once; None where that fails: the others must not pay for one image."""
        with suppress(Exception):
            return self._made(runner, batch)
        return None

    def _alone(self, runner: Runner, sample: Sample) -> Images:
        try:
            images, ranges = self._made(runner, Batch.of([sample]))
        except Exception as error:  # whatever a network raises is that method's trouble only
            self.trouble.method(runner, sample.name, error)
            return {}
        self._say_ranges(ranges, sample.name)
        return {name: levels[0] for name, levels in images.items()}

    def _made(self, runner: Runner, batch: Batch) -> tuple[Images, Ranges]:
        images = _checked(runner, self.run(runner, batch.fresh()), batch)
        ranges = {name: [float(x.min()), float(x.max())] for name, x in images.items()}
        return {name: quantised(x.detach().cpu()) for name, x in images.items()}, ranges

    def _say_ranges(self, ranges: Ranges, file: str) -> None:
        for method, (lowest, highest) in ranges.items():
            finding = range_finding(lowest, highest)
            if finding and method not in self._out_of_range:
                self._out_of_range.add(method)
                self.trouble.found(method, file, finding)

    def _name(self, what: str, runner: Runner, samples: Sequence[Sample]) -> str:
        """Under which name something is kept; empty: it is not."""
        if self.store is None or not runner.identity:
            return ""
        return digest(
            what, runner.identity, str(self.run.seed), *(digest_of_sample(each) for each in samples)
        )

    def _get(self, name: str) -> bytes | None:
        return self.store.get(name) if self.store is not None and name else None

    def _put(self, name: str, content: bytes) -> None:
        if self.store is not None and name:
            self.store.put(name, content)


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


def _packed(images: Images, ranges: Ranges) -> bytes:
    levels = {name: (x * 255).round().to(torch.uint8).contiguous() for name, x in images.items()}
    return safetensors.torch.save(levels, {"ranges": json.dumps(ranges)})


def _unpacked(content: bytes) -> tuple[Images, Ranges]:
    images = {name: x.float() / 255 for name, x in safetensors.torch.load(content).items()}
    ranges = json.loads(metadata_of(content)["ranges"])
    return {name: images[name] for name in ranges}, ranges
