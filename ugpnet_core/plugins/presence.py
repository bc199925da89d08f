"""What an entry names and is not there: the file of its weights, or another plugin. Looked at
without importing or reading anything large, for listings."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ugpnet_core.plugins.discovery import Installed, registry
from ugpnet_core.plugins.entries import BackboneEntry, ModelEntry, PriorEntry, TaskEntry
from ugpnet_core.plugins.locations import Hub, Local, parse_location


def missing_parts(
    installed: Installed[BackboneEntry]
    | Installed[PriorEntry]
    | Installed[ModelEntry]
    | Installed[TaskEntry],
) -> list[str]:
    """What is missing, each in a few words; weights on the Hub are not, as they are fetched."""
    entry = installed.entry
    if not isinstance(entry, (PriorEntry, ModelEntry)):
        return []
    missing = []
    if entry.file is not None and not _is_there(entry.file):
        missing.append(f"no file {entry.file}")
    if isinstance(entry, ModelEntry):
        found = registry()
        groups = {
            "backbone": {**found.backbones, **found.presets},
            "prior": found.priors,
            "task": found.tasks,
        }
        for word, names in groups.items():
            name = getattr(entry, word)
            if name and name not in names:
                missing.append(f"no {word} {name}")
    return missing


def _is_there(file: str) -> bool:
    try:
        place = parse_location(file)
    except ValueError:
        return False
    if isinstance(place, Hub):
        return True
    if isinstance(place, Local):
        return place.path.is_file()
    try:
        package = importlib.util.find_spec(place.package)
    except (ImportError, ValueError):
        return False
    folders = () if package is None else package.submodule_search_locations or ()
    return any((Path(folder) / place.path).is_file() for folder in folders)
