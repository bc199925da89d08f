"""A method with one number to choose, which is chosen for a set by mean PSNR."""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from ugpnet_core.errors import ConfigError
from ugpnet_core.evaluation.methods import Batch, Method, Runner, Samples
from ugpnet_core.evaluation.photographs import Sample
from ugpnet_core.evaluation.store import Store, digest, digest_of_sample
from ugpnet_core.metrics.pixel import psnr, quantised

HIGHEST_PSNR = 100.0


class TunedRunner(Runner):
    """One method that restores one image after the other.

    Args:
        setting: the number; None: to be found by :meth:`tuned`.

    Attributes:
        title: the name of its row, where it has no other.
        coarse: settings to begin the search with.
        steps: how far beside the best one it goes on, see :func:`best_setting`.
        smallest: no setting is below.
    """

    title: ClassVar[str]
    coarse: ClassVar[Sequence[float]]
    steps: ClassVar[Sequence[float]]
    smallest: ClassVar[float | None] = None
    one_by_one = True

    def __init__(self, name: str = "", group: str = "", setting: float | None = None) -> None:
        self.methods = (Method(name or self.title, "classical", group, 0),)
        self.setting = setting

    @abstractmethod
    def restore(self, sample: Sample, resolution: int, setting: float) -> Tensor:
        """Restore one image to (3, r, r).

        Raises:
            ConfigError: the sample lacks what the method needs.
        """

    @abstractmethod
    def described(self, setting: float) -> str:
        """How it restores, for the protocol."""

    def tuned(self, samples: Samples, store: Store | None = None) -> TunedRunner:
        """The same with the best setting for a set."""
        if self.setting is not None:
            return self

        def scores(settings: Sequence[float]) -> list[float]:
            return self._mean_psnr(samples, settings, store)

        best = best_setting(self.coarse, self.steps, scores, self.smallest)
        made = copy.copy(self)
        made.setting = best
        if self.identity:
            made.identity = f"{self.identity} {best!r}"
        return made

    def __call__(self, batch: Batch) -> Mapping[str, Tensor]:
        """Restore one image after the other."""
        if self.setting is None:
            raise ConfigError(f"{self.title} has no setting yet; give one, or use tuned().")
        restored = [self.restore(each, batch.resolution, self.setting) for each in batch.samples]
        return {self.methods[0].name: torch.stack(restored)}

    def settings(self) -> dict[str, float]:
        """The setting."""
        return {} if self.setting is None else {self.methods[0].name: self.setting}

    def protocol(self) -> dict[str, str]:
        """How it restores."""
        if self.setting is None:
            return {}
        words = f"{self.described(self.setting)} (the best for this set by PSNR)"
        return {self.methods[0].name: words}

    def _mean_psnr(
        self, samples: Samples, settings: Sequence[float], store: Store | None
    ) -> list[float]:
        """The mean PSNR over a set for each setting, in 8-bit levels, at most 100 dB an image.

        Raises:
            ConfigError: there are no photographs to compare with.
        """
        sums = [0.0] * len(settings)
        for sample in samples():
            if not sample.has_truth:
                raise ConfigError(
                    f"{self.title} is set by PSNR, and these images have no photographs to compare "
                    "with; leave it out for this task."
                )
            sample_name = digest_of_sample(sample) if store is not None else ""
            for index, setting in enumerate(settings):
                sums[index] += self._psnr(sample, setting, store, sample_name)
        return sums

    def _psnr(self, sample: Sample, setting: float, store: Store | None, known_as: str) -> float:
        name = digest("psnr", self.identity, repr(setting), known_as)
        kept = store.get(name) if store is not None and self.identity else None
        if kept is not None:
            return float(kept.decode())
        image = self.restore(sample, sample.clean.shape[-1], setting)
        found = min(float(psnr(quantised(image)[None], sample.clean[None])), HIGHEST_PSNR)
        if store is not None and self.identity:
            store.put(name, repr(found).encode())
        return found


def best_setting(
    coarse: Sequence[float],
    steps: Sequence[float],
    scores: Callable[[Sequence[float]], Sequence[float]],
    smallest: float | None = None,
) -> float:
    """Find the setting with the highest score: among some, then step by step beside the best.

    Args:
        coarse: settings to begin with.
        steps: distances to look at on both sides of the best one, the largest first.
        scores: gives the scores of settings.
        smallest: do not look below.
    """
    known: dict[float, float] = {}

    def measure(settings: Sequence[float]) -> float:
        lowest = -math.inf if smallest is None else smallest
        new = [each for each in settings if each not in known and each >= lowest]
        if new:
            known.update(zip(new, scores(new), strict=True))
        return max(known, key=known.__getitem__)

    best = measure(coarse)
    for step in steps:
        while (better := measure((best - step, best + step))) != best:
            best = better
    return best
