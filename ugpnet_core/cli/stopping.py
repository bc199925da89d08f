"""Being stopped: Ctrl-C, and what a system sends to end a program."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

import typer

STOPPED = 130


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM be what Ctrl-C is; whichever comes, what is half done is cleared away, and the
    exit status is 130."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    is_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, stop) if is_main else None
    try:
        yield
    except KeyboardInterrupt:
        print("stopped before the first image.", file=sys.stderr)
        raise typer.Exit(STOPPED) from None
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
