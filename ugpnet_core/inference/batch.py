"""Restoring many files: a broken one is reported, and the rest goes on."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor

from ugpnet_core.errors import ImageError, UGPNetError
from ugpnet_core.image import ImageFile, read_image, resize, write_image
from ugpnet_core.inference.check import checked
from ugpnet_core.inference.outputs import CHECK, REGRESSION, SYNTHESIS, Job

if TYPE_CHECKING:
    from ugpnet_core.inference.restorer import Restorer

# What every further file would run into, too.
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


@dataclass(frozen=True)
class Result:
    """What became of one file; ``error`` says what went wrong, and is None if nothing did, and
    ``notices`` what there is to know about the result. ``faces`` is how many the prior restored,
    None where the model does not look for any. ``no_room``: the disk took nothing more, and no
    further file is tried."""

    job: Job
    seconds: float
    skipped: bool = False
    error: str | None = None
    notices: tuple[str, ...] = ()
    faces: int | None = None
    no_room: bool = False


class Work(NamedTuple):
    """What there is to say of a file that was worked on; see :class:`Result`."""

    notices: tuple[str, ...] = ()
    faces: int | None = None


@dataclass(frozen=True)
class Writing:
    """How results are written, and what happens to files that stand in their place.

    Attributes:
        overwrite: they are replaced; otherwise that is an error of the one result.
        keep: they stay as they are, in silence.
        quality: of JPEG and WebP, 1 to 100; None: that of :func:`write_image`.
    """

    overwrite: bool = True
    keep: bool = False
    quality: int | None = None

    def __call__(self, path: Path, pixels: Tensor, photo: ImageFile | None = None) -> None:
        """Write pixels, with everything else as in the file that they were made from.

        Raises:
            ImageError: something stands there and must not be replaced, or the disk refuses.
        """
        if os.path.lexists(path) and (self.keep or not self.overwrite):
            if self.keep:
                return
            raise ImageError(
                f"{path} has come to exist meanwhile and is not overwritten; use --overwrite or "
                "another -o."
            )
        if photo is None:
            write_image(path, pixels)
        else:
            write_like(path, pixels, photo, quality=self.quality)


def restore_files(
    restorer: Restorer,
    jobs: Iterable[Job],
    *,
    save_all: bool = False,
    check: bool = False,
    skip_existing: bool = False,
    overwrite: bool = True,
    quality: int | None = None,
) -> Iterator[Result]:
    """Restore file after file, and yield what became of each.

    A result has the bit depth, alpha (enlarged by the model's scale), colour profile and EXIF of
    its input, where its format can hold them.

    Args:
        save_all: write x_reg and x_syn, too, as ``NAME_reg.png`` and ``NAME_syn.png``.
        check: compare each result with its input, see :mod:`ugpnet_core.inference.check`, and write
            where they disagree as ``NAME_check.png``.
        skip_existing: leave files alone whose results all exist; where some do, write the others.
        overwrite: replace what stands in the place of a result; otherwise that is an error of it.
        quality: of JPEG and WebP, 1 to 100; None: as :func:`write_image` has it.
    """
    looks = restorer.domain == "faces" and restorer.faces == "auto"
    write = Writing(overwrite, skip_existing, quality)

    def restore(job: Job) -> Work:
        photo = read_image(job.source)
        output = restorer(photo.pixels)
        notices = output.notices
        if check:
            found = checked(restorer, photo.pixels, output.image)
            write(job.beside(CHECK), found.heat_map)
            notices = (*notices, found.sentence())
        if save_all:
            write(job.beside(REGRESSION), output.regression, photo)
            write(job.beside(SYNTHESIS), output.synthesis, photo)
        write(job.target, output.image, photo)  # last: it marks the job as done
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
    """Do the work for job after job; whatever it raises is that job's error and stops no other,
    unless it is the disk that is full.

    Args:
        skip: where not None, jobs are skipped whose target exists, with those suffixes beside it.
    """
    for job in jobs:
        begun = time.perf_counter()
        skipped = skip is not None and all(map(os.path.lexists, job.writes(skip)))
        error = None
        done = None
        no_room = False
        if not skipped:
            try:
                done = work(job)
            except UGPNetError as problem:
                error = str(problem)
                no_room = getattr(problem.__cause__, "errno", None) in _NO_ROOM
            except Exception as problem:
                error = f"{job.source}: {type(problem).__name__}: {problem}"
        seconds = time.perf_counter() - begun
        yield Result(job, seconds, skipped, error, *(done or Work()), no_room)
        if no_room:
            return


def write_like(path: Path, pixels: Tensor, photo: ImageFile, quality: int | None = None) -> None:
    """Write pixels with everything else as in the file that they were made from."""
    alpha = photo.alpha
    if alpha is not None:
        alpha = resize(alpha, pixels.shape[-2:])
    write_image(
        path,
        pixels,
        alpha=alpha,
        bit_depth=photo.bit_depth,
        icc_profile=photo.icc_profile,
        exif=photo.exif,
        quality=quality,
    )
