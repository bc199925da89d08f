"""Between two pieces of a stage's work: whether there is time for another one."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from accelerate import Accelerator

from ugpnet_core.training.processes import any_process
from ugpnet_core.training.stopping import Stop

T = TypeVar("T")

PIECES = 16  # so many are remembered, of which the longest counts
BYTES_PER_SECOND = 50e6  # at which a first checkpoint is supposed to be written
MARGIN_SECONDS = 0.5  # for what comes after the checkpoint


class Interrupted(Exception):  # noqa: N818 - nothing is wrong
    """There is no time for another piece of work."""


class Watch:
    """Asks after each piece of work (a step, a batch that is validated) whether to stop, so that
    neither another piece nor the checkpoint comes too late. All processes stop at the same piece.

    Args:
        size: of a checkpoint, in bytes, about.
    """

    def __init__(self, stop: Stop, accelerator: Accelerator, size: int) -> None:
        self._stop = stop
        self._accelerator = accelerator
        self._writing = size / BYTES_PER_SECOND
        self._pieces: deque[float] = deque([stop.piece], PIECES)
        self._since = time.monotonic()

    def check(self, is_late: bool = False) -> None:
        """All processes come here together.

        Args:
            is_late: whether this process knows already that there is no time.

        Raises:
            Interrupted: in all of them, where one has no time.
        """
        is_late = self._is_late() or is_late
        if any_process(self._accelerator, is_late):
            raise Interrupted

    def check_alone(self) -> None:
        """The same inside of what :meth:`alone` lets the main process do."""
        if self._is_late():
            raise Interrupted

    def alone(self, work: Callable[[], T]) -> T | None:
        """Let the main process do some work while the others wait; they get None.

        Raises:
            Interrupted: in all processes, where the work was interrupted or took too long.
        """
        made, is_late = None, False
        if self._accelerator.is_main_process:
            try:
                made = work()
            except Interrupted:
                is_late = True
        self.check(is_late)
        return made

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A checkpoint is being written; how long that takes is what the next one gets."""
        began = time.monotonic()
        yield
        self._since = time.monotonic()
        self._writing = self._since - began

    def _is_late(self) -> bool:
        now = time.monotonic()
        self._pieces.append(now - self._since)
        self._since = now
        self._stop.piece = max(self._pieces)
        return self._stop.is_due(self._stop.piece + self._writing + MARGIN_SECONDS)
