"""What the last ``ugpnet check-backbone`` of each backbone found, kept in the user's cache folder.

The folder is ``$UGPNET_CACHE``, else ``$XDG_CACHE_HOME/ugpnet``, else ``~/.cache/ugpnet``; the file
of a backbone is ``checks/NAME.json`` in it. This module imports no torch.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, kw_only=True)
class LastCheck:
    """The outcome of a whole check of one backbone.

    Args:
        name: of the backbone or preset, as it was given to the command.
        date: ISO 8601, UTC, to the second: ``2025-01-31T12:00:00+00:00``.
        distribution, version: which plugin was checked.
        core_version: of ugpnet-core, whose checks these were.
        ok: whether no check failed.
        failed: names of the checks that failed.
        passed: how many checks passed.
        speed: the speed and memory line; empty where it could not be measured.
        options: what was given with -O, as ``name=value``; empty for the defaults.
    """

    name: str
    date: str
    distribution: str
    version: str
    core_version: str
    ok: bool
    failed: tuple[str, ...] = ()
    passed: int = 0
    speed: str = ""
    options: tuple[str, ...] = ()


def cache_folder() -> Path | None:
    """Where this user's records lie; None where there is no home folder."""
    own = os.environ.get("UGPNET_CACHE")
    if own:
        return Path(own)
    shared = os.environ.get("XDG_CACHE_HOME", "")
    # The specification of XDG_CACHE_HOME says that a relative path is to be ignored.
    if shared and Path(shared).is_absolute():
        return Path(shared) / "ugpnet"
    try:
        return Path.home() / ".cache" / "ugpnet"
    except RuntimeError:
        return None


def read_last_check(name: str) -> LastCheck | None:
    """The outcome of the last check of a backbone; None where there is none that can be read."""
    path = _path(name)
    if path is None:
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return LastCheck(**{key: _read(key, value) for key, value in content.items()})
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def write_last_check(check: LastCheck) -> Path | None:
    """Keep the outcome of a check; the file appears whole or not at all.

    A folder that cannot be written is no error: one line on stderr says so, and None is returned.
    """
    path = _path(check.name)
    if path is None:
        return None
    text = json.dumps(dataclasses.asdict(check), indent=2, ensure_ascii=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with open(handle, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(partial, path)
        finally:
            Path(partial).unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        print(f"The outcome of the check is not kept: {path}: {reason}.", file=sys.stderr)
        return None
    return path


def _path(name: str) -> Path | None:
    folder = cache_folder()
    # A name that looks like a path is no backbone's.
    if folder is None or not _NAME.fullmatch(name):
        return None
    return folder / "checks" / f"{name}.json"


_TYPES: dict[str, type] = {"ok": bool, "failed": list, "passed": int, "options": list}


def _read(key: str, value: Any) -> Any:
    """A field as JSON holds it, refused where another program wrote something else."""
    if not isinstance(value, _TYPES.get(key, str)):
        raise ValueError(f"{key} is {value!r}")
    return tuple(map(str, value)) if isinstance(value, list) else value
