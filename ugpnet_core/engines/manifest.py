"""What is done, with what: JSON lines beside the results, by which an interrupted run goes on.

Stores of objects cannot append to a file, so a run writes parts, ``manifest/NUMBER.jsonl``, and
joins them in ``manifest.jsonl`` at its end. Who reads takes all of them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ugpnet_core.engines.addresses import Place
from ugpnet_core.errors import ConfigError

FORMAT = "ugpnet-manifest-1"
WHOLE = "manifest.jsonl"
PARTS = "manifest/"
# Results that a killed run may have to make again.
_RECORDS, _SECONDS = 100, 5.0


@dataclass(frozen=True)
class Record:
    """What became of one file.

    Attributes:
        source, target: names below the input and below the output.
        error: what went wrong; "" where nothing did.
        seconds: that it took.
        attempts: of reading, restoring and writing it.
        worker: host and process.
        notices: see :class:`ugpnet_core.Restored`.
    """

    source: str
    target: str
    error: str
    seconds: float
    attempts: int
    worker: str
    notices: tuple[str, ...] = ()


class Manifest:
    """The records of a folder of results, and of the run that now adds to them.

    Args:
        place: where results go.
        made_with: what results depend on: the model's name and digest, settings.

    Raises:
        ConfigError: there is one already that was made with something else.
    """

    def __init__(self, place: Place, made_with: Mapping[str, Any]) -> None:
        self.place = place
        self.header = {"format": FORMAT, **made_with}
        self._files = _files(place)
        self.exists = bool(self._files)
        self.done: dict[str, dict[str, Any]] = {}
        for name in sorted(self._files, key=_number):
            self._read(name)
        self._number = max(map(_number, self._files), default=0)
        self._new: list[dict[str, Any]] = []
        self._written = time.monotonic()

    def add(self, record: Record) -> None:
        """Take a record down; it is written with the next ones, within seconds."""
        line = json.loads(json.dumps(asdict(record)))
        self._new.append(line)
        if not record.error:
            self.done[record.source] = line
        if len(self._new) >= _RECORDS or time.monotonic() - self._written > _SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is not written yet."""
        if self._new:
            self._number += 1
            name = f"{PARTS}{self._number:08d}.jsonl"
            self.place.write(name, _lines([self.header, *self._new]))
            self._files.add(name)
            self._new = []
        self._written = time.monotonic()

    def finish(self) -> None:
        """Join everything that is done in one file; what failed is not in it, and tried again."""
        self.flush()
        self.place.write(WHOLE, _lines([self.header, *self.done.values()]))
        self.place.remove({name for name in self._files if name != WHOLE})
        self._files = {WHOLE}

    def _read(self, name: str) -> None:
        header, *records = map(json.loads, self.place.read(name).decode().splitlines())
        if header != self.header:
            differing = ", ".join(
                key for key in sorted({*header, *self.header})
                if header.get(key) != self.header.get(key)
            )  # fmt: skip
            raise ConfigError(
                f"{self.place.address} holds results that were made with another {differing}; "
                "choose another -o."
            )
        self.done |= {one["source"]: one for one in records if not one["error"]}


def _files(place: Place) -> set[str]:
    return {name for name in place.names() if name == WHOLE or name.startswith(PARTS)}


def _number(name: str) -> int:
    return 0 if name == WHOLE else int(name.removeprefix(PARTS).removesuffix(".jsonl"))


def _lines(records: list[dict[str, Any]]) -> bytes:
    return "".join(f"{json.dumps(one, ensure_ascii=False)}\n" for one in records).encode()
