"""A baseline without learning: OpenCV's non-local means, with its best strength for a set.

Buades, Coll, Morel: A Non-Local Algorithm for Image Denoising, CVPR 2005. Windows are OpenCV's
defaults (7 and 21 pixels), and the strength is the same for brightness and colour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from ugpnet_core.evaluation.metrics import psnr

COARSE_STRENGTHS = (3, 10, 20, 30, 40, 50, 60, 80, 100)
FIRST_STEP = 4
TEMPLATE_WINDOW = 7
SEARCH_WINDOW = 21


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


def best_strength(pairs: Callable[[], Iterable[tuple[Tensor, Tensor]]]) -> int:
    """Find the strength with the best mean PSNR over a set, to a whole level.

    Args:
        pairs: gives degraded and true images (3, H, W), anew at every call.
    """
    known: dict[int, float] = {}

    def measure(strengths: Iterable[int]) -> None:
        new = [strength for strength in strengths if strength > 0 and strength not in known]
        if not new:
            return
        sums = dict.fromkeys(new, 0.0)
        count = 0
        for degraded, clean in pairs():
            count += 1
            for strength in new:
                denoised = non_local_means(degraded, strength)
                sums[strength] += float(psnr(denoised[None], clean[None]))
        known.update({strength: total / max(count, 1) for strength, total in sums.items()})

    measure(COARSE_STRENGTHS)
    step = FIRST_STEP
    while step >= 1:
        best = max(known, key=known.__getitem__)
        measure((best - step, best + step))
        if max(known, key=known.__getitem__) == best:
            step //= 2
    return max(known, key=known.__getitem__)
