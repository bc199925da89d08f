"""What a person sees of a training: a live line in a terminal, plain lines in a log."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import TypeVar

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

T = TypeVar("T")

PATIENCE_SECONDS = 2.0
LINE_EVERY_SECONDS = 15.0
WORTH_SAYING = 0.02  # of the time


class _Bar(Progress):
    """A bar with the losses in a line of their own, which may be longer than a terminal is wide."""

    losses = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        yield Text(self.losses, style="dim")


class Display:
    """Shows stage, step, losses, images/s and time left; a context manager around one stage."""

    def __init__(self, stage: str, total: int, done: int, *, quiet: bool) -> None:
        self.console = Console(stderr=True, quiet=quiet, highlight=False)
        self.stage, self.total, self.first = stage, total, done
        self.started = time.monotonic()
        self.progress = _Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=self.console,
            disable=not self.console.is_terminal or quiet,
            # Long enough to have validations in it, in their proportion.
            speed_estimate_period=600,
        )
        self.task = self.progress.add_task(stage, total=total, completed=done, rate="")

    def __enter__(self) -> Display:
        self.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.progress.stop()

    def step(self, done: int) -> None:
        """Move the bar."""
        self.progress.update(self.task, completed=done)

    def figures(
        self, done: int, losses: Mapping[str, float], images_per_second: float, waiting: float = 0.0
    ) -> None:
        """Show the losses, the rate, and which share of the time no batch was ready, where that
        is worth a word."""
        text = "  ".join(f"{name} {value:.4g}" for name, value in losses.items())
        rate = f"{images_per_second:.1f} images/s"
        if waiting >= WORTH_SAYING:
            text += f"  waiting for data {waiting:.0%}"
        self.progress.losses = text
        self.progress.update(self.task, rate=rate)
        if self.progress.disable:
            elapsed = time.monotonic() - self.started
            left = elapsed / max(done - self.first, 1) * (self.total - done)
            self.say(f"{self.stage} {done}/{self.total}  {text}  {rate}  {duration(left)} left")

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self.progress.console.print(text, markup=False, soft_wrap=True)


def watched(items: Iterable[T], total: int, what: str, quiet: bool = False) -> Iterator[T]:
    """Pass items on, and show how many of them there were once that takes longer than 2 s."""
    console = Console(stderr=True, quiet=quiet, highlight=False)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    task = progress.add_task(what, total=total)
    live = console.is_terminal and not quiet
    started = time.monotonic()
    next_line = started + PATIENCE_SECONDS
    try:
        for done, item in enumerate(items, start=1):
            progress.update(task, completed=done)
            now = time.monotonic()
            if now >= next_line:
                if live:
                    progress.start()
                else:
                    left = (now - started) / done * (total - done)
                    console.print(f"{what}: {done} of {total}, {duration(left)} left", markup=False)
                next_line = now + LINE_EVERY_SECONDS
            yield item
    finally:
        if live:
            progress.stop()


def duration(seconds: float) -> str:
    """A time for people: "50 s", "12 min", "3 h 28 min"."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
