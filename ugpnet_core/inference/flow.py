"""Many files with all cores busy: while one picture is in the networks, the next one is read, and
the one before is written.

The networks stay in the caller's thread: a stop is met at once there, and memory that glibc keeps
for their maps belongs to that thread.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from ugpnet_core.image import ImageFile, memory_needed, read_image
from ugpnet_core.image.limits import free_memory
from ugpnet_core.inference.outputs import Job
from ugpnet_core.inference.turn import Result, Turn, Work

# Bytes that a picture may need to be read or written beside another: some 18 megapixels of 8 bits.
# Larger ones have the memory for themselves, and take so long that nothing else counts.
BESIDE = 384 * 2**20
# Of what is free, since what is read ahead and what is written lie beside what networks take.
_SHARE = 8


class Made(NamedTuple):
    """A picture that the networks are done with: how it is written, and what there is to say."""

    write: Callable[[], None]
    work: Work


class Flow(Iterator[Result]):
    """Works on file after file; the results come in their order.

    At most one picture is read ahead and one is being written, and only where they are small beside
    what networks take. Whatever goes wrong with a file is its error and stops no other, unless the
    disk is full. When somebody stops it, what is being written is written to its end, and comes as
    a result before the KeyboardInterrupt goes on.

    Args:
        jobs: the files; two more are taken of it than results were asked for.
        make: what networks do with a picture that was read.
        growth: how many pixels of a result come of each of its file.
        skip: see :class:`~ugpnet_core.inference.turn.Turn`.

    Attributes:
        number: which file is worked on, from 1 on.
    """

    def __init__(
        self,
        jobs: Iterable[Job],
        make: Callable[[Job, ImageFile], Made],
        *,
        growth: int = 1,
        skip: tuple[str, ...] | None = None,
    ) -> None:
        self._pictures = (_Picture(job, skip) for job in jobs)
        self._make, self._growth = make, growth
        self._written: Future[_Picture] | None = None
        self._is_full = False
        self.number = 0
        self._results = self._run()

    def __next__(self) -> Result:
        return next(self._results)

    def close(self) -> None:
        """End it: what is being read or written comes to its end, and nothing else begins."""
        self._results.close()

    def finished(self) -> Iterator[Result]:
        """A result that is there by now, for whoever is called while the next file is worked on."""
        if self._written is not None and self._written.done():
            yield from self._settled()

    def _run(self) -> Generator[Result, None, None]:
        with ThreadPoolExecutor(1, "reading") as reader, ThreadPoolExecutor(1, "writing") as writer:
            try:
                reading = self._next(reader)
                while reading is not None:
                    picture = reading.result()
                    self.number += 1
                    alone = picture.is_large
                    if alone:
                        yield from self._settled()
                        if self._is_full:
                            return
                        picture.read()
                    else:
                        reading = self._next(reader)
                    picture.make(self._make)
                    yield from self._settled()
                    if self._is_full:
                        return
                    self._written = writer.submit(picture.write)
                    if alone:
                        yield from self._settled()
                        reading = self._next(reader)
                yield from self._settled()
            except KeyboardInterrupt:
                yield from self._settled()
                raise

    def _next(self, reader: ThreadPoolExecutor) -> Future[_Picture] | None:
        """Have the next file read, if there is one and the disk takes results."""
        picture = None if self._is_full else next(self._pictures, None)
        return None if picture is None else reader.submit(picture.read_ahead, self._growth)

    def _settled(self) -> Iterator[Result]:
        """Wait for what is being written, if anything is."""
        if self._written is not None:
            picture = self._written.result()
            self._written = None
            self._is_full = picture.no_room
            yield picture.result()


class _Picture(Turn):
    """A file, and what there is of it between the threads; a large one is not read ahead."""

    is_large = False
    _photo: ImageFile | None = None
    _made: Made | None = None

    def read_ahead(self, growth: int) -> _Picture:
        """Read it, unless it is so large that it has to wait for its turn."""
        if self.goes_on:
            self.is_large = not _fits_beside(self.job, growth)
        if self.goes_on and not self.is_large:
            with self.step():
                try:
                    self._photo = read_image(self.job.source)
                except MemoryError:
                    self.is_large = True
        return self

    def read(self) -> None:
        with self.step():
            self._photo = read_image(self.job.source)

    def make(self, make: Callable[[Job, ImageFile], Made]) -> None:
        photo, self._photo = self._photo, None
        if photo is not None:
            with self.step():
                self._made = make(self.job, photo)

    def write(self) -> _Picture:
        made, self._made = self._made, None
        if made is not None:
            with self.step():
                made.write()
            self.work = made.work
        return self


def _fits_beside(job: Job, growth: int) -> bool:
    try:
        needed = memory_needed(job.source) * growth + job.source.stat().st_size
    except Exception:  # which reading it raises as well, and says
        return True
    return needed <= min(BESIDE, free_memory() // _SHARE)
