"""Find the weights that an entry names, and fetch them where they are on the Hub.

Nothing is downloaded without a line that says what, how large, from where and under which licence;
nothing at all where ``--offline`` or ``HF_HUB_OFFLINE`` says so. A file whose SHA-256 is not that
of the entry is not used. The cache, its place (``HF_HOME``), resuming, progress, ``HF_ENDPOINT``
and tokens are those of the ``huggingface_hub`` library. This module imports no torch.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

from ugpnet_core.errors import DependencyError, PluginError, WeightsError
from ugpnet_core.plugins import WORDS, Installed, ModelEntry, PriorEntry
from ugpnet_core.plugins.discovery import describe_error
from ugpnet_core.plugins.locations import Hub, Local, Packaged, parse_location

WithWeights = Installed[ModelEntry] | Installed[PriorEntry]
OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_CHUNK = 1 << 20


def say_on_stderr(text: str) -> None:
    """Print a line on stderr."""
    print(text, file=sys.stderr, flush=True)


def find_weights(
    source: WithWeights, *, download: bool = True, say: Callable[[str], None] = say_on_stderr
) -> Path:
    """The file with the weights of an entry, checked against its SHA-256.

    Args:
        download: whether it may be fetched; where not, one that is not here is an error.
        say: gets the line before a download.

    Raises:
        PluginError: the entry names no file, or a package that is none.
        WeightsError: the file is missing, damaged, or cannot be fetched.
        DependencyError: ``huggingface_hub`` is not installed.
    """
    entry = source.entry
    what = f"{WORDS[type(entry)]} {entry.name!r}"
    if entry.file is None:
        raise PluginError(f"The {what} has no weights of its own; give a file.")
    try:
        place = parse_location(entry.file)
    except ValueError as error:
        raise PluginError(
            f"{source.distribution} says where the weights of {what} are, but {error}; tell its "
            "author."
        ) from error
    if isinstance(place, Hub):
        return _from_hub(source, what, place, download, say)
    path = place.path if isinstance(place, Local) else _packaged(source, what, place)
    advice = "check the file" if isinstance(place, Local) else "install its package again"
    if not path.is_file():
        name = path if isinstance(place, Local) else path.name
        raise WeightsError(f"{what[0].upper()}{what[1:]} lacks its file {name}; {advice}.")
    if not _is_right(path, entry.sha256):
        raise WeightsError(f"{path.name} of {what} is damaged; {advice}.")
    return path


def is_offline() -> bool:
    """Whether the user wants nothing to be downloaded."""
    on = {"1", "on", "yes", "true"}
    return any(os.environ.get(name, "").strip().lower() in on for name in OFFLINE_VARIABLES)


def human_size(size: int | None) -> str:
    """A number of bytes as people read it: ``12.3 MB``."""
    if size is None:
        return "of unknown size"
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"


def _packaged(source: WithWeights, what: str, place: Packaged) -> Path:
    try:
        return Path(str(files(place.package) / place.path))
    except (ImportError, TypeError) as error:
        raise PluginError(
            f"{source.distribution} {source.version} says that {what} lies in {place.package!r}, "
            "which is no package; tell its author."
        ) from error


def _from_hub(
    source: WithWeights, what: str, place: Hub, download: bool, say: Callable[[str], None]
) -> Path:
    hub, entry = _library(), source.entry
    if not entry.sha256:
        raise PluginError(
            f"{source.distribution} names no SHA-256 for the weights of {what}; tell its author."
        )
    cached = _cached(hub, place)
    if cached is not None:
        if _is_right(cached, entry.sha256):
            return cached
        # Not the file that the entry means: damaged, or an earlier one of the same revision.
        _remove(cached)
    url = f"{_endpoint(hub)}/{place.repository}/resolve/{place.revision}/{place.path}"
    if not download:
        raise WeightsError(
            f"The weights of {what} are on the Hub and have not been downloaded; use it once, or "
            f"get {url}."
        )
    if is_offline():
        raise WeightsError(
            f"The weights of {what} have not been downloaded and this is offline; run it once "
            f"without --offline and HF_HUB_OFFLINE, or get {url} elsewhere and give that file."
        )
    size = entry.size if entry.size is not None else _size(hub, url)
    say(
        f"Downloading the weights of {what}: {place.path}, {human_size(size)}, from "
        f"{_endpoint(hub)}/{place.repository} (revision {place.revision}), licence "
        f"{entry.licence or 'not stated'}"
    )
    path = _fetch(hub, what, place, url)
    if not _is_right(path, entry.sha256):
        _remove(path)
        raise WeightsError(
            f"What came from {url} has another SHA-256 than {source.distribution} names, and is "
            "not used; try it again, and if it stays so, tell its author."
        )
    return path


def _library() -> Any:
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise DependencyError(
            "Weights on the Hub need huggingface_hub; pip install huggingface_hub"
        ) from error


def _endpoint(hub: Any) -> str:
    # The environment counts when it is asked, not when the library was imported.
    named: str = os.environ.get("HF_ENDPOINT") or hub.constants.ENDPOINT
    return named.rstrip("/")


def _cached(hub: Any, place: Hub) -> Path | None:
    found = hub.try_to_load_from_cache(place.repository, place.path, revision=place.revision)
    return Path(found) if isinstance(found, str) and Path(found).is_file() else None


def _size(hub: Any, url: str) -> int | None:
    """What the Hub says of the size; None where it says nothing: fetching will say why."""
    with contextlib.suppress(Exception):
        size: int | None = hub.get_hf_file_metadata(url, timeout=10).size
        return size
    return None


def _fetch(hub: Any, what: str, place: Hub, url: str) -> Path:
    try:
        path = hub.hf_hub_download(
            place.repository,
            place.path,
            revision=place.revision,
            endpoint=_endpoint(hub),
            library_name="ugpnet",
        )
    except Exception as error:  # its own, those of its HTTP library, and the disk's
        raise WeightsError(
            f"The weights of {what} cannot be downloaded ({_reason(error)}); check the connection "
            f"and try again, or get {url} elsewhere and give that file."
        ) from error
    return Path(path)


def _reason(error: Exception) -> str:
    """Why it failed, in a few words: the library's messages run over several lines."""
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if status is not None:
        words = {401: "it is not public", 403: "access is denied", 404: "it is not there"}
        return words.get(status, f"status {status}")
    text = describe_error(error)
    return text if len(text) <= 120 else type(error).__name__


def _is_right(path: Path, sha256: str | None) -> bool:
    if not sha256:
        return True
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise WeightsError(
            f"{path} cannot be read ({error.strerror or error}); check the file."
        ) from error
    return digest.hexdigest() == sha256.lower()


def _remove(path: Path) -> None:
    """Take a file out of the cache, so that it is fetched again."""
    real = path.resolve()
    path.unlink(missing_ok=True)
    real.unlink(missing_ok=True)
