"""Everything that a Restorer can be called with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import overload

import numpy as np
from PIL import Image
from torch import Tensor

from ugpnet_core.errors import ConfigError
from ugpnet_core.image import ImageFile
from ugpnet_core.inference.outputs import same_file
from ugpnet_core.inference.pictures import Picture, picture_file
from ugpnet_core.inference.restored import Restored
from ugpnet_core.inference.writing import Writing


class Calling(ABC):
    """Restores whatever an image can be in Python, by restoring tensors."""

    @abstractmethod
    def restore_tensor(self, x: Tensor) -> Restored:
        """Restore a tensor; see :class:`ugpnet_core.Restorer`."""

    # A path that is a string is a sequence of strings, too; the first line is for it.
    @overload
    def __call__(self, image: Picture) -> Restored: ...  # type: ignore[overload-overlap]

    @overload
    def __call__(self, image: Sequence[Picture]) -> list[Restored]: ...  # type: ignore[overload-overlap]

    @overload
    def __call__(self, image: Iterable[Picture]) -> Iterator[Restored]: ...

    def __call__(
        self, image: Picture | Iterable[Picture]
    ) -> Restored | list[Restored] | Iterator[Restored]:
        """Restore one image, several, or an endless number of them. May be called in threads.

        Args:
            image: one of these, or a list or any iterable of these:

                - a path,
                - a Pillow image; its orientation is applied,
                - an array (H, W), (H, W, 3) or (H, W, 4), grey or RGB or RGBA, channels last, of
                  uint8, uint16, or floats in [0, 1] (what OpenCV reads is BGR, and
                  ``array[..., ::-1]`` makes RGB of it),
                - a tensor, float RGB in [0, 1], (3, H, W) or a batch (N, 3, H, W).

        Returns:
            For one image, a :class:`Restored` of x_hat (blended with x_reg by ``fidelity``), x_reg
            and x_syn: float32 CPU tensors in [0, 1] with as many dimensions as a tensor has, three
            for everything else, sides times the model's scale. A list for a list or tuple. For
            any other iterable an iterator, which takes an image from it when its result is asked
            for.

        Raises:
            ImageError: a file cannot be read, values are of another type or range, or the model
                makes values that are no numbers.
            SizeError: this is no image or batch of images.
        """
        if isinstance(image, (list, tuple)):
            return [self._one(each) for each in image]
        single = isinstance(image, (str, PathLike, Tensor, Image.Image, np.ndarray))
        if not single and isinstance(image, Iterable):
            return map(self._one, image)
        return self._one(image)  # type: ignore[arg-type]

    def save(
        self,
        image: Picture,
        path: str | PathLike[str],
        *,
        save_all: bool = False,
    ) -> Restored:
        """Restore one image and write the result, with the bit depth, alpha, colour profile and
        EXIF that the image has, where the format holds them.

        Args:
            image: as for a call, one only.
            path: of the file; its suffix says which format. What is there is replaced.
            save_all: write x_reg and x_syn, too, as ``NAME_reg.png`` and ``NAME_syn.png``.

        Raises:
            ConfigError: the path is that of the image itself.
            ImageError, SizeError: as for a call; or the file cannot be written.
        """
        path = Path(path)
        if isinstance(image, (str, PathLike)) and same_file(Path(image), path):
            raise ConfigError(f"{path} is the image itself and would be overwritten; name another.")
        photo = picture_file(image)
        restored = self._restore_file(photo)
        write = Writing()
        if save_all:
            for suffix, pixels in (("_reg", restored.regression), ("_syn", restored.synthesis)):
                write(path.with_name(f"{path.stem}{suffix}.png"), pixels, photo)
        write(path, restored.image, photo)
        return restored

    def _one(self, image: Picture) -> Restored:
        if isinstance(image, Tensor):
            return self.restore_tensor(image)
        return self._restore_file(picture_file(image))

    def _restore_file(self, photo: ImageFile) -> Restored:
        restored = self.restore_tensor(photo.pixels)
        return replace(restored, notices=(*photo.notices, *restored.notices))
