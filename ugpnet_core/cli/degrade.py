"""``ugpnet degrade``: make the inputs of a task from clean photographs, reproducibly."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ugpnet_core.cli.files import Recursive, SkipExisting, report, require, tracked
from ugpnet_core.cli.options import OptionPairs, parse_options


def degrade(
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Images and folders.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder for the results, or a file for one image.")
    ],
    task: Annotated[str, typer.Option("--task", "-t", help="Name, see list-tasks.")],
    seed: Annotated[int, typer.Option(help="Another seed gives other noise.")] = 0,
    resolution: Annotated[
        int | None,
        typer.Option(
            min=1, help="Crop square and resize first, and fit the task to that size (try 512)."
        ),
    ] = None,
    option: OptionPairs = None,
    skip_existing: SkipExisting = False,
    recursive: Recursive = False,
) -> None:
    """Degrade clean photographs with a task; the noise depends on seed and file name only.

    JPEG and WebP files become PNG, which keeps the degradation as it is.
    """
    from ugpnet_core.config import TaskConfig
    from ugpnet_core.factory import create_task_at
    from ugpnet_core.image import center_square, read_image
    from ugpnet_core.inference.batch import each_file
    from ugpnet_core.inference.like import write_like
    from ugpnet_core.inference.outputs import Job, plan
    from ugpnet_core.seeding import rng_for

    config = TaskConfig(name=task, options=parse_options(option or []))
    operator = create_task_at(config, resolution or 512)
    jobs = require(plan(inputs, out, recursive=recursive, lossless=True), inputs)

    def work(job: Job) -> None:
        photo = read_image(job.source)
        clean = photo.pixels
        if resolution is not None:
            clean = center_square(clean, resolution)
        write_like(job.target, operator(clean, rng_for(seed, job.name)), photo)

    results = each_file(jobs, work, () if skip_existing else None)
    report(tracked(results, len(jobs), "Degrading"), "degraded", out)
