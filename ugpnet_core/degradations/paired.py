"""The task of images that come degraded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ugpnet_core.errors import ConfigError


@dataclass
class Paired:
    """Whatever lies between the clean and the degraded images of two folders.

    It stands in a configuration and in a model file for a degradation that nobody can repeat.
    """

    scale: int = 1
    name: str = "paired"

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """Raise a ConfigError."""
        raise ConfigError(
            "Task 'paired' degrades nothing itself: its images come degraded; give pairs of "
            "folders (data.train: [{clean: DIR, degraded: DIR}], ugpnet evaluate --degraded), or "
            "choose another task."
        )
