"""Run a method: every image with random numbers of its own, and nothing changed around it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ugpnet_core.degradations.held import random_states
from ugpnet_core.evaluation.methods import Batch, Runner
from ugpnet_core.evaluation.photographs import Sample
from ugpnet_core.seeding import rng_for
from ugpnet_core.testing.surroundings import seed_all, untouched


class SeededRuns:
    """Calls runners so that an image's result depends on the seed and the image's name alone.

    The generators of torch, numpy and random are seeded by the name of the image. A runner that
    draws numbers gets one image at a time, since what it drew for one of a batch would depend on
    those before it.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._drawing: set[int] = set()

    def draws(self, runner: Runner) -> bool:
        """Whether a runner is known to draw random numbers."""
        return id(runner) in self._drawing

    def note_drawing(self, runner: Runner) -> None:
        """Say that a runner draws random numbers, as was seen before."""
        self._drawing.add(id(runner))

    def goes_alone(self, runner: Runner) -> bool:
        """Whether a runner gets, or takes, one image at a time, as far as is known."""
        return runner.one_by_one or self.draws(runner)

    def __call__(self, runner: Runner, batch: Batch) -> Mapping[str, Tensor]:
        """What the runner makes of a batch; see :meth:`Runner.__call__`. Raises what it raises."""
        with untouched(), torch.inference_mode():
            if not self.draws(runner):
                self.seed_for(batch.samples[0])
                before = _states()
                images = runner(batch)
                if _states() == before:
                    return images
                self.note_drawing(runner)
                if len(batch.samples) == 1:
                    return images
            return self._one_by_one(runner, batch)

    def seed_for(self, sample: Sample) -> None:
        """Seed all generators for an image."""
        seed_all(int(rng_for(self.seed, "method", sample.name).integers(2**32)))

    def _one_by_one(self, runner: Runner, batch: Batch) -> Mapping[str, Tensor]:
        made = []
        for index, sample in enumerate(batch.samples):
            self.seed_for(sample)
            made.append(runner(batch.only(index)))
        return {name: torch.cat([images[name] for images in made]) for name in made[0]}


def _states() -> dict[str, object]:
    states = random_states()
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states["cuda"] = str([state.tolist() for state in torch.cuda.get_rng_state_all()])
    return states
