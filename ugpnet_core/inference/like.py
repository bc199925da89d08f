"""Writing a result like the image that it was made from."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from ugpnet_core.image import ImageFile, resize, write_image


def write_like(path: Path, pixels: Tensor, photo: ImageFile) -> None:
    """Write pixels with everything else as in the file that they were made from."""
    alpha = photo.alpha
    if alpha is not None:
        alpha = resize(alpha, pixels.shape[-2:])
    write_image(
        path,
        pixels,
        alpha=alpha,
        bit_depth=photo.bit_depth,
        icc_profile=photo.icc_profile,
        exif=photo.exif,
    )
