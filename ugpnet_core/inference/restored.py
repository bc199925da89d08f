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
        image: The restored image x_hat, float32 RGB on the CPU in [0, 1], (3, H, W) or of a batch
            (N, 3, H, W).
        regression: The regressed image x_reg, of the same form.
        synthesis: The synthesised image x_syn, of the same form; it is x_reg where the prior had
            nothing to do.
        faces: For each image, the faces that went through the whole model, in pixels of the input.
        notices: Sentences about what the model was not made for, and what was done about it.
    """

    image: Tensor
    regression: Tensor
    synthesis: Tensor
    faces: tuple[tuple[Face, ...], ...] = ()
    notices: tuple[str, ...] = ()

    def array(self, dtype: npt.DTypeLike = np.uint8) -> npt.NDArray[Any]:
        """x_hat as an array (H, W, 3), or (N, H, W, 3) of a batch, RGB.

        Args:
            dtype: The type of the values: uint8 or uint16, which are rounded, or a type of floats,
                which are in [0, 1].
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
        levels: The restored image x_hat, RGB (H, W, 3), uint8 or uint16.
        faces: The faces that went through the whole model, in pixels of the input.
        notices: Sentences as those of :class:`Restored`.
    """

    levels: npt.NDArray[Any]
    faces: tuple[Face, ...] = ()
    notices: tuple[str, ...] = ()
