"""Training of the detector: every location of a scene says whether it is a face's centre."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from examples.faces.bad_photographs import spoil
from examples.faces.scenes import Scenery, draw_scene
from examples.faces.sources import Pixels, Random
from ugpnet_core.faces.face import Face
from ugpnet_core.faces.network import STRIDE, TYPICAL_SIDE, FaceDetector

SIZE = 128
FRESH, AGAIN, MEMORY = 16, 16, 4000
"""Scenes of a batch that are new, that are seen again, and how many are kept for that."""
KNOWN = (26.0, 76.0)
"""Pixels: sides that the detector answers for; a face of another size is found in another level of
the pyramid, and is no face here unless it is almost of these sizes (then it does not matter)."""
ALMOST = (18.0, 104.0)


def train_detector(scenery: Scenery, iterations: int, seed: int = 0) -> FaceDetector:
    """Train for some iterations, about 0.2 seconds each on one core."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = FaceDetector().to(memory_format=torch.channels_last)
    torch.nn.init.constant_(network.answer.bias[:1], -4.0)  # type: ignore[index]
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, iterations, pct_start=0.1)
    memory: list[tuple[Pixels, Pixels]] = []
    sums = np.zeros(3)
    for step in range(1, iterations + 1):
        batch = [new_example(scenery, rng) for _ in range(FRESH)]
        batch += [memory[i] for i in rng.integers(len(memory), size=AGAIN)] if memory else []
        for example in batch[:FRESH]:
            if len(memory) < MEMORY:
                memory.append(example)
            else:
                memory[rng.integers(MEMORY)] = example
        images = torch.from_numpy(np.stack([image for image, _ in batch]))
        truth = torch.from_numpy(np.stack([targets for _, targets in batch]))
        with torch.autocast("cpu", torch.bfloat16):
            answer = network(images.permute(0, 3, 1, 2).float() / 255)
        marks, squares = detection_losses(answer.float(), truth)
        optimizer.zero_grad()
        (marks + squares).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        sums += [1, float(marks.detach()), float(squares.detach())]
        if step % 200 == 0:
            print(f"detector {step}: score {sums[1] / sums[0]:.4f}, square {sums[2] / sums[0]:.4f}")
            sums[:] = 0
    return network.eval()


def new_example(scenery: Scenery, rng: Random) -> tuple[Pixels, Pixels]:
    """A spoiled scene (128, 128, 3), uint8, and its targets (7, 16, 16), float32."""
    scene, faces = draw_scene(scenery, SIZE, rng)
    scene = spoil(scene, rng)
    if rng.random() < 0.15:
        hide_border(scene, rng)
    return scene, detection_targets(faces, SIZE // STRIDE)


def hide_border(scene: Pixels, rng: Random) -> None:
    """Let the photograph end inside the scene; beyond it is the grey that finders pad with."""
    left, right, upper, lower = np.clip(rng.normal(0, 25, 4), 0, 50).astype(int)
    scene[:upper] = scene[SIZE - lower :] = 128
    scene[:, :left] = scene[:, SIZE - right :] = 128


def detection_targets(faces: Sequence[Face], cells: int) -> Pixels:
    """(7, cells, cells): weight, 1 for a centre, and what the detector's last outputs should be."""
    targets = np.zeros((7, cells, cells), np.float32)
    targets[0] = 1
    middle = (np.arange(cells) + 0.5) * STRIDE
    for face in faces:
        if not ALMOST[0] <= face.side <= ALMOST[1]:
            continue
        dx, dy = face.x - middle[None, :], face.y - middle[:, None]
        far = np.hypot(dx, dy) / face.side
        targets[0][(far < 0.36) & (targets[1] == 0)] = 0
        if not KNOWN[0] <= face.side <= KNOWN[1]:
            continue
        # At least the nearest location, whatever the size.
        near = far < max(0.17, 0.71 * STRIDE / face.side)
        targets[0][near], targets[1][near] = 1, 1
        square = np.stack(np.broadcast_arrays(dx / 16, dy / 16, *angle_and_size(face)))
        targets[2:][:, near] = square[:, near]
    return targets


def angle_and_size(face: Face) -> tuple[float, float, float]:
    """The detector's outputs that say size and angle."""
    return (
        float(np.log(face.side / TYPICAL_SIDE)),
        float(np.sin(face.angle)),
        float(np.cos(face.angle)),
    )


def detection_losses(answer: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Focal loss (Lin et al., 2017) of the scores, smooth L1 of the squares, per centre."""
    weight, centre = truth[:, 0], truth[:, 1]
    count = centre.sum().clamp(min=1)
    entropy = F.binary_cross_entropy_with_logits(answer[:, 0], centre, reduction="none")
    score = answer[:, 0].sigmoid()
    wrong = centre * (1 - score) + (1 - centre) * score
    marks = (weight * wrong**2 * entropy).sum() / count
    error = F.smooth_l1_loss(answer[:, 1:], truth[:, 2:], reduction="none", beta=0.05).sum(1)
    return 4 * marks, (error * centre).sum() / count
