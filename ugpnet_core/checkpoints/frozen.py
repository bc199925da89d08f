"""Where the networks of others are that losses and figures are computed with, and how to get them.

All are looked for alike: what the user gives, a file or a folder; else what an environment variable
names; else torch's cache. Nothing is downloaded unless that is asked for by name.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from ugpnet_core.checkpoints.downloads import is_offline, say_on_stderr
from ugpnet_core.errors import DependencyError, WeightsError

T = TypeVar("T")

SUFFIXES = (".safetensors", ".pth", ".pt")
DOWNLOAD = "download"
"""What is given instead of a path, so that weights are fetched."""


@dataclass(frozen=True)
class FrozenNetwork:
    """A published network that is never trained here.

    Attributes:
        title: for people.
        prefixes: of the names of its files.
        wanted: which file or folder, and how to give it; the end of a sentence.
        environment: the variable that names it where nothing is given.
        is_a_file: whether a file may be given; else only the folder that it lies in.
        published: gives its address and the beginning of its SHA-256; None: it is not fetched.
    """

    title: str
    prefixes: tuple[str, ...]
    wanted: str
    environment: str
    is_a_file: bool = True
    published: Callable[[], tuple[str, str]] | None = None

    def find(
        self, given: str | Path | None = None, say: Callable[[str], None] = say_on_stderr
    ) -> Path:
        """The file with its weights.

        Args:
            given: file or folder, or "download" to fetch it into torch's cache where it is not
                there yet.
            say: told what is downloaded, before it is.

        Raises:
            WeightsError: there is none, or it cannot be fetched; the message says what to do.
            DependencyError: it is to be fetched, and the library that knows its address is missing.
        """
        cache = Path(torch.hub.get_dir()) / "checkpoints"
        if str(given) == DOWNLOAD and self.published is not None:
            return self.within(cache) or self._fetch(cache, *self.published(), say)
        named = given or given_by(self.environment)
        place = Path(named) if named else cache
        found = place if self.is_a_file and place.is_file() else self.within(place)
        if found is None:
            where = f"in {place}" if named else "on this machine"
            raise WeightsError(f"There are no weights of {self.title} {where}; give {self.wanted}.")
        return found

    def within(self, folder: Path) -> Path | None:
        """Its file in a folder; the first by name where there are several."""
        if not folder.is_dir():
            return None
        found = [path for path in folder.iterdir() if path.name.startswith(self.prefixes)]
        return min((path for path in found if path.suffix in SUFFIXES), default=None)

    def misfit(self, path: Path) -> WeightsError:
        """The error of a file that holds another network."""
        return WeightsError(f"{path} does not hold {self.title}; give {self.wanted}.")

    def _fetch(self, cache: Path, url: str, sha256: str, say: Callable[[str], None]) -> Path:
        """Fetch the weights into torch's cache, whole and with the right hash, or not at all."""
        target = cache / Path(url).name
        if is_offline():
            raise WeightsError(
                f"{self.title} cannot be fetched while offline is set; put {target.name} into "
                f"{cache}."
            )
        say(f"Downloading {self.title} from {url} to {cache}")
        cache.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(target), hash_prefix=sha256)
        except (OSError, RuntimeError) as error:
            raise WeightsError(
                f"{self.title} cannot be fetched ({error}); fetch {url} elsewhere and put it into "
                f"{cache}."
            ) from error
        return target


def given_by(environment: str) -> Path | None:
    """The path that a variable of the environment holds."""
    value = os.environ.get(environment)
    return Path(value) if value else None


def optional(find: Callable[[], T], asked: object) -> tuple[T | None, str]:
    """What can be left out: it and "", or None and why it is missing, in one sentence.

    Args:
        asked: whether the user asked for it.

    Raises:
        WeightsError, DependencyError: it is missing, and was asked for.
    """
    try:
        return find(), ""
    except (WeightsError, DependencyError) as error:
        if asked:
            raise
        return None, str(error)
