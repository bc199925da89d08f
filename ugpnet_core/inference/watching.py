"""A folder that somebody puts pictures into, such as a scanner: which are new, and complete."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ugpnet_core.errors import ConfigError
from ugpnet_core.image.listing import why_not
from ugpnet_core.inference.outputs import (
    Job,
    Naming,
    Places,
    Source,
    existing,
    names_a_file,
    same_file,
)

LOOK_EVERY_SECONDS = 1.0
# A file that nobody wrote to for so long is complete.
SETTLE_SECONDS = 2.0


class Arrival(NamedTuple):
    """A picture to work on, and what is to happen where its result exists."""

    job: Job
    overwrite: bool
    skip_existing: bool


class _Stamp(NamedTuple):
    """What changes when a file is written to."""

    size: int
    modified_ns: int


class _Taken(NamedTuple):
    """A file that was looked into, in which state; ``is_ours``: its result was made by this run."""

    stamp: _Stamp
    job: Job | None
    is_ours: bool = False


class Watch:
    """Waits for pictures in folders, by looking again and again: any file system can be watched.

    What is there at the beginning is taken unless it has a result. Later, a new file of an old name
    gets a number behind it where the result of the old one is, and one that is written to again
    after it was taken is taken again and replaces its own result.

    Args:
        folders: to look into.
        out: folder of the results; it may lie in a watched one.
        overwrite: replace whatever stands in the place of a result.
        skip_existing: leave every file alone whose result exists.

    Raises:
        ConfigError: an input is no folder, ``out`` is the name of a file, or results would be taken
            for new pictures.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        out: Path,
        naming: Naming,
        *,
        recursive: bool = False,
        overwrite: bool = False,
        skip_existing: bool = False,
    ) -> None:
        for folder in folders:
            if not os.path.isdir(folder):
                raise ConfigError(f"{folder} is no folder; --watch waits for files in one.")
            if same_file(folder, out):
                raise ConfigError(
                    f"Results in {out} would be taken for new pictures, as it is watched; choose "
                    "another -o."
                )
        names_a_file(out, folders, naming)
        self.folders, self.recursive = folders, recursive
        self.overwrite, self.skip_existing = overwrite, skip_existing
        self._own = os.path.realpath(out)
        self._places = Places(out, naming)
        self._quiet: dict[Source, tuple[_Stamp, float]] = {}
        self._taken: dict[Source, _Taken] = {}
        self._gone = set[Source]()

    def arrivals(self) -> Iterator[Arrival]:
        """Picture after picture, without an end; it sleeps in between."""
        at_start = {source: stamp for source, stamp, _ in self._files()}
        while True:
            for source, stamp in self._complete():
                arrival = self._arrival(source, stamp, at_start.get(source) == stamp)
                if arrival is not None:
                    yield arrival
            time.sleep(LOOK_EVERY_SECONDS)

    def _complete(self) -> list[tuple[Source, _Stamp]]:
        """Files in a state in which they were not taken, and that have stopped changing."""
        now = time.monotonic()
        quiet = {}
        for source, stamp, age in self._files():
            known, since = self._quiet.get(source, (None, None))
            if since is None:
                # What was there before has been quiet for long; a clock that is ahead costs a wait.
                since = now - max(age, 0.0) if not self._quiet else now
            quiet[source] = (stamp, since if known in (None, stamp) else now)
        self._quiet = quiet
        self._gone |= self._taken.keys() - quiet.keys()
        return sorted(
            (
                (source, stamp)
                for source, (stamp, since) in quiet.items()
                if stamp.size and now - since >= SETTLE_SECONDS and self._is_new(source, stamp)
            ),
            key=lambda one: one[1].modified_ns,
        )

    def _is_new(self, source: Source, stamp: _Stamp) -> bool:
        before = self._taken.get(source)
        if before is None or before.stamp != stamp:
            return True
        self._gone.discard(source)  # a drive that was away for a moment
        return False

    def _arrival(self, source: Source, stamp: _Stamp, was_there: bool) -> Arrival | None:
        if why_not(source.file) is not None:
            self._taken[source] = _Taken(stamp, None)
            return None
        before = self._taken.get(source)
        again = before is not None and before.is_ours and source not in self._gone
        skip = not self.overwrite and (self.skip_existing or (was_there and before is None))
        job = before.job if before is not None and (again or self.overwrite or skip) else None
        if job is None:
            job = self._places.job_for(source, beside_existing=not (self.overwrite or skip))
        suffixes = self._places.naming.suffixes
        if any(same_file(source.file, path) for path in job.writes(suffixes)):
            job = self._places.job_for(source, beside_existing=True)
        is_ours = again or not existing([job], suffixes)
        self._taken[source] = _Taken(stamp, job, is_ours)
        self._gone.discard(source)
        return Arrival(job, self.overwrite or again, skip and not again)

    def _files(self) -> Iterator[tuple[Source, _Stamp, float]]:
        """Every file that could be a picture, its state, and how many seconds it has been so."""
        for top in self.folders:
            for folder, inner, names in os.walk(top):
                inner[:] = [name for name in inner if self._enters(os.path.join(folder, name))]
                for name in names:
                    file = Path(folder, name)
                    try:
                        status = file.stat()
                    except OSError:
                        continue
                    if stat.S_ISREG(status.st_mode) and not name.startswith("."):
                        stamp = _Stamp(status.st_size, status.st_mtime_ns)
                        source = Source(file, file.relative_to(top))
                        yield source, stamp, time.time() - status.st_mtime

    def _enters(self, folder: str) -> bool:
        hidden = os.path.basename(folder).startswith(".")
        return self.recursive and not hidden and os.path.realpath(folder) != self._own
