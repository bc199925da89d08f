"""Restoring many files: a broken one is reported, and the rest goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor

from ugpnet_core.faces.face import Face
from ugpnet_core.image import ImageFile
from ugpnet_core.image.files import QUALITY
from ugpnet_core.image.frames import holds_frames, read_frames
from ugpnet_core.inference.check import checked
from ugpnet_core.inference.flow import Flow, Made
from ugpnet_core.inference.outputs import CHECK, REGRESSION, SYNTHESIS, Job
from ugpnet_core.inference.restored import Restored
from ugpnet_core.inference.rows import Array
from ugpnet_core.inference.turn import Result, Turn, Work
from ugpnet_core.inference.writing import Writing, with_alpha

if TYPE_CHECKING:
    from ugpnet_core.inference.restorer import Restorer

Notices = tuple[str, ...]
Faces = tuple[Face, ...]


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
) -> Flow:
    """Restore file after file, and yield what became of each; see
    :class:`~ugpnet_core.inference.flow.Flow`.

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
    make = _Restoring(restorer, write, save_all=save_all, check=check)
    skip = further_results(save_all, check) if skip_existing else None
    return Flow(jobs, make, growth=restorer.scale**2, skip=skip)


class _Restoring:
    """Restores one file: its picture, or all of them where the format of the result holds them."""

    def __init__(self, restorer: Restorer, write: Writing, *, save_all: bool, check: bool) -> None:
        self.restorer, self.write, self.save_all, self.check = restorer, write, save_all, check
        self.looks = restorer.domain == "faces" and restorer.faces == "auto"

    def __call__(self, job: Job, photo: ImageFile) -> Made:
        lost = self.write.lost(job.target, photo, self.restorer.scale)
        if holds_frames(job.target, photo):
            return self._all_frames(job, lost)
        image, notices, faces = self._restored(job, photo)
        work = Work((*photo.notices, *lost, *notices), len(faces) if self.looks else None)
        # Last: it marks the job as done.
        return Made(partial(self.write, job.target, image, photo), work)

    def _restored(self, job: Job, photo: ImageFile) -> tuple[Tensor | Array, Notices, Faces]:
        """What becomes of one picture; what is asked for beside it is written. Without that it is
        made in little memory."""
        if not self.save_all and not self.check:
            made = self.restorer.restore_levels(photo.levels[..., :3])
            return made.levels, made.notices, made.faces
        output = self.restorer(photo.pixels)
        notices = (*output.notices, *self._further(job, photo, output))
        return output.image, notices, output.faces[0]

    def _all_frames(self, job: Job, lost: tuple[str, ...]) -> Made:
        """All pictures of a file, which are written as they are made."""
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
        return Made(_nothing, Work(tuple(notices), faces if self.looks else None))

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


def _nothing() -> None:
    """What is left to write of a file that is written."""


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
        turn = Turn(job, skip)
        if turn.goes_on:
            with turn.step():
                turn.work = work(job) or Work()
        yield turn.result()
        if turn.no_room:
            return
