"""One file among many: what becomes of it, and that its trouble stops no other."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from ugpnet_core.errors import UGPNetError
from ugpnet_core.inference.outputs import Job

# What every further file would run into, too.
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


@dataclass(frozen=True)
class Result:
    """What became of one file; ``error`` says what went wrong, and is None if nothing did, and
    ``notices`` what there is to know about the result. ``seconds`` were spent on it. ``faces`` is
    how many the prior restored, None where the model does not look for any. ``no_room``: the disk
    took nothing more, and no further file is tried."""

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


class Turn:
    """A file while it is worked on, step by step; one step at a time, in whichever thread.

    Args:
        skip: where not None, the file is skipped if its target exists, with those suffixes beside
            it.
    """

    def __init__(self, job: Job, skip: tuple[str, ...] | None = None) -> None:
        self.job = job
        self.skipped = skip is not None and all(map(os.path.lexists, job.writes(skip)))
        self.work = Work()
        self.no_room = False
        self._error: str | None = None
        self._seconds = 0.0

    @property
    def goes_on(self) -> bool:
        """Whether there is something left to do: it is not skipped, and nothing has gone wrong."""
        return not self.skipped and self._error is None

    @contextmanager
    def step(self) -> Iterator[None]:
        """Count the time of a step, and take down whatever it raises but a stop."""
        begun = time.perf_counter()
        try:
            yield
        except UGPNetError as problem:
            self._error = str(problem)
            self.no_room = getattr(problem.__cause__, "errno", None) in _NO_ROOM
        except Exception as problem:
            self._error = f"{self.job.source}: {type(problem).__name__}: {problem}"
        finally:
            self._seconds += time.perf_counter() - begun

    def result(self) -> Result:
        """What has become of the file."""
        work = self.work if self._error is None else Work()
        return Result(
            self.job, self._seconds, self.skipped, self._error, *work, no_room=self.no_room
        )
