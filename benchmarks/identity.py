"""Whether people are still themselves: who a face recogniser takes a restored portrait for.

    python -m benchmarks.identity --portraits FOLDER [-m MODEL] [--tasks] [--count N] [--json FILE]

Each portrait, one of each person, is resized to 256 pixels and degraded as in
``benchmarks.no_harm``, or with ``--tasks`` by the task of the model. The recogniser is dlib, which
no training here sees; it compares what was made of a portrait with all undegraded portraits. Shown
is how often the right person comes first, in percent, for the degraded image, x_reg and x_hat, and
the kernel distance (KID, times 1,000) of the sets' embeddings to those of the undegraded portraits.
Where no face is found in an image, the place is taken where the undegraded one has it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

import ugpnet_core as ug
from benchmarks.no_harm import Degradation, degraded, half, jpeg, noise
from ugpnet_core.degradations.held import run_task
from ugpnet_core.factory import create_task_at
from ugpnet_core.image import center_square, list_images, read_image, resize
from ugpnet_core.metrics.face_models import make_face_model
from ugpnet_core.metrics.kernel import KernelSums
from ugpnet_core.seeding import rng_for

SIZE = 256
KINDS: dict[str, Degradation] = {
    "noise 0.08": noise(0.08),
    "noise 0.15": noise(0.15),
    "noise 0.30": noise(0.3),
    "JPEG 20": jpeg(20),
    "half size, noise 0.04": half(0.04),
}
STAGES = ("degraded", "x_reg", "x_hat")
Degrade = Callable[[Tensor, int], Tensor]


def recognised(found: Sequence[Tensor], gallery: Tensor) -> float:
    """How often the n-th embedding is nearest to the n-th of the gallery, in percent."""
    nearest = torch.cdist(torch.stack(list(found)), gallery).argmin(1)
    return 100 * float((nearest == torch.arange(len(gallery))).double().mean())


def kinds_of(restorer: ug.Restorer, of_task: bool) -> Mapping[str, Degrade]:
    """What degrades the n-th portrait, by name."""
    if of_task:
        task = create_task_at(restorer.model.config.task, SIZE)
        return {task.name: lambda truth, index: run_task(task, truth, rng_for(0, "who", index))}

    def of(number: int, kind: Degradation) -> Degrade:
        return lambda truth, index: degraded(truth, kind, number, index)[0]

    return {name: of(number, kind) for number, (name, kind) in enumerate(KINDS.items())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--portraits", type=Path, required=True)
    parser.add_argument("-m", "--model", default="portraits")
    parser.add_argument("--tasks", action="store_true", help="degrade by the model's own task")
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    restorer = ug.Restorer(arguments.model)
    faces = make_face_model("dlib")
    truths, places, gallery = [], [], []
    for file in list_images([arguments.portraits], recursive=True)[: arguments.count]:
        truth = center_square(read_image(file).pixels, SIZE)
        place = faces.find(truth)
        if place is not None:
            truths.append(truth)
            places.append(place)
            gallery.append(faces.embedding(truth, place))
    known = torch.stack(gallery)
    title = f"{arguments.model}: the right one of {len(truths)} people first (%); KID x 1,000"
    table = Table("input", *STAGES, *(f"KID {stage}" for stage in STAGES), title=title)
    figures: dict[str, dict[str, float]] = {}
    for name, degrade in kinds_of(restorer, arguments.tasks).items():
        found: dict[str, list[Tensor]] = {stage: [] for stage in STAGES}
        for index, (truth, place) in enumerate(zip(truths, places, strict=True)):
            x = degrade(truth, index)
            restored = restorer(x)
            large = resize(x, (SIZE, SIZE))
            for stage, image in zip(
                STAGES, (large, restored.regression, restored.image), strict=True
            ):
                found[stage].append(faces.embedding(image, faces.find(image) or place))
        first = {stage: recognised(found[stage], known) for stage in STAGES}
        distances = {
            f"KID {stage}": 1_000
            * (KernelSums([torch.stack(found[stage]).numpy()], [known.numpy()]).distance() or 0)
            for stage in STAGES
        }
        figures[name] = first | distances
        table.add_row(
            name,
            *(f"{first[stage]:.0f}" for stage in STAGES),
            *(f"{distances[f'KID {stage}']:.2f}" for stage in STAGES),
        )
        print(f"{name}: {first}", file=sys.stderr)
    Console().print(table)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
