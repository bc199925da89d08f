"""Restoring many files: a broken one is reported, and the rest goes on."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor

from ugpnet_core.errors import UGPNetError
from ugpnet_core.faces.face import Face
from ugpnet_core.image import ImageFile, read_image
from ugpnet_core.image.files import QUALITY
from ugpnet_core.image.frames import holds_frames, read_frames
from ugpnet_core.inference.check import checked
from ugpnet_core.inference.outputs import CHECK, REGRESSION, SYNTHESIS, Job
from ugpnet_core.inference.restored import Restored
from ugpnet_core.inference.rows import Array
from ugpnet_core.inference.writing import Writing, with_alpha

if TYPE_CHECKING:
    from ugpnet_core.inference.restorer import Restorer

Notices = tuple[str, ...]
Faces = tuple[Face, ...]

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
        image, notices, faces = self._restored(job, photo)
        self.write(job.target, image, photo)  # last: it marks the job as done
        return Work((*photo.notices, *lost, *notices), len(faces) if self.looks else None)

    def _restored(self, job: Job, photo: ImageFile) -> tuple[Tensor | Array, Notices, Faces]:
        """What becomes of one picture; what is asked for beside it is written. Without that it is
        made in little memory."""
        if not self.save_all and not self.check:
            made = self.restorer.restore_levels(photo.levels[..., :3])
            return made.levels, made.notices, made.faces
        output = self.restorer(photo.pixels)
        notices = (*output.notices, *self._further(job, photo, output))
        return output.image, notices, output.faces[0]

    def _all_frames(self, job: Job, lost: tuple[str, ...]) -> Work:
        notices = dict.fromkeys(lost)
        faces = 0

        def restored() -> Iterator[ImageFile]:
            nonlocal faces
            for number, photo in enumerate(read_frames(job.source)):
                if number == 0 and (self.save_all or self.check):
                    self._restored(job, photo)
                made = self.restorer.restore_levels(photo.levels[..., :3])
                notices.update(dict.fromkeys((*photo.notices, *made.notices)))
                faces += len(made.faces)
                yield replace(photo, levels=with_alpha(made.levels, photo))

        self.write.frames(job.target, restored())
        return Work(tuple(notices), faces if self.looks else None)

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
