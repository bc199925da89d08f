"""Photographs at the size that a training needs, in as few bytes as that takes."""

from __future__ import annotations

import io
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from examples.gpu_slice.archive import SliceError
from ugpnet_core.errors import ImageError
from ugpnet_core.image import center_square, list_images, resize
from ugpnet_core.image.files import decode_image

# A file that a smaller one would replace must be worth the loss of detail.
WORTH = 0.9


@dataclass(frozen=True)
class Need:
    """What trainings take from a folder.

    Attributes:
        square: side of the centred square that is learned from; None for whole photographs,
            out of which crops are cut.
        count: so many, spread evenly over all; None: all.
        exact: no detail may be lost (what a training is measured on).
    """

    folder: Path
    square: int | None
    count: int | None = None
    exact: bool = False


@dataclass(frozen=True)
class Settings:
    """How photographs are stored: quality of WebP from 1 to 100, and the longest side of whole
    ones in pixels."""

    quality: int = 92
    longest: int = 1536


def joined(needs: Iterable[Need]) -> dict[Need, Need]:
    """For each need, the one that a folder is packed for: of the same photographs only the largest
    version travels."""
    needs = list(needs)
    packed: dict[Need, Need] = {}
    for need in needs:
        rivals = [
            one
            for one in needs
            if (one.folder, one.count, one.exact) == (need.folder, need.count, need.exact)
        ]
        whole = next((one for one in rivals if one.square is None), None)
        packed[need] = whole or max(rivals, key=lambda one: one.square or 0)
    return packed


def pack_folder(need: Need, out: Path, settings: Settings, workers: int) -> None:
    """Write the photographs of a folder; names keep their order, and unreadable files stay so.

    Raises:
        SliceError: there is no such folder, or nothing in it.
    """
    if not need.folder.exists():
        raise SliceError(f"There is no folder {need.folder}; correct the configuration.")
    files = list(list_images([need.folder], recursive=True))
    if not files:
        raise SliceError(f"There are no photographs in {need.folder}; correct the configuration.")
    if need.count is not None and len(files) > need.count:
        files = [files[index * len(files) // need.count] for index in range(need.count)]
    pack = _Packer(need, out, settings)
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(pack, files))


class _Packer:
    def __init__(self, need: Need, out: Path, settings: Settings) -> None:
        self.need, self.out, self.settings = need, out, settings

    def __call__(self, file: Path) -> None:
        data = file.read_bytes()
        below = file.relative_to(self.need.folder) if file != self.need.folder else Path(file.name)
        target = self.out / below
        try:
            pixels = decode_image(data, file).pixels
        except ImageError:
            pixels = None
        if pixels is not None:
            smaller = _webp(self._sized(pixels), self.settings.quality, self.need.exact)
            if len(smaller) < WORTH * len(data):
                # The whole old name: two files may differ in nothing but their extension.
                target, data = target.with_name(f"{target.name}.webp"), smaller
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    def _sized(self, pixels: Tensor) -> Tensor:
        square = self.need.square
        if square is not None:
            # What is smaller is enlarged by the training, as it would have been anyway.
            return center_square(pixels, min(square, *pixels.shape[-2:]))
        factor = self.settings.longest / max(pixels.shape[-2:])
        if factor >= 1:
            return pixels
        return resize(pixels, [max(1, round(side * factor)) for side in pixels.shape[-2:]])


def _webp(pixels: Tensor, quality: int, exact: bool) -> bytes:
    levels = pixels.mul(255).round().to(torch.uint8).permute(1, 2, 0).contiguous()
    buffer = io.BytesIO()
    picture = Image.fromarray(np.asarray(levels))
    if exact:
        picture.save(buffer, format="WEBP", lossless=True, quality=50)
    else:
        picture.save(buffer, format="WEBP", quality=quality)
    return buffer.getvalue()
