"""Files at addresses: folders on disk, and whatever fsspec knows (s3://, gs://, file://, ...)."""

from __future__ import annotations

import importlib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ugpnet_core.atomic import write_whole
from ugpnet_core.errors import ConfigError, DependencyError, ImageError
from ugpnet_core.image import EXTENSIONS

# Not all of them can be read everywhere; a worker that cannot read one says which extra it lacks.
TAKEN = frozenset(EXTENSIONS) | {".jpe", ".jfif", ".jp2", ".gif", ".heic", ".heif", ".avif", ".jxl"}


@dataclass(frozen=True)
class Place:
    """A folder at an address.

    Attributes:
        address: as it was given.
        system: fsspec's file system.
        root: of the folder in it, without a slash at its end.
        local: whether it is a disk of this machine, or mounted here.
    """

    address: str
    system: Any
    root: str
    local: bool

    def path(self, name: str) -> str:
        """Where a name below the folder is, in the file system's words."""
        return f"{self.root}/{name}"

    def read(self, name: str) -> bytes:
        """The content of a file."""
        content: bytes = self.system.cat_file(self.path(name))
        return content

    def write(self, name: str, content: bytes) -> None:
        """Make a file, whole or not at all, with the folders that it is in."""
        if self.local:
            write_whole(Path(self.path(name)), content, sync=False)
        else:
            # Stores of objects show one when it is complete.
            self.system.pipe_file(self.path(name), content)

    def names(self) -> set[str]:
        """Of every file below the folder."""
        if not self.system.exists(self.root):
            return set()
        begin = len(self.root) + 1
        return {str(path)[begin:] for path in self.system.find(self.root)}

    def remove(self, names: set[str]) -> None:
        """Remove files."""
        for name in names:
            self.system.rm_file(self.path(name))


@dataclass(frozen=True)
class Listing:
    """The images below a folder.

    Attributes:
        names: below it, sorted.
        left_out: how many other files there are, by suffix.
    """

    names: list[str]
    left_out: Mapping[str, int] = field(default_factory=dict)


def place_at(address: str | Path) -> Place:
    """Open a folder, which need not exist.

    Args:
        address: a path, or ``scheme://...``; ``scheme:/...`` is understood, too, as that is what
            becomes of an address that was held for a path.

    Raises:
        DependencyError: fsspec, or what it needs for this scheme, is not installed.
        ConfigError: no such scheme, or one that is not shared between processes.
    """
    try:
        core: Any = importlib.import_module("fsspec.core")
    except ImportError as error:
        raise DependencyError("Addresses need fsspec; pip install 'ugpnet-core[ray]'.") from error
    text = str(address)
    found = re.match(r"([a-z][a-z0-9+.-]+):/+(.*)", text, flags=re.S)
    if found:
        slashes = "///" if found[1] in ("file", "local") else "//"
        text = f"{found[1]}:{slashes}{found[2]}"
    else:
        text = str(Path(text).absolute())
    try:
        system, root = core.url_to_fs(text)
    except ImportError as error:
        raise DependencyError(f"{text}: {error}.") from error
    except ValueError as error:
        raise ConfigError(f"{text}: {error}.") from error
    local = "file" in ([system.protocol] if isinstance(system.protocol, str) else system.protocol)
    return Place(text, system, root.rstrip("/"), local)


def list_place(place: Place, *, recursive: bool, without: Place) -> Listing:
    """Images by suffix, hidden ones left out.

    Args:
        recursive: in subfolders, too.
        without: where results go: what is there is no input.

    Raises:
        ImageError: there is no such folder.
    """
    if not place.system.isdir(place.root):
        raise ImageError(f"{place.address} is no folder; give the address of one.")
    names, left_out = [], Counter[str]()
    for name in sorted(place.names()):
        path = PurePosixPath(name)
        own = place.local == without.local and f"{place.root}/{name}".startswith(without.root + "/")
        if own or any(part.startswith(".") for part in path.parts):
            continue
        if len(path.parts) > 1 and not recursive:
            left_out["in subfolders (--recursive takes them)"] += 1
        elif path.suffix.lower() in TAKEN:
            names.append(name)
        else:
            left_out[path.suffix.lower() or "without a suffix"] += 1
    return Listing(names, left_out)
