"""Results into files, and what stays of that which was there."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from ugpnet_core.errors import ImageError
from ugpnet_core.image import ImageFile, resize, write_image
from ugpnet_core.image.files import QUALITY, check_writable, pixels_lost
from ugpnet_core.image.frames import write_frames
from ugpnet_core.image.metadata import Metadata
from ugpnet_core.inference.rows import Array, write_levels


@dataclass(frozen=True)
class Writing:
    """How results are written, and what happens to files that stand in their place.

    Attributes:
        overwrite: they are replaced; otherwise that is an error of the one result.
        keep: they stay as they are, in silence.
        quality: of JPEG and WebP, 1 to 100.
        strip: results have no EXIF and other metadata; the colour profile stays.
    """

    overwrite: bool = True
    keep: bool = False
    quality: int = QUALITY
    strip: bool = False

    def __call__(self, path: Path, pixels: Tensor | Array, photo: ImageFile | None = None) -> None:
        """Write pixels, (3, H, W) in [0, 1] or levels (H, W, 3), with everything else as in the
        file that they were made from.

        Raises:
            ImageError: something stands there and must not be replaced, or the disk refuses.
        """
        if self._stays(path):
            return
        if photo is None:
            write_image(path, pixels)
        else:
            self._write_like(path, pixels, photo)

    def frames(self, path: Path, frames: Iterable[ImageFile]) -> None:
        """Write all pictures of a file into one, where something else does not stay there."""
        if not self._stays(path):
            write_frames(path, frames, strip=self.strip, quality=self.quality)

    def lost(self, path: Path, photo: ImageFile, scale: int) -> tuple[str, ...]:
        """What a result cannot hold, before the work.

        Raises:
            ImageError: it cannot hold its pixels.
        """
        height, width = (side * scale for side in photo.size)
        metadata = photo.metadata
        if self.strip:
            metadata = Metadata(colour_chunks=metadata.colour_chunks)
        beside = check_writable(
            path,
            width,
            height,
            exif=None if self.strip else photo.exif,
            metadata=metadata,
            icc_profile=photo.icc_profile,
        )
        return (*pixels_lost(path, photo), *beside)

    def _stays(self, path: Path) -> bool:
        if self.overwrite or self.keep or not os.path.lexists(path):
            return self.keep and os.path.lexists(path)
        raise ImageError(
            f"{path} has come to exist meanwhile and is not overwritten; use --overwrite or "
            "another -o."
        )

    def _write_like(self, path: Path, pixels: Tensor | Array, photo: ImageFile) -> None:
        write_image(
            path,
            pixels,
            alpha=enlarged(photo.alpha, pixels),
            bit_depth=photo.bit_depth,
            icc_profile=photo.icc_profile,
            exif=photo.exif,
            grey=photo.grey,
            metadata=photo.metadata,
            strip=self.strip,
            quality=self.quality,
        )


def enlarged(alpha: Tensor | None, pixels: Tensor | Array) -> Tensor | None:
    """Alpha (1, H, W) at the sides of pixels (3, sH, sW) or levels (sH, sW, 3)."""
    if alpha is None:
        return None
    return resize(alpha, pixels.shape[-2:] if isinstance(pixels, Tensor) else pixels.shape[:2])


def with_alpha(levels: Array, photo: ImageFile) -> Array:
    """Levels (sH, sW, 3) of a restored picture with its alpha beside them, if it has one."""
    alpha = enlarged(photo.alpha, levels)
    if alpha is None:
        return levels
    opaque = np.empty((*levels.shape[:2], 1), levels.dtype)
    write_levels(alpha.clamp(0, 1), opaque)
    return np.concatenate([levels, opaque], 2)
