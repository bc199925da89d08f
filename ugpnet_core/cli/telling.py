"""What becomes of many files: said as it happens, and at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from ugpnet_core.cli.console import plain
from ugpnet_core.cli.failures import Failures
from ugpnet_core.cli.result_lines import print_record, result_record
from ugpnet_core.cli.stopping import STOPPED
from ugpnet_core.progress import LINE_EVERY_SECONDS, Bar

if TYPE_CHECKING:
    from ugpnet_core.inference.flow import Flow
    from ugpnet_core.inference.turn import Result


class Words(NamedTuple):
    """How a command calls its work: what it does, what it has done, what that consists of."""

    doing: str
    done: str
    parts: str


RESTORING = Words("Restoring", "restored", "tiles")
DEGRADING = Words("Degrading", "degraded", "steps")
INVERTING = Words("Inverting", "inverted", "steps")


# How to go on with what was stopped.
SKIPPING = "the same command with --skip-existing goes on"
AGAIN = "the same command goes on"
ANEW = "the same command begins anew"


class Telling:
    """Tells of the results of a run.

    Args:
        out: where they go, for the closing line and for a list of failures.
        total: how many files there are; None: files go on coming, and each that is done is named.
        as_json: a line of JSON for each file goes to stdout, and all else to stderr.
        silent: nothing goes to stdout.
        hidden: a folder that was made for this run; what lies in it is named without it.
        going_on: how to go on after a stop.
    """

    def __init__(
        self,
        words: Words,
        out: Path,
        total: int | None,
        *,
        as_json: bool = False,
        silent: bool = False,
        hidden: Path | None = None,
        going_on: str = SKIPPING,
    ) -> None:
        self.words, self.out, self.total, self.as_json = words, out, total, as_json
        self._stream = sys.stderr if as_json or silent else sys.stdout
        self._hidden, self._going_on = hidden, going_on
        self._flow: Flow | None = None
        # A file that was written to again has another result then.
        self._results: dict[Path, Result] = {}
        self._is_full = False
        self._failures = Failures(out)
        self._stopped = False
        self._bar = Bar(words.doing, total, quiet=total is None)
        self._next_line = time.monotonic() + LINE_EVERY_SECONDS

    def run(self, results: Iterable[Result]) -> None:
        """Follow the results, and close."""
        self.follow(results)
        self.close()

    def follow(self, results: Iterable[Result]) -> None:
        """Take result after result until there is no further one, or somebody stops it."""
        from ugpnet_core.inference.flow import Flow

        self._flow = results if isinstance(results, Flow) else None
        try:
            with self._bar:
                for result in results:
                    self._take(result)
        except KeyboardInterrupt:
            self._stopped = True
        finally:
            self._failures.close()

    def part(self, done: int, total: int) -> None:
        """Show how far the present file is, and take what has become of the one before."""
        for result in () if self._flow is None else self._flow.finished():
            self._take(result)
        if self.total == 1:
            self._bar(self.words.doing, done, total)
        elif total > 1:
            self._bar.detail(f"{done} of {total} {self.words.parts}", "")
            now = time.monotonic()
            if not self._bar.is_live and now >= self._next_line:
                self._next_line = now + LINE_EVERY_SECONDS
                number = len(self._results) + 1 if self._flow is None else self._flow.number
                self._say(
                    f"{self.words.doing}: image {number}, {done} of {total} {self.words.parts}"
                )

    def close(self) -> None:
        """Say how many files are done and which are not, and how to go on where it was stopped.

        Raises:
            typer.Exit: with 1, a file failed; with 130, it was stopped.
        """
        every = list(self._results.values())
        failed = [str(result.job.source) for result in every if result.error]
        skipped = sum(result.skipped for result in every)
        total = len(every) if self.total is None else self.total
        done = len(every) - len(failed) - skipped
        line = f"{done} of {total} images {self.words.done}: {self.out}"
        self._print(line + (f" ({skipped} skipped)" if skipped else ""))
        self._print_faces()
        if failed:
            listed = self._failures.path
            which = f": {', '.join(failed)}" if listed is None else f", listed in {listed}"
            self._print(f"{len(failed)} failed{which}")
        if self._is_full or self._stopped:
            why = "as the disk is full: make room, and" if self._is_full else "as asked:"
            self._print(f"stopped {why} {self._going_on}")
        if self._stopped:
            raise typer.Exit(STOPPED)
        if failed:
            raise typer.Exit(1)

    def _take(self, result: Result) -> None:
        self._results[result.job.source] = result
        self._is_full = result.no_room
        if result.error:
            self._fail(result, result.error)
        for notice in result.notices:
            self._say(f"note: {result.job.source}: {notice.rstrip('.')}.")
        if self.as_json:
            print_record(result_record(result, self.words.done))
        elif self.total is None and not result.error and not result.skipped:
            self._print(f"{result.job.source} {self.words.done}: {result.job.target}")
        self._bar.detail("", "")
        if self.total != 1:
            self._bar.update(len(self._results))

    def _fail(self, result: Result, error: str) -> None:
        before = self._failures.path
        self._failures.add(result)
        if not self._failures.is_listed:
            self._say(f"error: {error}")
        if self._failures.path != before:
            self._say(f"note: further errors are listed in {self._failures.path} only.")

    def _print_faces(self) -> None:
        looked = [result.faces for result in self._results.values() if result.faces is not None]
        if looked:
            without = sum(faces == 0 for faces in looked)
            line = f"{sum(looked)} faces in {len(looked) - without} of {len(looked)} images"
            self._print(line + ("; the others were restored without the prior" if without else ""))

    def _say(self, text: str) -> None:
        """Print a line on stderr, above the bar."""
        if self.total is None:
            print(self._named(text), file=sys.stderr, flush=True)
        else:
            self._bar.say(self._named(text))

    def _print(self, text: str) -> None:
        print(self._named(text), file=self._stream, flush=True)

    def _named(self, text: str) -> str:
        return plain(text if self._hidden is None else text.replace(f"{self._hidden}/", ""))
