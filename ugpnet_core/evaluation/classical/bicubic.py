"""Bicubic enlargement."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ugpnet_core.evaluation.methods import Batch, Method, Runner
from ugpnet_core.image import resize


class Bicubic(Runner):
    """Antialiased bicubic enlargement, which is what super-resolution has to beat."""

    def __init__(self, name: str = "bicubic", group: str = "") -> None:
        self.methods = (Method(name, "classical", group, 0),)

    def __call__(self, batch: Batch) -> Mapping[str, Tensor]:
        """Enlarge."""
        side = batch.resolution
        return {self.methods[0].name: resize(batch.degraded, (side, side))}
