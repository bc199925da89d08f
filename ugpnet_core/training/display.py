"""What a person sees of a training: a live line in a terminal, plain lines in a log."""

from __future__ import annotations

from collections.abc import Mapping

from ugpnet_core.progress import Bar, duration

WORTH_SAYING = 0.02  # of the time


class Display(Bar):
    """Shows stage, step, losses, images/s and time left; a context manager around one stage."""

    has_lines = False  # losses bring their own

    def __init__(self, stage: str, total: int, done: int, *, quiet: bool) -> None:
        super().__init__(stage, total, done=done, quiet=quiet, stays=True)

    def figures(
        self, losses: Mapping[str, float], images_per_second: float, waiting: float = 0.0
    ) -> None:
        """Show the losses, the rate, and which share of the time no batch was ready, where that
        is worth a word."""
        text = "  ".join(f"{name} {value:.4g}" for name, value in losses.items())
        rate = f"{images_per_second:.1f} images/s"
        if waiting >= WORTH_SAYING:
            text += f"  waiting for data {waiting:.0%}"
        self.detail(rate, text)
        if not self.is_live:
            left = duration(self.seconds_left())
            self.say(f"{self.what} {self.done}/{self.total}  {text}  {rate}  {left} left")
