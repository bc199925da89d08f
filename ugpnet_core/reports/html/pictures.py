"""The pictures of a report, written one photograph after the other while they are measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from torch import Tensor

from ugpnet_core.evaluation.photographs import Sample
from ugpnet_core.image import resize, write_image
from ugpnet_core.reports.html.names import UniqueNames, slug

SMALL = 160
"""Pixels of the side of the pictures that stand in the list; larger ones get a small copy."""


@dataclass(frozen=True)
class PhotographFiles:
    """The files of one photograph; paths are relative to the folder of its evaluation.

    Attributes:
        number: 1 for the first.
        page: of its page.
        side: width of its pictures, pixels; they are square.
        pictures: by the name of a set of images ("clean", then methods).
        small: the same, for the list.
    """

    number: int
    page: str
    side: int
    pictures: Mapping[str, str]
    small: Mapping[str, str]


@dataclass
class Pictures:
    """Writes images of an evaluation into its folder.

    Attributes:
        folder: of the evaluation.
        photographs: what was written, by the photograph's name.
    """

    folder: Path
    photographs: dict[str, PhotographFiles] = field(default_factory=dict)
    _names: UniqueNames = field(default_factory=UniqueNames)

    def __call__(self, sample: Sample, images: Mapping[str, Tensor]) -> None:
        """Write all images (3, r, r) of a photograph, by the name of their set.

        Raises:
            ImageError: the disk refuses.
        """
        number = len(self.photographs) + 1
        stem = f"{number:04d}-{slug(PurePosixPath(sample.name).stem, 'photograph')}"
        pictures, small = {}, {}
        for name, image in images.items():
            file = f"{stem}/{self._names.of(name, 'images')}"
            pictures[name] = small[name] = f"{file}.png"
            write_image(self.folder / pictures[name], image)
            if image.shape[-1] > SMALL:
                small[name] = f"{file}-small.jpg"
                write_image(self.folder / small[name], resize(image, (SMALL, SMALL)))
        side = next(iter(images.values())).shape[-1]
        self.photographs[sample.name] = PhotographFiles(
            number, f"{stem}.html", side, pictures, small
        )
