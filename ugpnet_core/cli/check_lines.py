"""A line for each check, as ``ugpnet check-backbone`` and ``ugpnet check-prior`` print them."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from ugpnet_core.cli.console import output, plain

if TYPE_CHECKING:
    from ugpnet_core.testing.report import Result

MARKS = {"passed": "ok", "warning": "WARN", "failed": "FAIL"}
STYLES = {"passed": "green", "warning": "yellow", "failed": "bold red"}


def print_result(result: Result, width: int = 18) -> None:
    """Print a mark, the name of the check in so many columns, and what it found."""
    mark, message = MARKS.get(result.status, "-"), plain(result.message)
    if result.status not in MARKS:
        message = f"{result.status}: {message}"
    print_line(result.name, message, mark, STYLES.get(result.status, "dim"), width)


def print_line(name: str, message: str, mark: str, style: str = "", width: int = 18) -> None:
    """One line, or several below each other in the last column where the terminal is narrow."""
    from rich.text import Text

    console = output()
    indent = width + (10 if mark else 4)
    lines = textwrap.wrap(message, max(console.width - indent, 30), break_long_words=False) or [""]
    text = Text()
    if mark:
        text.append(f"  {mark:<4}", style=style)
    text.append(f"  {name:<{width}}  ")
    text.append(f"\n{'':<{indent}}".join(lines))
    console.print(text, soft_wrap=True)
