"""JPEG compression."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ugpnet_core.image import from_levels


def jpeg(image: Tensor, quality: int) -> Tensor:
    """What is left of an image (3, H, W) in [0, 1] after JPEG with 4:2:0 colour.

    Args:
        image: float32; rounded to 8 bits, as a camera does.
        quality: libjpeg's, from 1 to 100.
    """
    levels = (image.clamp(0, 1) * 255).round().to(torch.uint8)
    buffer = io.BytesIO()
    Image.fromarray(levels.permute(1, 2, 0).contiguous().numpy()).save(
        buffer, format="JPEG", quality=quality, subsampling="4:2:0"
    )
    with Image.open(buffer) as decoded:
        return from_levels(np.asarray(decoded.convert("RGB")))
