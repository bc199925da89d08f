"""The folder of a report: written beside its place, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from ugpnet_core.errors import ConfigError, UGPNetError

MARK = "ugpnet-report.json"
"""A file in every report. It lists what else the report put at the top of its folder."""

_FORMAT = 1


class ReportFolder:
    """A folder in the making, which takes its place when it is complete.

    Attributes:
        place: as it was named.
        target: the same, without links: a link stays a link, and what it points to is replaced.
        partial: where files are to be written.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.target = Path(os.path.realpath(place))
        self.partial = self.target.with_name(f".{self.target.name}.{os.getpid()}.partial")

    def open(self) -> None:
        """Make the partial folder.

        Raises:
            ConfigError: in the place is something that is not a report.
            UGPNetError: nothing can be written there.
        """
        check_replaceable(self.place)
        try:
            shutil.rmtree(self.partial, ignore_errors=True)
            self.partial.mkdir(parents=True)
        except OSError as error:
            raise UGPNetError(
                f"{self.place} cannot be written ({error.strerror or error}); name another folder."
            ) from error

    def complete(self) -> None:
        """Move the folder to its place; an older report there is deleted.

        Raises:
            ConfigError: in the place is now something that is not a report.
        """
        entries = sorted(path.name for path in self.partial.iterdir())
        mark = {"format": _FORMAT, "entries": [*entries, MARK]}
        (self.partial / MARK).write_text(json.dumps(mark, indent=1) + "\n", encoding="utf-8")
        check_replaceable(self.place)
        older = self.target.with_name(f".{self.target.name}.{os.getpid()}.older")
        if self.target.exists():
            self.target.rename(older)
        self.partial.rename(self.target)
        shutil.rmtree(older, ignore_errors=True)

    def discard(self) -> None:
        """Delete what was written, if it was not completed."""
        shutil.rmtree(self.partial, ignore_errors=True)


def check_replaceable(target: Path) -> None:
    """Refuse a place that holds anything but an older report.

    Raises:
        ConfigError: it is a file, or a folder with files that no report put there.
    """
    if not target.exists():
        return
    if not target.is_dir():
        raise ConfigError(f"{target} is a file; name a folder for the report.")
    strangers = {path.name for path in target.iterdir()} - _entries_of_report(target)
    if strangers:
        raise ConfigError(
            f"{target} holds files that are no report, {min(strangers)} for one; name another "
            "folder for the report, or move them away."
        )


def check_apart(target: Path, inputs: Iterable[Path]) -> None:
    """Refuse a place within a folder of photographs.

    Raises:
        ConfigError: it is in one, or is one.
    """
    for folder in inputs:
        if target.resolve().is_relative_to(folder.resolve()):
            raise ConfigError(
                f"{target} lies in {folder}, where its pictures would be taken for photographs "
                "the next time; name another folder for the report."
            )


def _entries_of_report(folder: Path) -> set[str]:
    try:
        return set(json.loads((folder / MARK).read_text(encoding="utf-8"))["entries"])
    except (OSError, ValueError, KeyError, TypeError):
        return set()
