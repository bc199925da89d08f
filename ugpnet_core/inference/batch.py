"""Restoring many files: a broken one is reported, and the rest goes on."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from ugpnet_core.errors import UGPNetError
from ugpnet_core.image import ImageFile, read_image
from ugpnet_core.image.files import QUALITY
from ugpnet_core.image.frames import holds_frames, read_frames
from ugpnet_core.inference.check import checked
from ugpnet_core.inference.outputs import CHECK, REGRESSION, SYNTHESIS, Job
from ugpnet_core.inference.restored import Restored
from ugpnet_core.inference.writing import Writing, enlarged

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


def restore_files(
    restorer: Restorer,
    jobs: Iterable[Job],
    *,
    save_all: bool = False,
    check: bool = False,
    skip_existing: bool = False,
    overwrite: bool = True,
    quality: int = QUALITY,
    strip: bool = False,
) -> Iterator[Result]:
    """Restore file after file, and yield what became of each.

    Of several pages or frames, all are restored where the format of the result holds them, and the
    first with a notice otherwise; of further results, always the first. A result has the bit depth,
    alpha (enlarged by the model's scale), colour profile and metadata of its input, where its
    format can hold them; where not, a notice says so.

    Args:
        save_all: write x_reg and x_syn, too, as ``NAME_reg.png`` and ``NAME_syn.png``.
        check: compare each result with its input, see :mod:`ugpnet_core.inference.check`, and write
            where they disagree as ``NAME_check.png``.
        skip_existing: leave files alone whose results all exist; where some do, write the others.
        overwrite: replace what stands in the place of a result; otherwise that is an error of it.
        quality: of JPEG and WebP, 1 to 100.
        strip: leave out EXIF and other metadata; the colour profile stays.
    """
    write = Writing(overwrite, skip_existing, quality, strip)
    work = _Restoring(restorer, write, save_all=save_all, check=check)
    return each_file(jobs, work, further_results(save_all, check) if skip_existing else None)


class _Restoring:
    """Restores one file: its picture, or all of them where the format of the result holds them."""

    def __init__(self, restorer: Restorer, write: Writing, *, save_all: bool, check: bool) -> None:
        self.restorer, self.write, self.save_all, self.check = restorer, write, save_all, check
        self.looks = restorer.domain == "faces" and restorer.faces == "auto"

    def __call__(self, job: Job) -> Work:
        photo = read_image(job.source)
        lost = self.write.lost(job.target, photo, self.restorer.scale)
        if holds_frames(job.target, photo):
            return self._all_frames(job, lost)
        output = self.restorer(photo.pixels)
        notices = (*photo.notices, *lost, *output.notices, *self._further(job, photo, output))
        self.write(job.target, output.image, photo)  # last: it marks the job as done
        return Work(notices, self._faces(output))

    def _all_frames(self, job: Job, lost: tuple[str, ...]) -> Work:
        notices = dict.fromkeys(lost)
        faces = []

        def restored() -> Iterator[ImageFile]:
            for number, photo in enumerate(read_frames(job.source)):
                output = self.restorer(photo.pixels)
                notices.update(dict.fromkeys((*photo.notices, *output.notices)))
                if number == 0:
                    notices.update(dict.fromkeys(self._further(job, photo, output)))
                faces.append(self._faces(output) or 0)
                alpha = enlarged(photo.alpha, output.image)
                yield replace(photo, pixels=output.image, alpha=alpha)

        self.write.frames(job.target, restored())
        return Work(tuple(notices), sum(faces) if self.looks else None)

    def _further(self, job: Job, photo: ImageFile, output: Restored) -> tuple[str, ...]:
        """Write what is asked for beside the result, and return what there is to say of it."""
        if self.save_all:
            self.write(job.beside(REGRESSION), output.regression, photo)
            self.write(job.beside(SYNTHESIS), output.synthesis, photo)
        if not self.check:
            return ()
        found = checked(self.restorer, photo.pixels, output.image)
        self.write(job.beside(CHECK), found.heat_map)
        return (found.sentence(),)

    def _faces(self, output: Restored) -> int | None:
        return len(output.faces[0]) if self.looks else None


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
