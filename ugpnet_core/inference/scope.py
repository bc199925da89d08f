"""What a model was trained for, as far as noise goes, and what to do with a photograph that is
something else: keep more of what can be relied on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ugpnet_core.inference.noise_level import noise_level
from ugpnet_core.protocols import Task
from ugpnet_core.seeding import rng_for

SAMPLES = 48
SIDE = 48
# Below half of the weakest noise that a model knows, or above twice the strongest, it is lost.
LOST = 2.0
# Noise that nobody sees, and that the estimate cannot tell from fine texture.
UNSEEN = 0.02
# Of the strongest noise that a model knows: what the regression settles by itself, and where it
# cannot do without the prior.
SETTLED, DROWNED = 0.1, 0.3
# The same of the root of what was changed beyond noise. In faces of portraits as the prior sees
# them, JPEG of quality 80, 50, 20 is about 0.004, 0.006, 0.008; an enlargement with noise is 0.02.
LOSS = 0.003, 0.008
# There, half of what the prior adds is best: all of it costs three times the error, and is further
# from the photograph in perceptual distance, too (docs/training-notes.md).
MOST = 0.5


@dataclass(frozen=True)
class Scope:
    """The noise that a model knows: standard deviations, white being 1."""

    weakest: float
    strongest: float

    def trust(self, noise: float) -> float:
        """How far the model can be relied on for noise of this strength: 1 inside of what it
        knows, falling smoothly to 0 at half the weakest and at twice the strongest."""
        low, high = max(self.weakest - UNSEEN, 0.0), self.strongest + UNSEEN
        if noise < low:
            return _smooth((noise * LOST - low) / (low * (LOST - 1)))
        if noise > high:
            return _smooth((high * LOST - noise) / (high * (LOST - 1)))
        return 1.0

    def against(self, noise: float) -> str:
        """How noise of another strength compares with what the model knows, in words."""
        if self.strongest < UNSEEN / 2:
            return "more than a model that was trained without noise knows"
        return (
            f"{'weaker' if noise < self.weakest else 'stronger'} than what the model was trained "
            f"for ({self.weakest:.2f} to {self.strongest:.2f})"
        )

    @property
    def is_of_one_strength(self) -> bool:
        """Whether the model knows one strength of noise only, or hardly any noise."""
        return self.weakest > UNSEEN or self.strongest < 2 * UNSEEN

    def prior_share(self, noise: float, distance: float) -> float:
        """How much of what the prior adds is wanted.

        A model of one strength of noise wants all of it. One that knows all strengths from nothing
        on was shown photographs in which the regression settles everything, too: there it is
        nothing where noise is weak and nothing else was lost, and half where either is strong.

        Args:
            noise: standard deviation of the noise of x.
            distance: the mean of (x - x_reg)^2.
        """
        if self.is_of_one_strength:
            return 1.0
        by_noise = _rise(noise / self.strongest, SETTLED, DROWNED)
        return MOST * max(by_noise, _rise(math.sqrt(_beyond(distance, noise)), *LOSS))


def scope_of(task: Task) -> Scope:
    """Find out by degrading smooth pictures: the estimate for each is what a photograph degraded
    by this task would give."""
    found = []
    for index in range(SAMPLES):
        rng = rng_for(0, "scope", index)
        size = SIDE * task.scale
        # Slopes of all brightnesses, which have no texture to be taken for noise.
        ends = torch.from_numpy(rng.random((3, 2, 2), dtype="float32"))
        clean = torch.nn.functional.interpolate(
            ends[None], size=[size, size], mode="bilinear", align_corners=True
        )[0]
        found.append(noise_level(task(clean, rng)))
    return Scope(min(found), max(found))


def share_relied_on(distance: float, noise: float) -> float:
    """The share of x_reg in the best mixture of x and x_reg for a photograph whose noise is known.

    x errs by its noise, of variance s; x_reg by e, of which ||x - x_reg||^2 - s is an estimate, as
    the two are independent. The mixture of least error has x_reg with the share s / (s + e).

    Args:
        distance: the mean of (x - x_reg)^2.
        noise: standard deviation of the noise of x.
    """
    variance, error = noise**2, _beyond(distance, noise)
    return 1.0 if error == 0 else variance / (variance + error)


def _beyond(distance: float, noise: float) -> float:
    """What is left of the mean of (x - x_reg)^2 without the noise of x: other changes of x_reg."""
    return max(distance - noise**2, 0.0)


def _rise(value: float, begin: float, end: float) -> float:
    return _smooth((value - begin) / (end - begin))


def _smooth(share: float) -> float:
    share = min(max(share, 0.0), 1.0)
    return share * share * (3 - 2 * share)
