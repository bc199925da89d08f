"""What a person sees of a training: a live line in a terminal, plain lines in a log."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Display:
    """Shows stage, step, losses, images/s and time left; a context manager around one stage."""

    def __init__(self, stage: str, total: int, done: int, *, quiet: bool) -> None:
        self.console = Console(stderr=True, quiet=quiet, highlight=False)
        self.stage, self.total, self.first = stage, total, done
        self.started = time.monotonic()
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal or quiet,
        )
        self.task = self.progress.add_task(stage, total=total, completed=done, figures="")

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

    def figures(self, done: int, losses: Mapping[str, float], images_per_second: float) -> None:
        """Show the losses and the rate."""
        text = "  ".join(f"{name} {value:.4g}" for name, value in losses.items())
        text += f"  {images_per_second:.1f} images/s"
        self.progress.update(self.task, figures=text)
        if self.progress.disable:
            elapsed = time.monotonic() - self.started
            left = elapsed / max(done - self.first, 1) * (self.total - done)
            self.say(f"{self.stage} {done}/{self.total}  {text}  {left / 60:.0f} min left")

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self.progress.console.print(text, markup=False, soft_wrap=True)
