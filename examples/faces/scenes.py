"""Scenes with faces whose squares are known: portraits pasted over photographs and colours."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from examples.faces.sources import MASK, Pixels, Random, draw_masks, level_for
from ugpnet_core.faces.face import Face


@dataclass
class Scenery:
    """Everything that scenes are drawn from."""

    portraits: list[list[Pixels]]
    photographs: list[list[Pixels]]
    masks: list[Pixels] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.masks:
            self.masks = draw_masks(np.random.default_rng(1), 600)

    def draw_background(self, size: int, rng: Random) -> Pixels:
        """RGB (size, size, 3), uint8, without a face: a photograph, colours, smooth noise."""
        kind = rng.random()
        if kind < 0.7:
            levels = self.photographs[rng.integers(len(self.photographs))]
            seen = np.exp(rng.uniform(np.log(0.08), np.log(1.2))) * min(levels[0].shape[:2])
            image = level_for(levels, size / seen * min(levels[0].shape[:2]))
            scale = size / seen * min(levels[0].shape[:2]) / min(image.shape[:2])
            centre = rng.random(2) * image.shape[1::-1]
            turn = rng.uniform(-np.pi, np.pi) if rng.random() < 0.3 else rng.normal(0, 0.1)
            matrix = similarity(centre, np.array([size / 2, size / 2]), scale, turn)
            if rng.random() < 0.5:
                matrix[:, 0] *= -1
                matrix[:, 2] -= matrix[:, 0] * image.shape[1]
            return warp(image, matrix, size, cv2.BORDER_REFLECT_101)
        if kind < 0.8:
            return np.tile(rng.integers(0, 256, 3).astype(np.uint8), (size, size, 1))
        cells = int(rng.integers(2, 12))
        noise = rng.normal(rng.uniform(40, 215, 3), rng.uniform(5, 60), (cells, cells, 3))
        smooth = cv2.resize(noise.astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
        return np.clip(smooth, 0, 255).astype(np.uint8)

    def paste(self, scene: Pixels, face: Face, rng: Random, *, everywhere: bool = False) -> None:
        """Paste any portrait into the scene (changed in place), with any mask.

        Args:
            everywhere: the portrait's own surroundings, continued, fill the scene.
        """
        levels = self.portraits[rng.integers(len(self.portraits))]
        portrait = level_for(levels, face.side)
        if rng.random() < 0.5:
            portrait = portrait[:, ::-1]
        n = portrait.shape[0]
        # Cut edges away, so that what continues the portrait says nothing about its alignment.
        left, right, upper, lower = (rng.uniform(0, [0.12, 0.12, 0.1, 0.15]) * n).astype(int)
        cut = np.ascontiguousarray(portrait[upper : n - lower, left : n - right])
        # Some mirror what is left a little, too little to mirror the face.
        around = rng.uniform(0, [0.2, 0.2, 0.15, 0.12]) * n * (rng.random() < 0.5)
        more_left, more_right, more_upper, more_lower = around.astype(int).tolist()
        cut = cv2.copyMakeBorder(
            cut, more_upper, more_lower, more_left, more_right, cv2.BORDER_REFLECT_101
        )
        middle = np.array([n / 2 - left + more_left, n / 2 - upper + more_upper])
        target = np.array([face.x, face.y])
        matrix = similarity(middle, target, face.side / n, face.angle)
        size = scene.shape[0]
        pasted = warp(cut, matrix, size, cv2.BORDER_REPLICATE)
        if everywhere:
            scene[:] = pasted
            return
        mask = self.masks[rng.integers(len(self.masks))]
        matrix = similarity(np.full(2, MASK / 2), target, 2 * face.side / MASK, face.angle)
        weight = warp(mask, matrix, size, cv2.BORDER_CONSTANT)[..., None]
        scene[:] = (scene + (pasted.astype(np.float32) - scene) * weight + 0.5).astype(np.uint8)


def similarity(source: Pixels, target: Pixels, scale: float, angle: float) -> Pixels:
    """(2, 3): takes `source` to `target` (x, y; the first pixel's middle is 0.5), turned."""
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]])
    return np.concatenate([turn, (target - turn @ source)[:, None]], axis=1)


def warp(image: Pixels, matrix: Pixels, size: int, border: int) -> Pixels:
    """Apply a matrix of `similarity`; the result is (size, size, ...)."""
    index = matrix.copy()
    index[:, 2] += matrix[:, :2] @ np.full(2, 0.5) - 0.5
    return cv2.warpAffine(image, index, (size, size), flags=cv2.INTER_LINEAR, borderMode=border)


def draw_angle(rng: Random) -> float:
    """Radians: mostly small, up to 40 degrees."""
    degrees = rng.normal(0, 10) if rng.random() < 0.65 else rng.uniform(-40, 40)
    return float(np.deg2rad(np.clip(degrees, -40, 40)))


def draw_scene(scenery: Scenery, size: int, rng: Random) -> tuple[Pixels, list[Face]]:
    """A scene (size, size, 3), uint8, and the faces in it, of all sizes from 14 to 250 pixels."""
    scene = scenery.draw_background(size, rng)
    faces: list[Face] = []
    for _ in range(rng.choice(6, p=[0.14, 0.34, 0.22, 0.14, 0.1, 0.06])):
        small = rng.random() < 0.75
        side = np.exp(rng.uniform(*np.log([24, 80] if small else [14, 250])))
        x, y = rng.uniform(-0.1 * side, size + 0.1 * side, 2)
        face = Face(float(x), float(y), float(side), draw_angle(rng))
        if any(too_near(face, other) for other in faces):
            continue
        scenery.paste(scene, face, rng, everywhere=not faces and rng.random() < 0.3)
        faces.append(face)
        if rng.random() < 0.12:
            cover(scene, scenery.draw_background(size, rng), face, rng)
    if rng.random() < 0.06:
        # Upside down or lying is no face here: it could not be aligned.
        x, y = rng.uniform(0, size, 2)
        turned = Face(float(x), float(y), rng.uniform(26, 90), rng.uniform(1.5, 4.8))
        if not any(too_near(turned, other) for other in faces):
            scenery.paste(scene, turned, rng)
    return scene, faces


def too_near(one: Face, other: Face) -> bool:
    """Whether one of two faces would hide the other."""
    return bool(np.hypot(one.x - other.x, one.y - other.y) < 0.4 * (one.side + other.side))


def cover(scene: Pixels, thing: Pixels, face: Face, rng: Random) -> None:
    """Hide a part of a face by something."""
    turn, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.5) * face.side
    centre = (round(face.x + far * np.cos(turn)), round(face.y + far * np.sin(turn)))
    axes = (rng.uniform(0.08, 0.3, 2) * face.side).astype(int) + 1
    mask = np.zeros(scene.shape[:2], np.uint8)
    cv2.ellipse(mask, centre, axes.tolist(), rng.uniform(0, 180), 0, 360, 1, -1)
    scene[mask > 0] = thing[mask > 0]
