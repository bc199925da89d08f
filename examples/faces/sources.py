"""What scenes are made of: aligned portraits, things that are no faces, and masks to paste with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]
"""RGB (H, W, 3), uint8, or a mask (H, W), float32 in [0, 1]."""
Random = np.random.Generator

MASK = 96
"""Pixels of a mask, which covers the middle and half a side around the aligned square."""
SAMPLES = (
    *("brick", "grass", "gravel", "coins", "page", "text", "clock_motion", "ihc", "moon"),
    *("hubble_deep_field", "retina", "motorcycle_left"),
)
"""Pictures of scikit-image that train; coffee, chelsea, rocket and astronaut test."""


def read_portraits(folder: Path) -> list[list[Pixels]]:
    """Each aligned portrait below `folder`, halved again and again: 256 (or 128), ..., 32."""
    files = sorted(folder.rglob("*.jpg")) + sorted(folder.rglob("*.png"))
    if not files:
        raise SystemExit(f"{folder} holds no portraits; name the folder with 256 and 128 in it.")
    return [halvings(read(file)) for file in files]


def read_photographs(folders: Sequence[Path]) -> list[list[Pixels]]:
    """Photographs without people, and textures from scikit-image, each with its halvings."""
    import skimage.data

    files = [file for folder in folders for file in sorted(folder.iterdir()) if file.is_file()]
    samples = Path(skimage.data.__file__).parent
    files += [f for name in SAMPLES for f in sorted(samples.glob(f"{name}.*"))]
    return [halvings(read(file)) for file in files]


def read(file: Path) -> Pixels:
    """RGB (H, W, 3), uint8."""
    image = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if image is None:
        raise SystemExit(f"{file} is no image that can be read; remove it from the folder.")
    return np.ascontiguousarray(image[..., ::-1])


def halvings(image: Pixels) -> list[Pixels]:
    """The image, and its halves down to 32 pixels, each antialiased."""
    levels = [image]
    while min(levels[-1].shape[:2]) >= 64:
        h, w = levels[-1].shape[:2]
        levels.append(cv2.resize(levels[-1], (w // 2, h // 2), interpolation=cv2.INTER_AREA))
    return levels


def level_for(levels: list[Pixels], pixels: float) -> Pixels:
    """The smallest version whose shorter edge has at least that many pixels, or the largest."""
    fitting = [level for level in levels if min(level.shape[:2]) >= 0.8 * pixels]
    return fitting[-1] if fitting else levels[0]


def draw_masks(rng: Random, count: int) -> list[Pixels]:
    """Masks of many kinds, in the coordinates of an aligned square widened to twice its side.

    Heads (an ellipse, mostly with shoulders below), crops of the square itself, and surroundings
    that reach beyond it; edges from hard to very soft. None says where exactly the square lies.
    """
    return [draw_mask(rng) for _ in range(count)]


def draw_mask(rng: Random) -> Pixels:
    """One mask (96, 96), float32."""
    mask = np.zeros((MASK, MASK), np.float32)
    half = MASK / 2
    shift = rng.normal(0, 0.03, 2)

    def place(x: float, y: float) -> tuple[int, int]:
        return round((x + 0.5 + shift[0]) * half), round((y + 0.5 + shift[1]) * half)

    def ellipse(x: float, y: float, across: float, down: float) -> None:
        size = (max(1, round(across * half)), max(1, round(down * half)))
        cv2.ellipse(mask, place(x, y), size, rng.normal(0, 4), 0, 360, 1.0, -1)

    kind = rng.random()
    if kind < 0.45:
        ellipse(0.5, 0.5, rng.uniform(0.28, 0.5), rng.uniform(0.4, 0.6))
        if rng.random() < 0.75:
            top, reach = rng.uniform(0.8, 0.95), rng.uniform(0.3, 1.2)
            across = rng.uniform(0.4, 0.9)
            corners = [(0.3, top), (0.7, top), (0.5 + across, top + reach / 2)]
            corners += [(0.5 + across, top + reach), (0.5 - across, top + reach)]
            corners += [(0.5 - across, top + reach / 2)]
            cv2.fillPoly(mask, [np.array([place(*corner) for corner in corners])], 1.0)
    elif kind < 0.65:
        inset = rng.normal(0, 0.06, 4)
        cv2.rectangle(mask, place(inset[0], inset[1]), place(1 + inset[2], 1 + inset[3]), 1.0, -1)
    elif kind < 0.85:
        more = rng.uniform(-0.05, 0.5, 4)
        cv2.rectangle(mask, place(-more[0], -more[1]), place(1 + more[2], 1 + more[3]), 1.0, -1)
    else:
        ellipse(0.5, rng.uniform(0.5, 0.7), rng.uniform(0.5, 1.0), rng.uniform(0.5, 1.0))
    softness = rng.choice([0.0, 1.0, 2.5, 5.0])
    return cv2.GaussianBlur(mask, (0, 0), softness) if softness else mask
