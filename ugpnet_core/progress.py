"""How far something is, on stderr: a bar in a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TypeVar

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

T = TypeVar("T")
B = TypeVar("B", bound="Bar")

PATIENCE_SECONDS = 2.0
LINE_EVERY_SECONDS = 15.0


class Bar:
    """A bar with the number of steps and the time left; a context manager.

    Where there is no terminal, a line says the same after 2 s, and then every 15 s.

    Args:
        what: is done, in a word or two.
        total: number of steps; None: not known yet.
        done: steps that were made before.
        quiet: show nothing at all.
        stays: whether the bar is still seen when all is over.
    """

    has_lines = True
    """Whether there are lines where there is no terminal."""

    def __init__(
        self,
        what: str = "",
        total: int | None = None,
        *,
        done: int = 0,
        quiet: bool = False,
        stays: bool = False,
    ) -> None:
        console = Console(stderr=True, quiet=quiet, markup=False, highlight=False, emoji=False)
        self.is_live = console.is_terminal and not quiet
        self.what, self.total, self.done = what, total, done
        self._shown = _Shown(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", markup=False),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
            transient=not stays,
            disable=not self.is_live,
            # Long enough to have a training's validations in it, in their proportion.
            speed_estimate_period=600,
        )
        self._task = self._shown.add_task(what, total=total, completed=done, rate="")
        self._begin()
        self._next_line = self._started + PATIENCE_SECONDS

    def __enter__(self: B) -> B:
        self._shown.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._shown.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show a part of what is done, with steps of its own."""
        if (what, total) != (self.what, self.total):
            self.what, self.total, self.done = what, total, 0
            self._shown.reset(self._task, description=what, total=total)
            self._begin()
        self.update(done)

    def advance(self) -> None:
        """Count one step more."""
        self.update(self.done + 1)

    def update(self, done: int) -> None:
        """Show how many steps are made."""
        self.done = done
        self._shown.update(self._task, completed=done)
        now = time.monotonic()
        if self.has_lines and not self.is_live and self._is_worth_a_line(now):
            self._next_line = now + LINE_EVERY_SECONDS
            self.say(f"{self.what}: {done} of {self.total}, {duration(self.seconds_left())} left")

    def detail(self, rate: str, note: str) -> None:
        """Show a rate within the bar, and a line below it, which may be longer than a terminal is
        wide."""
        self._shown.note = note
        self._shown.update(self._task, rate=rate)

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._shown.console.print(text, soft_wrap=True)

    def seconds_left(self) -> float:
        """As long as steps take what they took so far."""
        made = max(self.done - self._first, 1)
        return (time.monotonic() - self._started) / made * ((self.total or 0) - self.done)

    def _begin(self) -> None:
        self._started, self._first = time.monotonic(), self.done

    def _is_worth_a_line(self, now: float) -> bool:
        return now >= self._next_line and self._first < self.done < (self.total or 0)


class _Shown(Progress):
    note = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        if self.note:
            yield Text(self.note, style="dim")


def watched(items: Iterable[T], total: int, what: str, quiet: bool = False) -> Iterator[T]:
    """Pass items on, and show how many of them there were."""
    with Bar(what, total, quiet=quiet) as bar:
        for item in items:
            bar.advance()
            yield item


def duration(seconds: float) -> str:
    """A time for people: "50 s", "12 min", "3 h 28 min"."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
