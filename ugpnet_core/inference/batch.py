"""Restoring many files: a broken one is reported, and the rest goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ugpnet_core.errors import UGPNetError
from ugpnet_core.image import read_image, write_image
from ugpnet_core.inference.check import checked
from ugpnet_core.inference.like import write_like
from ugpnet_core.inference.outputs import Job

if TYPE_CHECKING:
    from ugpnet_core.inference.restorer import Restorer

REGRESSION, SYNTHESIS, CHECK = "_reg", "_syn", "_check"


@dataclass(frozen=True)
class Result:
    """What became of one file; ``error`` says what went wrong, and is None if nothing did, and
    ``notices`` what there is to know about the result. ``faces`` is how many the prior restored,
    None where the model does not look for any."""

    job: Job
    seconds: float
    skipped: bool = False
    error: str | None = None
    notices: tuple[str, ...] = ()
    faces: int | None = None


class Work(NamedTuple):
    """What there is to say of a file that was worked on; see :class:`Result`."""

    notices: tuple[str, ...] = ()
    faces: int | None = None


def restore_files(
    restorer: Restorer,
    jobs: Iterable[Job],
    *,
    save_all: bool = False,
    check: bool = False,
    skip_existing: bool = False,
) -> Iterator[Result]:
    """Restore file after file, and yield what became of each.

    A result has the bit depth, alpha (enlarged by the model's scale), colour profile and EXIF of
    its input, where its format can hold them.

    Args:
        save_all: write x_reg and x_syn, too, as ``NAME_reg.png`` and ``NAME_syn.png``.
        check: compare each result with its input, see :mod:`ugpnet_core.inference.check`, and write
            where they disagree as ``NAME_check.png``.
        skip_existing: leave files alone whose results all exist.
    """

    looks = restorer.domain == "faces" and restorer.faces == "auto"

    def restore(job: Job) -> Work:
        photo = read_image(job.source)
        output = restorer(photo.pixels)
        notices = output.notices
        if check:
            found = checked(restorer, photo.pixels, output.image)
            write_image(job.beside(CHECK), found.heat_map)
            notices = (*notices, found.sentence())
        if save_all:
            write_like(job.beside(REGRESSION), output.regression, photo)
            write_like(job.beside(SYNTHESIS), output.synthesis, photo)
        write_like(job.target, output.image, photo)  # last: it marks the job as done
        return Work(notices, len(output.faces[0]) if looks else None)

    suffixes = further_results(save_all, check)
    return each_file(jobs, restore, suffixes if skip_existing else None)


def further_results(save_all: bool, check: bool) -> tuple[str, ...]:
    """The suffixes of what :func:`restore_files` writes beside each result."""
    return (*((REGRESSION, SYNTHESIS) if save_all else ()), *((CHECK,) if check else ()))


def each_file(
    jobs: Iterable[Job],
    work: Callable[[Job], Work | None],
    skip: tuple[str, ...] | None = None,
) -> Iterator[Result]:
    """Do the work for job after job; whatever it raises is that job's error and stops no other.

    Args:
        skip: where not None, jobs are skipped whose target exists, with those suffixes beside it.
    """
    for job in jobs:
        begun = time.perf_counter()
        skipped = skip is not None and all(
            path.exists() for path in (job.target, *map(job.beside, skip))
        )
        error = None
        done = None
        if not skipped:
            try:
                done = work(job)
            except UGPNetError as problem:
                error = str(problem)
            except Exception as problem:
                error = f"{job.source}: {type(problem).__name__}: {problem}"
        yield Result(job, time.perf_counter() - begun, skipped, error, *(done or Work()))
