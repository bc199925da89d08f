"""Task ``photo``: what happens to photographs on their way from the lens to a folder of files."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from ugpnet_core.degradations.composition import made_steps, taken
from ugpnet_core.degradations.steps import Step, happens


@dataclass
class Photo:
    """x = steps(x_gt), each taken with a probability, each strength from a range that begins at
    nothing or close to it; ``untouched`` of the images stay as they are.

    The order is that of a camera and of what people do afterwards: light (grey film, blur of the
    lens, focus or hand), then noise, JPEG and smaller-and-back in any order, then JPEG once more.
    Pixels are those of the image itself, whatever its size: noise does not know how large a
    photograph is.

    Args:
        untouched: how often nothing happens at all.
        grey: how often the image is grey before anything else.
        blur, rescale, noise, jpeg: how often each of these happens (JPEG: each of two times).
    """

    untouched: float = 0.1
    grey: float = 0.12
    blur: float = 0.4
    rescale: float = 0.3
    noise: float = 0.65
    jpeg: float = 0.3
    name: str = "photo"
    scale: int = 1
    _steps: tuple[Step, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # At 512 pixels the steps take sizes as they are written.
        self._steps = made_steps(self.steps(), resolution=512)

    def steps(self) -> list[dict[str, Any]]:
        """The steps as YAML would have them, to start a composition of one's own from."""
        jpeg = {"jpeg": {"probability": self.jpeg, "quality": [25, 95]}}
        rescale = {"rescale": {"probability": self.rescale, "factor": [1, 4]}}
        blur = {"probability": self.blur, "shares": _BLUR_SHARES, "steps": _BLURS}
        noise = {"probability": self.noise, "shares": _NOISE_SHARES, "steps": _NOISES}
        # Each step is copied: the caller may change what it gets.
        return [
            copy.deepcopy(step)
            for step in (
                {"grey": {"probability": self.grey}},
                {"one_of": blur},
                {"shuffle": {"steps": [rescale, {"one_of": noise}, jpeg]}},
                jpeg,
            )
        ]

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """Degrade float32 (3, H, W) in [0, 1]; the result has the same size."""
        return self.pair(image, rng)[1]

    def pair(self, image: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """x_gt, grey where x was made of a grey image, and x."""
        if happens(self.untouched, rng):
            return image, image
        return taken(self._steps, image, rng)


# Lens, focus and hand.
_BLUR_SHARES = [0.6, 0.2, 0.2]
_BLURS: list[dict[str, Any]] = [
    {"blur": {"sigma": [0.2, 2.5], "isotropic": 0.6, "kernel_size": 15}},
    {"defocus": {"radius": [0.3, 3.0]}},
    {"motion_blur": {"kernel_size": 13}},
]
# A camera in good light and in the evening, one whose noise grows with the light, and the noise
# of the paper's denoising at the far end.
_NOISE_SHARES = [0.35, 0.3, 0.2, 0.15]
_NOISES: list[dict[str, Any]] = [
    {"noise": {"sigma": [0, 0.06], "grey": 0.15, "coarse": 0.3}},
    {"noise": {"sigma": [0.02, 0.15], "grey": 0.15, "coarse": 0.25}},
    {"noise": {"sigma": [0, 0.04], "k": [40, 1000], "grey": 0.1, "coarse": 0.3}},
    {"noise": {"sigma": [0.1, 0.3], "k": [30, 100], "grey": 0.15, "coarse": 0.1}},
]
