"""Whether a model does as much for dark skin as for light.

    python -m benchmarks.by_skin_tone --portraits FOLDER [-m MODEL] [--count N] [--json FILE]

Portraits are aligned squares (as FFHQ's), resized to 256 pixels and degraded as in
``benchmarks.no_harm``. Skin tone is measured in the undegraded image, as the individual typology
angle of both cheeks (Chardin et al. 1991): atan((L* - 50) / b*) in degrees, of medians in CIELAB.
It depends on the light of the photograph, too, and says nothing of who somebody is. Groups are
those in use in dermatology. Each figure is the mean gain in PSNR (dB) inside the face, with a 95 %
interval by bootstrap over people.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

import ugpnet_core as ug
from benchmarks.no_harm import Degradation, degraded, half, jpeg, noise, psnr
from ugpnet_core.evaluation.uncertainty import bootstrap_means
from ugpnet_core.image import center_square, list_images, read_image
from ugpnet_core.reports.table import with_interval

SIZE = 256
KINDS: dict[str, Degradation] = {
    "noise 0.08": noise(0.08),
    "noise 0.15": noise(0.15),
    "JPEG 20": jpeg(20),
    "half size, noise 0.04": half(0.04),
}
# Least angle of each group, in degrees.
TONES = {"light (41 and more)": 41.0, "intermediate (28 to 41)": 28.0, "tan (10 to 28)": 10.0}
DARKEST = "brown and dark (under 10)"
# Parts of the side, in the alignment of FFHQ: rows and columns of the cheeks, and of the face.
CHEEKS = (((0.56, 0.66), (0.33, 0.42)), ((0.56, 0.66), (0.58, 0.67)))
FACE = ((0.25, 0.85), (0.22, 0.78))


def typology_angle(image: Tensor) -> float:
    """The angle in degrees.

    Args:
        image: (3, H, W), RGB in [0, 1], an aligned portrait.
    """
    lab = cv2.cvtColor(np.ascontiguousarray(image.permute(1, 2, 0).numpy()), cv2.COLOR_RGB2LAB)
    planes = torch.from_numpy(lab).permute(2, 0, 1)
    cheeks = torch.cat([part(planes, *place).flatten(1) for place in CHEEKS], 1)
    lightness, _, yellow = cheeks.median(1).values.tolist()
    return math.degrees(math.atan2(lightness - 50, yellow))


def part(image: Tensor, rows: tuple[float, float], columns: tuple[float, float]) -> Tensor:
    """A part of (3, H, W), by parts of its sides."""
    height, width = image.shape[-2:]
    top, bottom = (round(height * value) for value in rows)
    left, right = (round(width * value) for value in columns)
    return image[:, top:bottom, left:right]


def tone_of(angle: float) -> str:
    """The group that an angle belongs to."""
    return next((name for name, least in TONES.items() if angle >= least), DARKEST)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--portraits", type=Path, required=True)
    parser.add_argument("-m", "--model", default="portraits")
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    restorer = ug.Restorer(arguments.model)
    files = list_images([arguments.portraits], recursive=True)[: arguments.count]
    gains: dict[str, dict[str, list[float]]] = {}
    for index, file in enumerate(files):
        truth = center_square(read_image(file).pixels, SIZE)
        group = gains.setdefault(tone_of(typology_angle(truth)), {})
        for number, (name, degrade) in enumerate(KINDS.items()):
            x, _ = degraded(truth, degrade, number, index)
            faces = (part(one, *FACE) for one in (restorer(x).image.clamp(0, 1), x, truth))
            after, before, wanted = faces
            group.setdefault(name, []).append(psnr(after, wanted) - psnr(before, wanted))
    table = Table(title=f"{arguments.model}: gain inside the face (dB), {len(files)} portraits")
    for heading in ("skin tone, in the image", "people", *KINDS):
        table.add_column(heading, justify="left" if "skin" in heading else "right")
    figures: dict[str, dict[str, object]] = {}
    for tone in (*TONES, DARKEST):
        if tone not in gains:
            continue
        means = bootstrap_means(np.array(list(gains[tone].values())).T)
        cells = {name: asdict(mean) for name, mean in zip(gains[tone], means, strict=True)}
        people = len(next(iter(gains[tone].values())))
        figures[tone] = {"people": people, **cells}
        table.add_row(tone, str(people), *(with_interval(each, 1, signed=True) for each in means))
    Console().print(table)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
