"""Non-local means.

Buades, Coll, Morel: A Non-Local Algorithm for Image Denoising, CVPR 2005; OpenCV's, with its
default windows (7 and 21 pixels), and one strength for brightness and colour.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ugpnet_core.evaluation.classical.tuning import TunedRunner
from ugpnet_core.evaluation.photographs import Sample, enlarged

TEMPLATE_WINDOW = 7
SEARCH_WINDOW = 21


class NonLocalMeans(TunedRunner):
    """Non-local means of the enlarged degraded image; its setting is OpenCV's h, in levels of 255,
    which is found to a whole level."""

    title = "non-local means"
    coarse = (3.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 80.0, 100.0)
    steps = (4.0, 2.0, 1.0)
    smallest = 1.0

    def restore(self, sample: Sample, resolution: int, setting: float) -> Tensor:
        """Denoise."""
        return non_local_means(enlarged(sample.degraded, resolution), setting)

    def described(self, setting: float) -> str:
        """OpenCV's function and its settings."""
        return (
            f"cv2.fastNlMeansDenoisingColored, windows {TEMPLATE_WINDOW} and {SEARCH_WINDOW}, "
            f"strength {setting:g}"
        )


def non_local_means(image: Tensor, strength: float) -> Tensor:
    """Denoise one image (3, H, W), RGB in [0, 1], rounded to 8 bits.

    Args:
        strength: OpenCV's h, in levels of 255.
    """
    import cv2

    levels = (image.clamp(0, 1) * 255).round().to(torch.uint8)
    bgr = np.ascontiguousarray(levels.flip(0).permute(1, 2, 0).numpy())
    denoised = np.asarray(
        cv2.fastNlMeansDenoisingColored(
            bgr, None, strength, strength, TEMPLATE_WINDOW, SEARCH_WINDOW
        )
    )
    return torch.from_numpy(denoised.transpose(2, 0, 1).copy()).flip(0).float() / 255
