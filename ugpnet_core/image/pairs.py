"""Two folders of the same pictures, clean and degraded: which file belongs to which."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ugpnet_core.errors import ImageError
from ugpnet_core.image.listing import list_images

LISTED = 10


class MatchedPair(NamedTuple):
    """One picture in both folders.

    Attributes:
        name: its path below either folder, with ``/`` and without the extension.
    """

    name: str
    clean: Path
    degraded: Path


def match_pairs(clean: Path, degraded: Path) -> list[MatchedPair]:
    """Match the images of two folders, read recursively, by path without extension.

    So ``clean/a/1.png`` belongs to ``degraded/a/1.jpg``. Sorted by name.

    Raises:
        ImageError: a folder is missing or has no image, two images of one folder differ in their
            extension only, or an image has no partner; the message lists the first ten.
    """
    ours, theirs = _by_name(clean), _by_name(degraded)
    alone = [str(path) for name, path in sorted(ours.items()) if name not in theirs]
    alone += [str(path) for name, path in sorted(theirs.items()) if name not in ours]
    if alone:
        raise ImageError(
            f"{_counted(len(alone))} without a partner of the same name in the other folder: "
            f"{listed(alone)}; add the partners or remove these."
        )
    return [MatchedPair(name, ours[name], theirs[name]) for name in sorted(ours)]


def _by_name(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise ImageError(
            f"There is no folder {folder}; pairs need one of clean and one of degraded."
        )
    found: dict[str, Path] = {}
    twice = []
    for path in list_images([folder], recursive=True):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            twice.append(f"{found[name]} and {path.name}")
        found[name] = path
    if twice:
        raise ImageError(
            f"The extension alone tells apart {listed(twice)}, so that a partner could belong to "
            "either; rename or remove one of each."
        )
    if not found:
        raise ImageError(f"There is no image in {folder}; give a folder of images.")
    return found


def _counted(count: int) -> str:
    return "1 image is" if count == 1 else f"{count} images are"


def listed(names: Sequence[str]) -> str:
    """The first ten names, and how many more there are, for an error."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
