"""What every command does with the terminal: one line per error, text that is safe to show."""

from __future__ import annotations

import errno
import os
import sys
from io import TextIOWrapper
from typing import TYPE_CHECKING

from ugpnet_core.errors import ConfigError, UGPNetError, UnknownNameError

if TYPE_CHECKING:
    from rich.console import Console

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EIO}
WRONG_USAGE = (ConfigError, UnknownNameError)


def output() -> Console:
    """A console on stdout that takes nothing for markup and adds no colours to numbers.

    Piped output is 80 columns wide unless ``COLUMNS`` says otherwise.
    """
    from rich.console import Console

    return Console(markup=False, highlight=False, emoji=False)


def open_closed_streams() -> None:
    """Give a program that was started without some of its standard streams (``>&-``, as services
    are) empty ones, so that nothing else is written in their place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, stream)


def is_closed(stream: object) -> bool:
    """Whether a stream is one of those that :func:`open_closed_streams` made."""
    return getattr(stream, "name", None) == os.devnull


def keep_letters() -> None:
    """Write UTF-8 where Python would write ASCII because the locale (C, POSIX) names no encoding:
    terminals understand it, and names keep their letters. ``PYTHONIOENCODING`` is obeyed."""
    if os.environ.get("PYTHONIOENCODING"):
        return
    for stream in (sys.stdout, sys.stderr):
        name = (getattr(stream, "encoding", None) or "").lower()
        if name in {"ascii", "us-ascii", "ansi_x3.4-1968"} and isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8")


def report_error(error: Exception) -> int:
    """Print an error as one line on stderr and return the exit status that belongs to it."""
    if isinstance(error, UGPNetError):
        print(f"error: {plain(str(error))}", file=sys.stderr)
        return 2 if isinstance(error, WRONG_USAGE) else 1
    if isinstance(error, OSError) and error.errno in _NO_ROOM and error.filename is None:
        reason = plain(error.strerror or str(error))
        print(
            f"error: standard output cannot be written to: {reason}; give a file.", file=sys.stderr
        )
        return 1
    text = plain(f"{type(error).__name__}: {error}".rstrip(": "))
    print(f"error: unexpected {text} (run again with --debug for the traceback)", file=sys.stderr)
    return 1


def plain(text: str) -> str:
    """One line without control characters: what a plugin says may not steer the terminal. Bytes of
    a file name that are no text are shown as such, ``\\xe4``."""
    try:
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half of a pair, which no file name has
        text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    words = "".join(letter if letter.isprintable() else " " for letter in text).split()
    # A console that is not UTF-8 gets escapes instead of an error.
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return " ".join(words).encode(encoding, "backslashreplace").decode(encoding)


def flush_quietly() -> bool:
    """Flush stdout; False where it takes nothing: the reader of a pipe has gone, which is no reason
    to complain, or the disk is full, which was said."""
    try:
        sys.stdout.flush()
    except OSError:
        # Python flushes once more at exit, and must find somewhere to write.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True
