"""The finder of faces that comes with the install: small networks, no download, any photograph."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from ugpnet_core.errors import SizeError
from ugpnet_core.faces.face import Face
from ugpnet_core.faces.network import STRIDE, TYPICAL_SIDE, WEIGHTS, Networks, load_networks
from ugpnet_core.faces.pyramid import Pyramid

MARGIN = 24
"""Pixels of grey around each level, for centres near and beyond the photograph's border."""
CANDIDATES = 200
"""How many squares are refined at the most."""
ROUNDS = 2
"""How often a square is refined."""


def find_faces(image: Tensor) -> list[Face]:
    """`NetworkFaceFinder` with its defaults."""
    return NetworkFaceFinder()(image)


class NetworkFaceFinder:
    """Finds faces with squares from 32 pixels to almost twice the photograph's longer edge.

    A photograph whose longer edge is above `longest` is looked at reduced to it, so the smallest
    square sought is 32 pixels or 1/64 of the longer edge, whichever is more; memory and time do not
    grow further, but for halved copies of the photograph (a third of its own memory). Faces turned
    by more than about 40 degrees are not sought. The networks are read on first use.

    Args:
        longest: pixels.
        sure: the least score of a face that is returned.
        weights: what ``python -m examples.faces`` wrote.
    """

    def __init__(self, *, longest: int = 2048, sure: float = 0.6, weights: Path = WEIGHTS) -> None:
        self.longest = longest
        self.sure = sure
        self.weights = weights

    def __call__(self, image: Tensor) -> list[Face]:
        """Find the faces of RGB (3, H, W), float32 in [0, 1], the surest first."""
        if image.ndim != 3 or image.shape[0] != 3 or image.numel() == 0:
            raise SizeError(
                f"Faces are sought in RGB (3, H, W), not in {tuple(image.shape)}; "
                "repeat a grey image three times."
            )
        networks = networks_from(self.weights)
        with torch.inference_mode():
            pyramid = Pyramid(image.detach().to("cpu", torch.float32))
            faces = detect(networks, pyramid, self.longest, self.sure)[:CANDIDATES]
            for _ in range(ROUNDS):
                faces = refine(networks, pyramid, faces)
        return separate([face for face in faces if face.score >= self.sure])


@cache
def networks_from(weights: Path) -> Networks:
    """The networks of a file, read once."""
    return load_networks(weights)


def detect(networks: Networks, pyramid: Pyramid, longest: int, sure: float) -> list[Face]:
    """First guesses, the surest first, one for each face."""
    found: list[Face] = []
    for level, across, down in pyramid.levels(longest):
        for face in detect_at_one_scale(networks, level, sure):
            x, y, side = face.x * across, face.y * down, face.side * math.sqrt(across * down)
            found.append(dataclasses.replace(face, x=x, y=y, side=side))
    return separate(found)


def detect_at_one_scale(networks: Networks, level: Tensor, sure: float) -> list[Face]:
    """Guesses for squares of 26 to 76 pixels in RGB (1, 3, h, w), in its pixels."""
    height, width = level.shape[-2:]
    right, lower = (MARGIN + (-size) % STRIDE for size in (width, height))
    padded = F.pad(level, (MARGIN, right, MARGIN, lower), value=0.5)
    answer = networks.detector(padded.contiguous(memory_format=torch.channels_last))[0]
    score = answer[0].sigmoid()
    rows, columns = torch.nonzero(score >= sure, as_tuple=True)
    faces = []
    answer[0] = score
    values = answer[:, rows, columns].T.tolist()
    for row, column, value in zip(rows.tolist(), columns.tolist(), values, strict=True):
        likely, dx, dy, size, sin, cos = value
        x = (column + 0.5) * STRIDE - MARGIN + 16 * dx
        y = (row + 0.5) * STRIDE - MARGIN + 16 * dy
        side = TYPICAL_SIDE * math.exp(min(max(size, -1.0), 1.0))
        faces.append(Face(x, y, side, math.atan2(sin, cos), likely))
    return faces


def refine(networks: Networks, pyramid: Pyramid, faces: Sequence[Face]) -> list[Face]:
    """Align each square better, from the crop around it and its mirror image, and score it anew."""
    refined = []
    for start in range(0, len(faces), 32):
        some = faces[start : start + 32]
        crops = pyramid.crops(some)
        answers = networks.refiner(torch.cat([crops, crops.flip(-1)]))
        straight, mirrored = answers.chunk(2)
        answer = (straight + mirrored * mirrored.new_tensor([1, -1, 1, 1, -1])) / 2
        refined += [moved(face, *row) for face, row in zip(some, answer.tolist(), strict=True)]
    return refined


def moved(face: Face, logit: float, dx: float, dy: float, size: float, angle: float) -> Face:
    """The square after the refiner's answer, no further than it was trained to move one.

    The score is multiplied: a face is what every look takes for one.
    """
    dx, dy, size = (min(max(value, -0.5), 0.5) for value in (dx, dy, size))
    cos, sin = face.side * math.cos(face.angle), face.side * math.sin(face.angle)
    return Face(
        face.x + cos * dx - sin * dy,
        face.y + sin * dx + cos * dy,
        face.side * math.exp(size),
        face.angle + angle,
        face.score / (1 + math.exp(-max(logit, -30.0))),
    )


def separate(faces: Sequence[Face]) -> list[Face]:
    """The surest first, without those whose centre lies in the middle of a surer one or around it.

    Two heads side by side are half a side apart; what is nearer than 0.4 of the larger side is the
    same face, or a part of it.
    """
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(
            math.hypot(face.x - other.x, face.y - other.y) > 0.4 * max(face.side, other.side)
            for other in kept
        ):
            kept.append(face)
    return kept
