"""Contact sheets of trained models on portraits, as docs/contact-sheets.md shows them.

    python -m examples.contact_sheets FOLDER -m portraits -m portraits-sr8 -o docs/sheets

FOLDER holds portraits that neither trained nor chose anything. 24 of them, evenly spread, are
degraded by each model's task with fixed seeds; from top to bottom stand what came in, x_reg, x_hat
and the photograph. Nothing is left out. A model of the task ``photo`` shows what ``ugpnet restore``
writes; those of the paper's tasks get the aligned portrait as it is, as in ``ugpnet evaluate``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

import ugpnet_core as ug
from ugpnet_core.degradations.held import run_task
from ugpnet_core.factory import create_task_at
from ugpnet_core.image import center_square, list_images, read_image, resize, write_image
from ugpnet_core.progress import watched
from ugpnet_core.seeding import rng_for

COUNT, ROWS = 24, 2
SIDE = 112
GAP = 10


def column(restorer: ug.Restorer, file: Path, side: int) -> Tensor:
    """What becomes of a portrait, from what came in to what it was: (3, 4 side, side)."""
    truth = center_square(read_image(file).pixels, restorer.model.resolution)
    task = create_task_at(restorer.model.config.task, restorer.model.resolution)
    x = run_task(task, truth, rng_for(0, file.name))
    if task.name == "photo":
        restored = restorer(x)
        hat, regression = restored.image, restored.regression
    else:
        with torch.inference_mode():
            hat, regression, _ = (one[0] for one in restorer.model(x[None]))
    pictures = (x, regression, hat, truth)
    return torch.cat([resize(picture, (side, side)).clamp(0, 1) for picture in pictures], 1)


def sheet(columns: Sequence[Tensor], rows: int) -> Tensor:
    """Columns beside each other, in so many rows with a white line between them."""
    wide = -(-len(columns) // rows)
    parts = [list(columns[start : start + wide]) for start in range(0, len(columns), wide)]
    blank = torch.ones_like(columns[0])
    full = [torch.cat([*part, *[blank] * (wide - len(part))], 2) for part in parts]
    line = torch.ones(3, GAP, full[0].shape[2])
    return torch.cat([full[0], *(one for part in full[1:] for one in (line, part))], 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("-m", "--model", action="append", required=True)
    parser.add_argument("-o", "--out", type=Path, default=Path("sheets"))
    arguments = parser.parse_args()
    files = list_images([arguments.folder], recursive=True)
    some = [files[index * len(files) // COUNT] for index in range(min(COUNT, len(files)))]
    arguments.out.mkdir(parents=True, exist_ok=True)
    for model in arguments.model:
        restorer = ug.Restorer(model)
        columns = [column(restorer, file, SIDE) for file in watched(some, len(some), model)]
        path = arguments.out / f"{Path(model).stem}.jpg"
        write_image(path, sheet(columns, ROWS), quality=80)
        print(path)


if __name__ == "__main__":
    main()
