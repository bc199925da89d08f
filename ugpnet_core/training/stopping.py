"""When a training is to stop before its end: at a time, or because a signal says so."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Iterator
from types import FrameType

# What batch queues send some time before they kill.
SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))


class Stopped(KeyboardInterrupt):
    """A training was asked to stop before its end, and can be gone on with."""


class Stop:
    """Knows whether a training was asked to stop.

    Args:
        minutes: how long it may take; None: as long as it likes.
        began: since when the minutes count, in the time of ``time.monotonic``; default: now.

    Attributes:
        piece: seconds that a piece of work takes, as far as is known: a new stage begins with what
            the one before it took.
    """

    def __init__(self, minutes: float | None = None, began: float | None = None) -> None:
        self.reason: str | None = None
        self.piece = 0.0
        self._minutes = math.inf if minutes is None else minutes
        self._deadline = (time.monotonic() if began is None else began) + 60 * self._minutes
        self._is_patient = False

    def is_due(self, reserve: float = 0.0) -> bool:
        """Whether it is time to stop, if that takes ``reserve`` seconds."""
        if self.reason is None and time.monotonic() + reserve >= self._deadline:
            self.reason = f"{self._minutes:g} minutes"
        return self.reason is not None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals of batch queues as a wish to stop; for the main thread."""
        before = {number: signal.signal(number, self._hear) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def patience(self) -> Iterator[None]:
        """Something is under way that has a state to keep, and that asks :meth:`is_due` itself.
        Without, a signal raises :class:`Stopped` wherever it comes."""
        self._is_patient = True
        try:
            yield
        finally:
            self._is_patient = False

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.reason is None:
            self.reason = signal.Signals(number).name
            if not self._is_patient:
                raise Stopped(f"stopped by {self.reason}")
