"""What restoring gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from ugpnet_core.faces.face import Face


@dataclass(frozen=True)
class Restored:
    """A restored image or batch, and what there is to say about it.

    Attributes:
        image: x_hat, float32 RGB on the CPU in [0, 1], with as many dimensions as the input.
        regression: x_reg, likewise.
        synthesis: x_syn, likewise; x_reg where the prior had nothing to do.
        faces: for each image, those that went through the whole model, in pixels of the input.
        notices: sentences about what the model was not made for, and what was done about it.
    """

    image: Tensor
    regression: Tensor
    synthesis: Tensor
    faces: tuple[tuple[Face, ...], ...] = ()
    notices: tuple[str, ...] = ()

    def array(self, dtype: npt.DTypeLike = np.uint8) -> npt.NDArray[Any]:
        """x_hat as an array (H, W, 3), or (N, H, W, 3) of a batch, RGB.

        Args:
            dtype: uint8 or uint16, rounded; or a type of floats, in [0, 1].
        """
        planes = self.image.movedim(-3, -1).contiguous()
        kind = np.dtype(dtype)
        if np.issubdtype(kind, np.floating):
            return planes.numpy().astype(kind)
        return planes.mul(float(np.iinfo(kind).max)).round().numpy().astype(kind)

    def pil(self) -> Image.Image:
        """x_hat of one image as Pillow's, RGB of 8 bits."""
        return Image.fromarray(self.array())


@dataclass(frozen=True)
class RestoredLevels:
    """A restored image as levels, and what there is to say about it.

    Attributes:
        levels: x_hat, RGB (H, W, 3), uint8 or uint16.
        faces, notices: see :class:`Restored`.
    """

    levels: npt.NDArray[Any]
    faces: tuple[Face, ...] = ()
    notices: tuple[str, ...] = ()
