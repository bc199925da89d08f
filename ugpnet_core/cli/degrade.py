"""``ugpnet degrade``: make the inputs of a task from clean photographs, reproducibly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from ugpnet_core.cli.batch import Batch, Choices
from ugpnet_core.cli.files import (
    AsJson,
    Extension,
    InputOption,
    Inputs,
    Out,
    Overwrite,
    Recursive,
    SkipExisting,
    Suffix,
    named_inputs,
)
from ugpnet_core.cli.options import OptionPairs, parse_options
from ugpnet_core.cli.pipe import piped
from ugpnet_core.cli.stopping import stoppable
from ugpnet_core.cli.telling import DEGRADING

if TYPE_CHECKING:
    from ugpnet_core.inference.outputs import Job
    from ugpnet_core.inference.turn import Result


def degrade(
    out: Out,
    task: Annotated[str, typer.Option("--task", "-t", help="Name, see list-tasks.")],
    inputs: Inputs = None,
    more_inputs: InputOption = None,
    seed: Annotated[int, typer.Option(help="Another seed gives other noise.")] = 0,
    resolution: Annotated[
        int | None,
        typer.Option(
            min=1, help="Crop square and resize first, and fit the task to that size (try 512)."
        ),
    ] = None,
    option: OptionPairs = None,
    suffix: Suffix = "",
    ext: Extension = None,
    skip_existing: SkipExisting = False,
    overwrite: Overwrite = False,
    recursive: Recursive = False,
    as_json: AsJson = False,
) -> None:
    """Degrade clean photographs with a task; the noise depends on seed and file name only.

    JPEG and WebP files become PNG, which keeps the degradation as it is, unless --ext says
    otherwise. Files are found, named and protected as by restore.

    Example: ugpnet degrade photos -o degraded --task denoise -O sigma=25
    """
    with stoppable(), piped(named_inputs(inputs, more_inputs), out, as_json=as_json) as pipe:
        from ugpnet_core.config import TaskConfig
        from ugpnet_core.degradations.held import run_task
        from ugpnet_core.factory import create_task_at
        from ugpnet_core.image import center_square, read_image
        from ugpnet_core.inference.batch import each_file
        from ugpnet_core.inference.outputs import Naming
        from ugpnet_core.inference.turn import Work
        from ugpnet_core.inference.writing import Writing
        from ugpnet_core.seeding import rng_for

        config = TaskConfig(name=task, options=parse_options(option or []))
        operator = create_task_at(config, resolution or 512)
        naming = Naming(suffix=suffix, extension=ext, lossless=True)
        choices = Choices(recursive, skip_existing, overwrite, as_json)
        batch = Batch(DEGRADING, pipe, naming, choices)

        def degraded(
            jobs: Iterable[Job], *, skip_existing: bool, overwrite: bool
        ) -> Iterator[Result]:
            write = Writing(overwrite, keep=skip_existing)

            def work(job: Job) -> Work:
                photo = read_image(job.source)
                clean = photo.pixels
                if resolution is not None:
                    clean = center_square(clean, resolution)
                write(job.target, run_task(operator, clean, rng_for(seed, job.name)), photo)
                return Work(photo.notices)

            return each_file(jobs, work, () if skip_existing else None)

        batch.run(degraded)
