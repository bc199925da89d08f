"""Training of the refiner: crops whose square is a little off, and crops without a face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from examples.faces.bad_photographs import spoil
from examples.faces.scenes import Scenery, cover, draw_scene
from examples.faces.sources import Pixels, Random
from ugpnet_core.faces.face import Face
from ugpnet_core.faces.finder import detect_at_one_scale, refine, separate
from ugpnet_core.faces.network import CROP, CROP_REACH, FaceDetector, FaceRefiner, Networks
from ugpnet_core.faces.pyramid import Pyramid

FRESH, AGAIN, ALARMS, MEMORY = 48, 56, 24, 40000
"""Crops of a batch that are new, that are seen again, that the detector took for faces, and how
many are kept to be seen again."""


@dataclass(frozen=True)
class Example:
    """A crop (64, 64, 3), uint8, and the refiner's five outputs (the first 0 or 1)."""

    crop: Pixels
    answer: Pixels


def train_refiner(
    scenery: Scenery,
    detector: FaceDetector,
    iterations: Sequence[int],
    mined: int = 60,
    seed: int = 1,
    start: FaceRefiner | None = None,
) -> FaceRefiner:
    """Train in turns, about 0.3 seconds an iteration on one core.

    Args:
        iterations: of each turn. Before the first, false alarms of the detector are collected,
            before each other one those of detector and refiner together.
        mined: batches of scenes in which they are collected.
        start: continue with this one, which has had its first turn.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = start or FaceRefiner()
    network.to(memory_format=torch.channels_last)
    trained = start is not None
    for turn in iterations:
        networks = Networks(detector, network.eval())
        alarms = [
            alarm
            for _ in range(mined)
            for alarm in false_alarms(scenery, networks, rng, refined=trained)
        ]
        print(f"refiner: {len(alarms)} false alarms")
        fit_refiner(network.train(), scenery, alarms, turn, rng)
        trained = True
    return network.eval()


def fit_refiner(
    network: FaceRefiner, scenery: Scenery, alarms: list[Example], iterations: int, rng: Random
) -> None:
    """One turn."""
    memory: list[Example] = []
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, iterations, pct_start=0.1)
    sums = np.zeros(4)
    for step in range(1, iterations + 1):
        batch = [new_example(scenery, rng) for _ in range(FRESH)]
        for kept, count in ((memory, AGAIN), (alarms, ALARMS)):
            batch += [kept[i] for i in rng.integers(len(kept), size=count)] if kept else []
        for example in batch[:FRESH]:
            if len(memory) < MEMORY:
                memory.append(example)
            else:
                memory[rng.integers(MEMORY)] = example
        crops = torch.from_numpy(np.stack([example.crop for example in batch]))
        truth = torch.from_numpy(np.stack([example.answer for example in batch]))
        with torch.autocast("cpu", torch.bfloat16, enabled=step < 0.7 * iterations):
            answer = network(crops.permute(0, 3, 1, 2).float() / 255)
        verdict, alignment = refiner_losses(answer.float(), truth)
        optimizer.zero_grad()
        (0.2 * verdict + alignment).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        right = ((answer[:, 0] > 0) == (truth[:, 0] > 0)).float().mean()
        sums += [1, float(verdict.detach()), float(alignment.detach()), float(right)]
        if step % 100 == 0:
            verdicts, alignments, rights = sums[1:] / sums[0]
            print(f"refiner {step}: {verdicts:.4f}, {alignments:.4f}, right {rights:.4f}")
            sums[:] = 0


def refiner_losses(answer: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Cross entropy of the verdict; error of the alignment where there is a face, as corners feel
    it: a corner is 0.7 sides from the centre.
    """
    verdict = F.binary_cross_entropy_with_logits(answer[:, 0], truth[:, 0])
    felt = truth.new_tensor([1, 1, 0.7, 0.7])
    error = F.smooth_l1_loss(felt * answer[:, 1:], felt * truth[:, 1:], reduction="none", beta=0.02)
    return verdict, (error.sum(1) * truth[:, 0]).sum() / truth[:, 0].sum().clamp(min=1)


