"""Between a photograph and the aligned squares of its faces: cutting them out, and bringing what
was made of them back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ugpnet_core.faces.face import Face
from ugpnet_core.image import resize

# What the soft mask leaves of a square: all but this share of its side at each border.
RIM = 1 / 6


def align(image: Tensor, faces: Sequence[Face], size: int) -> Tensor:
    """Cut out the squares of faces, upright and of one size; smaller ones are enlarged.

    Larger ones are shrunk with antialiasing. What lies beyond the photograph is mirrored.

    Args:
        image: (3, H, W), float32.
        faces: in pixels of the image.
        size: side of the result.

    Returns:
        (len(faces), 3, size, size).
    """
    return torch.stack([_aligned(image, face, size) for face in faces])


class Pasted:
    """Patches where they lie in a photograph, softly masked; where several meet, their mean.

    Args:
        patches: (C, size, size) each, upright.
        faces: where each belongs, in pixels of the photograph.
        channels: C, also where there are no patches.
        size: height and width of the photograph.
    """

    def __init__(
        self, patches: Sequence[Tensor], faces: Sequence[Face], channels: int, size: Sequence[int]
    ) -> None:
        self.channels = channels
        self.size = size
        self._placed = [
            (_masked(patch, face), face) for patch, face in zip(patches, faces, strict=True)
        ]

    def band(self, first: int, last: int) -> Tensor:
        """Rows first .. last - 1: (C + 1, last - first, W): the patches times their masks, and the
        sum of the masks, at most 1."""
        height, width = self.size
        total = torch.zeros(self.channels + 1, last - first, width)
        for masked, face in self._placed:
            top, bottom, left, right = reached(face, height, width)
            top, bottom = max(top, first), min(bottom, last)
            if top < bottom and left < right:
                there = _sampled(masked, face, (top, bottom, left, right))
                total[:, top - first : bottom - first, left:right] += there
        total[:-1] /= total[-1:].clamp_min(1)
        total[-1:].clamp_(max=1)
        return total


def paste(canvas: Tensor, patches: Sequence[Tensor], faces: Sequence[Face]) -> Tensor:
    """All of :class:`Pasted` for a canvas (C, H, W), which gives the size only."""
    channels, height, width = canvas.shape
    return Pasted(patches, faces, channels, (height, width)).band(0, height)


def soft_mask(size: int) -> Tensor:
    """(size, size): one inside, and smoothly down to zero at the borders of a square."""
    place = (torch.arange(size, dtype=torch.float32) + 0.5) / size
    rise = (torch.minimum(place, 1 - place) / RIM).clamp(max=1)
    smooth = rise * rise * (3 - 2 * rise)
    return smooth[:, None] * smooth[None, :]


def scaled(faces: Sequence[Face], factor: float) -> list[Face]:
    """The same faces in a photograph that is so many times as large."""
    return [
        replace(face, x=face.x * factor, y=face.y * factor, side=face.side * factor)
        for face in faces
    ]


def _aligned(image: Tensor, face: Face, size: int) -> Tensor:
    height, width = image.shape[-2:]
    top, bottom, left, right = reached(face, height, width)
    if top >= bottom or left >= right:
        top, bottom, left, right = 0, height, 0, width
    cut = image[:, top:bottom, left:right]
    shrink = max(1.0, face.side / size)
    smaller = [max(1, round(side / shrink)) for side in cut.shape[-2:]]
    if shrink > 1:
        cut = resize(cut, smaller)
    scale_y = cut.shape[-2] / (bottom - top)
    scale_x = cut.shape[-1] / (right - left)
    place = (torch.arange(size, dtype=torch.float32) + 0.5) / size - 0.5
    v, u = torch.meshgrid(place * face.side, place * face.side, indexing="ij")
    cosine, sine = math.cos(face.angle), math.sin(face.angle)
    x = (face.x + cosine * u - sine * v - left) * scale_x
    y = (face.y + sine * u + cosine * v - top) * scale_y
    grid = torch.stack([x * (2 / cut.shape[-1]) - 1, y * (2 / cut.shape[-2]) - 1], -1)
    sampled = F.grid_sample(
        cut[None], grid[None], mode="bicubic", padding_mode="reflection", align_corners=False
    )
    return sampled[0].clamp(0, 1)


def _masked(patch: Tensor, face: Face) -> Tensor:
    """(C + 1, side, side): a patch times its mask, and the mask, no larger than the face is."""
    masked = torch.cat([patch, torch.ones_like(patch[:1])]) * soft_mask(patch.shape[-1])
    if face.side >= patch.shape[-1]:
        return masked
    # Antialiased: bilinear sampling of something larger would pick pixels.
    side = max(2, math.ceil(face.side))
    return F.interpolate(masked[None], size=[side, side], mode="bilinear", antialias=True)[0]


def _sampled(masked: Tensor, face: Face, box: tuple[int, int, int, int]) -> Tensor:
    """What there is of an upright patch in a box of the photograph."""
    top, bottom, left, right = box
    rows = torch.arange(top, bottom, dtype=torch.float32) + 0.5
    columns = torch.arange(left, right, dtype=torch.float32) + 0.5
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    cosine, sine = math.cos(face.angle), math.sin(face.angle)
    dx, dy = x - face.x, y - face.y
    grid = torch.stack([cosine * dx + sine * dy, -sine * dx + cosine * dy], -1)
    return F.grid_sample(
        masked[None], (grid * (2 / face.side))[None], mode="bilinear", align_corners=False
    )[0]


def reached(face: Face, height: int, width: int) -> tuple[int, int, int, int]:
    """Rows and columns of a photograph that a square touches: top, bottom, left, right, ends
    excluded; none (top >= bottom or left >= right) where it lies outside."""
    reach = face.side / 2 * (abs(math.cos(face.angle)) + abs(math.sin(face.angle))) + 2
    return (
        max(0, math.floor(face.y - reach)),
        min(height, math.ceil(face.y + reach)),
        max(0, math.floor(face.x - reach)),
        min(width, math.ceil(face.x + reach)),
    )
