"""Many files in few files of limited size, and back. Needs nothing but Python.

What comes back from a borrowed machine is often limited in number and size of files: everything is
put into one tar file, which is cut into parts. A file beside them (``slice.json``) says what each
part's checksum is, so that a part that is missing or damaged is named and not half believed.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

MIB = 2**20
REPORT = "slice.json"
PART = "slice.tar.{number:02d}"
BLOCK = 512  # of tar files: a header, and what content is filled up to
END = 20 * BLOCK  # what closes a tar file, at most
REPORT_SIZE = MIB // 4  # kept free for the report


class SliceError(Exception):
    """What a person must know of; one sentence that says what to do."""


class Item(NamedTuple):
    """A file and its name in the archive."""

    name: str
    path: Path


@dataclass(frozen=True)
class Limits:
    """How many files may come back, and how large each and all of them may be, in bytes."""

    files: int = 8
    each: int = 16 * MIB
    total: int = 64 * MIB

    @property
    def room(self) -> int:
        """Bytes for the tar file, all parts together."""
        return min((self.files - 1) * self.each, self.total - REPORT_SIZE)


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    made = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(MIB):
            made.update(block)
    return made.hexdigest()


def size_in_tar(size: int) -> int:
    """How many bytes a file of some size takes in a tar file, with a long name."""
    return 3 * BLOCK + -(-size // BLOCK) * BLOCK


def chosen(items: Iterable[Item], room: int) -> tuple[list[Item], list[Item]]:
    """Which files fit, the first ones first, and which do not."""
    taken: list[Item] = []
    left: list[Item] = []
    used = END
    for item in items:
        size = size_in_tar(item.path.stat().st_size)
        if used + size <= room:
            used += size
            taken.append(item)
        else:
            left.append(item)
    return taken, left


def write_slice(
    items: Sequence[Item], report: Mapping[str, Any], out: Path, work: Path, limits: Limits
) -> list[Item]:
    """Put files, the most important first, into parts in ``out``, where they replace older ones.

    Args:
        work: a folder on whose disk the new parts are made before the old ones go.

    Returns:
        The files that there was no room for.
    """
    taken, left = chosen(items, limits.room)
    fresh = work / "fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    whole = fresh / "slice.tar"
    write_tar(whole, taken)
    parts = _cut(whole, fresh, limits.each)
    whole.unlink()
    content = {
        **report,
        "left out": [item.name for item in left],
        "parts": {part.name: digest(part) for part in parts},
    }
    text = json.dumps(content, indent=1, ensure_ascii=False)
    (fresh / REPORT).write_text(text + "\n", encoding="utf-8")
    out.mkdir(parents=True, exist_ok=True)
    for old in [out / REPORT, *out.glob(PART.format(number=0).replace("00", "*"))]:
        old.unlink(missing_ok=True)
    for part in [*parts, fresh / REPORT]:
        shutil.move(part, out / part.name)
    return left


def read_slice(folder: Path, into: Path) -> dict[str, Any]:
    """Put the parts together again and unpack them.

    Returns:
        The report.

    Raises:
        SliceError: a part is missing or damaged.
    """
    path = folder / REPORT
    if not path.is_file():
        raise SliceError(f"{path} is missing; give the folder that 'train --out' wrote.")
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    into.mkdir(parents=True, exist_ok=True)
    whole = into / "slice.tar"
    with whole.open("wb") as file:
        for name, expected in report["parts"].items():
            part = folder / name
            if not part.is_file() or digest(part) != expected:
                raise SliceError(f"{part} is missing or damaged; fetch the slice again.")
            file.write(part.read_bytes())
    extract(whole, into)
    whole.unlink()
    return report


def write_tar(path: Path, items: Iterable[Item], extra: Mapping[str, bytes] | None = None) -> None:
    """Write files, after some given as bytes, into a tar file without compression: photographs
    and weights are as small as they get."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in (extra or {}).items():
            tar.addfile(_entry(name, len(data)), io.BytesIO(data))
        for item in items:
            with item.path.open("rb") as file:
                # Of a log that is still being written, as much as there was.
                tar.addfile(_entry(item.name, item.path.stat().st_size), file)


def extract(path: Path, into: Path) -> None:
    """Unpack a tar file of plain files.

    Raises:
        SliceError: it is damaged, or holds something else.
    """
    try:
        with tarfile.open(path, "r:") as tar:
            for entry in tar:
                target = (into / entry.name).resolve()
                if not entry.isreg() or not target.is_relative_to(into.resolve()):
                    raise SliceError(f"{path} holds {entry.name}, which is not to be unpacked.")
                target.parent.mkdir(parents=True, exist_ok=True)
                source = tar.extractfile(entry)
                assert source is not None
                with target.open("wb") as file:
                    shutil.copyfileobj(source, file, MIB)
    except (tarfile.TarError, OSError) as error:
        raise SliceError(f"{path} cannot be unpacked: {error}.") from error


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    return entry


def _cut(whole: Path, into: Path, size: int) -> list[Path]:
    parts: list[Path] = []
    with whole.open("rb") as file:
        while block := file.read(size):
            part = into / PART.format(number=len(parts))
            part.write_bytes(block)
            parts.append(part)
    return parts