def new_example(scenery: Scenery, rng: Random) -> Example:
    """A crop with a face whose square is off as guesses are, or one without a face to align."""
    size = round(np.exp(rng.uniform(np.log(30), np.log(92))))
    guess = size / CROP_REACH
    scene = scenery.draw_background(size, rng)
    answer = np.zeros(5, np.float32)
    kind = rng.random()
    if kind < 0.72:
        answer[:] = draw_answer(rng)
        face = applied(answer, size, guess)
        if rng.random() < 0.1:
            # A neighbour, whose square touches this one.
            way = rng.uniform(0, 2 * np.pi)
            far = 0.75 * guess
            x, y = face.x + far * np.cos(way), face.y + far * np.sin(way)
            scenery.paste(scene, Face(x, y, guess * rng.uniform(0.5, 1), rng.normal(0, 0.3)), rng)
        scenery.paste(scene, face, rng, everywhere=rng.random() < 0.3)
        if rng.random() < 0.12:
            cover(scene, scenery.draw_background(size, rng), face, rng)
    elif kind < 0.92:
        scenery.paste(scene, missed_face(size, guess, rng), rng, everywhere=rng.random() < 0.5)
    scene = spoil(scene, rng)
    if rng.random() < 0.15:
        continue_border(scene, rng)
    return Example(cv2.resize(scene, (CROP, CROP), interpolation=cv2.INTER_LINEAR), answer)


def draw_answer(rng: Random) -> Pixels:
    """A face, and how far from it the guess is: widely as the first, or little as the second."""
    much = 1.0 if rng.random() < 0.55 else 0.25
    spreads = np.array([0.09, 0.09, 0.17, 0.2])
    limits = np.array([0.28, 0.28, 0.45, 0.6])
    return np.append(1, np.clip(rng.normal(0, much * spreads), -limits, limits))


def applied(answer: Pixels, size: int, guess: float) -> Face:
    """The face that the answer leads to from the middle of a crop."""
    _, dx, dy, scale, angle = answer.tolist()
    return Face(size / 2 + guess * dx, size / 2 + guess * dy, guess * np.exp(scale), angle)


def missed_face(size: int, guess: float, rng: Random) -> Face:
    """A face too far away, too small, too large, or turned too far for this crop to be its own."""
    kind = rng.random()
    if kind < 0.55:
        way, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.1) * guess
        x, y = size / 2 + far * np.cos(way), size / 2 + far * np.sin(way)
        return Face(x, y, guess * np.exp(rng.normal(0, 0.25)), rng.normal(0, 0.3))
    x, y = rng.normal(size / 2, 0.15 * size, 2)
    if kind < 0.85:
        smaller = rng.random() < 0.35
        return Face(x, y, guess * (rng.uniform(0.25, 0.48) if smaller else rng.uniform(2, 6)), 0.0)
    return Face(x, y, guess * np.exp(rng.normal(0, 0.2)), rng.uniform(1.4, 4.9))


def continue_border(scene: Pixels, rng: Random) -> None:
    """Let the photograph end inside the crop, and its border pixels continue."""
    size = scene.shape[0]
    cut = int(rng.uniform(0.02, 0.4) * size)
    edge = rng.integers(4)
    if edge == 0:
        scene[:, :cut] = scene[:, cut : cut + 1]
    elif edge == 1:
        scene[:, size - cut :] = scene[:, size - cut - 1 : size - cut]
    elif edge == 2:
        scene[:cut] = scene[cut : cut + 1]
    else:
        scene[size - cut :] = scene[size - cut - 1 : size - cut]


def false_alarms(
    scenery: Scenery, networks: Networks, rng: Random, *, refined: bool
) -> list[Example]:
    """Crops around what the detector takes for faces in 16 scenes, and what are none.

    Args:
        refined: only those that the refiner does not reject, also after it has moved them.
    """
    found = []
    for i in range(16):
        faces: list[Face] = []
        scene = scenery.draw_background(192, rng)
        if i % 2:
            scene, faces = draw_scene(scenery, 192, rng)
        level = torch.from_numpy(spoil(scene, rng)).permute(2, 0, 1).float() / 255
        with torch.inference_mode():
            pyramid = Pyramid(level)
            guesses = separate(detect_at_one_scale(networks, level[None], 0.15))[:15]
            if refined:
                certain = [replace(guess, score=1.0) for guess in guesses]
                moved = refine(networks, pyramid, certain)
                kept = [(a, b) for a, b in zip(guesses, moved, strict=True) if b.score > 0.05]
                guesses = [guess for pair in kept for guess in pair]
            for guess in guesses:
                if not any(is_part(guess, face) for face in faces):
                    crop = (255 * pyramid.crop(guess)[0] + 0.5).to(torch.uint8)
                    pixels = crop.permute(1, 2, 0).contiguous().numpy()
                    found.append(Example(pixels, np.zeros(5, np.float32)))
    return found


def is_part(guess: Face, face: Face) -> bool:
    """Whether a guess is so near a face that it is no false alarm."""
    near = np.hypot(guess.x - face.x, guess.y - face.y) < 0.5 * max(guess.side, face.side)
    return bool(near) and 0.4 < guess.side / face.side < 2.5
