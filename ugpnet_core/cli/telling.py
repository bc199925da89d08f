"""What becomes of many files: said as it happens, and at the end."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from ugpnet_core.cli.console import output, plain
from ugpnet_core.cli.failures import MANY, Failures, named
from ugpnet_core.cli.stopping import STOPPED

if TYPE_CHECKING:
    from rich.console import Console

    from ugpnet_core.image.listing import LeftOut
    from ugpnet_core.inference.batch import Result
    from ugpnet_core.progress import Bar


class Words(NamedTuple):
    """How a command calls its work: while it does it, and when it has done it."""

    doing: str
    done: str


RESTORING = Words("Restoring", "restored")
DEGRADING = Words("Degrading", "degraded")
INVERTING = Words("Inverting", "inverted")


class Telling:
    """Tells of results, and how to go on where a run was stopped.

    Args:
        out: where results go, for the closing line.
        total: how many files there are; None: it is not known.
        as_json: a line of JSON for each file on stdout, and everything else on stderr.
        on_stderr: nothing on stdout.
        hidden: a folder that is not named: it was made for standard input and output.
        each: a line for every file that is done.
    """

    def __init__(
        self,
        words: Words,
        out: Path,
        total: int | None,
        *,
        as_json: bool = False,
        on_stderr: bool = False,
        hidden: Path | None = None,
        each: bool = False,
        failures_in: Path | None = None,
    ) -> None:
        self.words, self.out, self.total = words, out, total
        self.as_json, self.on_stderr, self.each = as_json, on_stderr or as_json, each
        self._hidden = None if hidden is None else f"{hidden}/"
        self.results: list[Result] = []
        self.failures = Failures(failures_in or out)
