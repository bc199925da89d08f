"""What a comparison has done already, kept so that it can be stopped and given again.

One SQLite file, in which something is whole or not there, however the process ends. Everything is
found by what decided it (:func:`digest` of images, weights, settings), never by its place in a
list: what has changed since is not found, and is computed again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from ugpnet_core.evaluation.photographs import Sample

logger = logging.getLogger(__name__)

BUSY_SECONDS = 60.0


def digest(*parts: str | bytes | Tensor) -> str:
    """A name for what these are together; other parts, or parts cut elsewhere, have another."""
    whole = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            content = (
                part.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
            )
            part = f"{part.dtype} {tuple(part.shape)} ".encode() + content
        content = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        whole.update(f"{type(part).__name__} {len(content)} ".encode())
        whole.update(content)
    return whole.hexdigest()


def digest_of_sample(sample: Sample) -> str:
    """A name for a photograph as it was degraded."""
    kernel = torch.empty(0) if sample.kernel is None else sample.kernel
    return digest(sample.name, sample.clean, sample.degraded, kernel)


def metadata_of(content: bytes) -> dict[str, str]:
    """The metadata of what was saved as safetensors."""
    length = int.from_bytes(content[:8], "little")
    found: dict[str, str] = json.loads(content[8 : 8 + length])["__metadata__"]
    return found


class Store:
    """Bytes by name, in a file that appears with the first of them.

    Several processes may use one file. Nothing that is wrong with it stops anyone: one that is
    damaged is made anew, and one that cannot be read or written, as on a full disk, is left as it
    is from then on.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._is_read = self._is_written = True

    def get(self, name: str) -> bytes | None:
        """What was put under a name; None where nothing was."""
        if not self._is_read or (self._connection is None and not self.path.exists()):
            return None
        try:
            row = self._open().execute("SELECT content FROM done WHERE name = ?", (name,))
            found = row.fetchone()
        except (sqlite3.Error, OSError) as error:
            self._is_read = self._is_written = self._is_made_anew(error)
            return None
        return None if found is None else bytes(found[0])

    def put(self, name: str, content: bytes) -> None:
        """Keep something; it is there for whoever comes later as soon as this returns."""
        self.put_all({name: content})

    def put_all(self, contents: Mapping[str, bytes]) -> None:
        """Keep several things by name, all of them or none."""
        if not self._is_written:
            return
        try:
            with self._open() as connection:
                connection.executemany(
                    "INSERT OR REPLACE INTO done VALUES (?, ?)", contents.items()
                )
        except (sqlite3.Error, OSError) as error:
            self._is_written = self._is_made_anew(error)

    def close(self) -> None:
        """Let go of the file, which stays."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def delete(self) -> None:
        """Delete the file: what was to be finished is finished."""
        self.close()
        for ending in ("", "-journal", "-wal", "-shm"):
            self.path.with_name(self.path.name + ending).unlink(missing_ok=True)

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS)
            # Kept through the end of the process, if not through that of the machine.
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("CREATE TABLE IF NOT EXISTS done (name TEXT PRIMARY KEY, content)")
            self._connection = connection
        return self._connection

    def _is_made_anew(self, error: Exception) -> bool:
        """Whether a file that something is wrong with can be written again."""
        # What SQLite raises of a file that is none of its own, or is damaged; a full disk, a lock
        # or rights are of other classes, and the file is as good as before.
        is_damaged = type(error) is sqlite3.DatabaseError
        with suppress(OSError):
            if is_damaged:
                self.delete()
                logger.warning("%s is damaged and is made anew: %s", self.path, error)
                return True
        logger.warning("%s cannot be used, and is left as it is: %s", self.path, error)
        return False
