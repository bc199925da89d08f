"""Pictures from standard input, and to standard output: ``-`` in the place of a path."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ugpnet_core.cli.console import is_closed
from ugpnet_core.errors import ConfigError, ImageError

STANDARD = Path("-")
NAME = "standard-input"


@dataclass(frozen=True)
class Piped:
    """Files in the place of standard input and output.

    Attributes:
        inputs, out: paths without ``-``.
        folder: where what was piped lies; None: nothing is.
        to_stdout: whether the result goes to standard output.
    """

    inputs: Sequence[Path]
    out: Path
    folder: Path | None = None
    to_stdout: bool = False

    def deliver(self, result: Path) -> None:
        """Copy the result to standard output, if it goes there and was made."""
        if self.to_stdout and result.is_file():
            with result.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()


@contextlib.contextmanager
def piped(
    inputs: Sequence[Path], out: Path, *, alone: bool = True, as_json: bool = False
) -> Iterator[Piped]:
    """Take ``-`` out of inputs and output.

    Args:
        alone: whether there is one result of each input; standard output holds no more.
        as_json: whether standard output is for something else.

    Raises:
        ConfigError: standard output cannot hold the results, or is a terminal.
        ImageError: standard input is empty.
    """
    to_stdout = out == STANDARD
    if to_stdout:
        _refuse_for_stdout(inputs, alone, as_json)
    if not to_stdout and STANDARD not in inputs:
        yield Piped(inputs, out)
        return
    with tempfile.TemporaryDirectory(prefix="ugpnet-") as made:
        folder = Path(made)
        if STANDARD in inputs:
            _read_into(folder / NAME)
        real = [folder / NAME if item == STANDARD else item for item in inputs]
        yield Piped(real, folder / "results" if to_stdout else out, folder, to_stdout)


def _refuse_for_stdout(inputs: Sequence[Path], alone: bool, as_json: bool) -> None:
    if len(inputs) != 1 or os.path.isdir(inputs[0]):
        raise ConfigError("Standard output holds one picture; give one file, or -o FOLDER.")
    if not alone:
        raise ConfigError(
            "Standard output holds one picture, and --save-all and --check make more; give -o FILE."
        )
    if as_json:
        raise ConfigError("Standard output is either --json or the picture; give -o FILE.")
    if is_closed(sys.stdout):
        raise ConfigError("Standard output is closed; add > FILE or | COMMAND, or give -o FILE.")
    if sys.stdout.isatty():
        raise ConfigError("A terminal shows no pictures; add > FILE or | COMMAND, or give -o FILE.")


def _read_into(path: Path) -> None:
    if is_closed(sys.stdin):
        raise ConfigError("Standard input is closed; pipe a picture into it, or give a file.")
    if sys.stdin.isatty():
        raise ConfigError("Standard input is a terminal; pipe a picture into it, or give a file.")
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    if not path.stat().st_size:
        raise ImageError("Standard input is empty; pipe a picture into it.")
