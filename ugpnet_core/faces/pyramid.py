"""A photograph at every scale, and square pieces of it, turned upright."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ugpnet_core.faces.face import Face
from ugpnet_core.faces.network import CROP, CROP_REACH

STEP = math.sqrt(0.5)
"""How much smaller each level of the pyramid is than the one before."""
SMALLEST = 48
"""Pixels: the longer edge of the last level, in which the largest squares (almost twice as wide as
the photograph) have the size that the detector knows."""


class Pyramid:
    """RGB (3, H, W) and its halves; H and W from 1 up. Takes a third more memory than the image."""

    def __init__(self, image: Tensor) -> None:
        self.halves = [image[None]]
        while min(self.halves[-1].shape[-2:]) >= 2 and max(self.halves[-1].shape[-2:]) > SMALLEST:
            self.halves.append(F.avg_pool2d(self.halves[-1], 2))

    @property
    def longer_edge(self) -> int:
        """Pixels of the photograph."""
        return max(self.halves[0].shape[-2:])

    def levels(self, longest: int) -> Iterator[tuple[Tensor, float, float]]:
        """The photograph, its longer edge `longest` pixels at the most, smaller and smaller.

        Yields:
            RGB (1, 3, h, w), and how many pixels of the photograph one of its pixels is across and
            down.
        """
        height, width = self.halves[0].shape[-2:]
        edge = float(min(longest, self.longer_edge))
        while True:
            scale = edge / self.longer_edge
            size = max(1, round(height * scale)), max(1, round(width * scale))
            yield self.resized(size), width / size[1], height / size[0]
            if edge <= SMALLEST:
                return
            edge = max(edge * STEP, SMALLEST)

    def resized(self, size: tuple[int, int]) -> Tensor:
        """RGB (1, 3, *size), antialiased, from the nearest half that is no smaller."""
        fitting = [h for h in self.halves if h.shape[-2] >= size[0] and h.shape[-1] >= size[1]]
        source = fitting[-1]
        if source.shape[-2:] == size:
            return source
        return F.interpolate(source, size, mode="bilinear", antialias=True, align_corners=False)

    def crops(self, faces: Sequence[Face]) -> Tensor:
        """What the refiner looks at: (N, 3, 64, 64), each square upright, with its surroundings.

        Beyond the photograph its border pixels continue.
        """
        return torch.cat([self.crop(face) for face in faces])

    def crop(self, face: Face) -> Tensor:
        """RGB (1, 3, 64, 64) around one square."""
        pixels = face.side * CROP_REACH / CROP
        level = min(max(0, round(math.log2(pixels))), len(self.halves) - 1)
        source = self.halves[level]
        height, width = source.shape[-2:]
        unit = face.side * CROP_REACH / 2 / 2**level
        cos, sin = unit * math.cos(face.angle), unit * math.sin(face.angle)
        x, y = face.x / 2**level, face.y / 2**level
        theta = torch.tensor(
            [
                [2 * cos / width, -2 * sin / width, 2 * x / width - 1],
                [2 * sin / height, 2 * cos / height, 2 * y / height - 1],
            ]
        )
        grid = F.affine_grid(theta[None], [1, 3, CROP, CROP], align_corners=False)
        return F.grid_sample(source, grid, padding_mode="border", align_corners=False)
