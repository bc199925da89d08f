"""Files that failed: named where they are few, listed in a file where they are many."""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from ugpnet_core.inference.turn import Result

MANY = 20


class Failures:
    """Collects the failures of a run.

    From ``MANY`` on they are in ``failures.txt``, a line for each: file, tab, what is wrong. It is
    written as they happen, so that a run that is killed leaves it. A list of another run stays.

    Args:
        folder: where the list goes; else to the folder for temporary files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path: Path | None = None
        self._seen: list[Result] = []
        self._file: TextIO | None = None

    def add(self, result: Result) -> None:
        """Note a result with an error."""
        self._seen.append(result)
        if len(self._seen) == MANY:
            self._file = self._opened()
            for one in self._seen:
                self._write(one)
        elif len(self._seen) > MANY:
            self._write(result)

    def close(self) -> None:
        """Close the list, if there is one."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()

    @property
    def is_listed(self) -> bool:
        """Whether the next failure is only one of many, and has its line in the list."""
        return self.path is not None and len(self._seen) > MANY

    def _opened(self) -> TextIO | None:
        for folder in (self.folder, Path(tempfile.gettempdir())):
            with contextlib.suppress(OSError):
                folder.mkdir(parents=True, exist_ok=True)
                file = _free(folder).open("x", encoding="utf-8", errors="backslashreplace")
                self.path = Path(file.name)
                return file
        return None

    def _write(self, result: Result) -> None:
        if self._file is not None:
            words = " ".join((result.error or "").split())
            # A disk that is full is told of by the result that met it.
            with contextlib.suppress(OSError):
                self._file.write(f"{result.job.source}\t{words}\n")
                self._file.flush()


def _free(folder: Path) -> Path:
    numbered = (folder / f"failures_{number}.txt" for number in itertools.count(2))
    every = itertools.chain([folder / "failures.txt"], numbered)
    return next(path for path in every if not os.path.lexists(path))
