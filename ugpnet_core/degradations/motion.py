"""Motion blur by camera shakes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor

from ugpnet_core.degradations.blur import blur, scaled_kernel_size
from ugpnet_core.degradations.kernel_files import load_kernels
from ugpnet_core.degradations.kernels import camera_shake_kernel
from ugpnet_core.seeding import rng_for


@dataclass
class Deblur:
    """x = kernel * x_gt with a random camera shake of a set (paper, section 4).

    The set is that of ``ugpnet_core.degradations.kernels.kernel_set``, of which a kernel is made
    when it is first drawn; or it stands in the file ``kernels``, which is read when the first one
    is drawn (so that a model can be loaded where the file is not), and whose kernels are used as
    they are at every resolution.
    """

    resolution: int = 512
    kernel_size: int = 71
    kernel_count: int = 1000
    kernel_seed: int = 0
    kernels: Path | None = None
    name: str = "deblur"
    scale: int = 1
    _drawn: dict[int, Tensor] = field(default_factory=dict, repr=False, compare=False)
    _read: Tensor | None = field(default=None, repr=False, compare=False)

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """Degrade float32 (3, H, W) in [0, 1]."""
        return blur(image, self.drawn_kernel(rng)).clamp(0, 1)

    def drawn_kernel(self, rng: np.random.Generator) -> Tensor:
        """The kernel that a call with an equal ``rng`` blurs with."""
        return self.kernel(int(rng.integers(self.count())))

    def count(self) -> int:
        """How many kernels there are to draw from."""
        saved = self._saved()
        return self.kernel_count if saved is None else len(saved)

    def kernel(self, index: int) -> Tensor:
        """Kernel number ``index`` of the set, (K, K), non-negative, sum 1, K odd."""
        saved = self._saved()
        if saved is not None:
            return saved[index]
        if index not in self._drawn:
            size = scaled_kernel_size(self.kernel_size, self.resolution)
            self._drawn[index] = camera_shake_kernel(size, rng_for(self.kernel_seed, index))
        return self._drawn[index]

    def _saved(self) -> Tensor | None:
        if self._read is None and self.kernels is not None:
            self._read = load_kernels(self.kernels).kernels
        return self._read
