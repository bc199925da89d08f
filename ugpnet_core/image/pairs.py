"""Pictures that are there twice, clean and degraded: which file belongs to which."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ugpnet_core.errors import ImageError
from ugpnet_core.image.listing import list_images
from ugpnet_core.image.patterns import NAME, STEM, expression

LISTED = 10


class MatchedPair(NamedTuple):
    """One picture in both folders.

    Attributes:
        name: its path below either folder, with ``/`` and without the extension.
    """

    name: str
    clean: Path
    degraded: Path


def match_pairs(clean: Path, degraded: Path, pattern: str = STEM) -> list[MatchedPair]:
    """Match the images of two folders, read recursively, by path without extension.

    So ``clean/a/1.png`` belongs to ``degraded/a/1.jpg``. Sorted by name.

    Args:
        pattern: how a degraded image is called, below the folder of the same name as that of its
            clean one: ``{stem}x4`` for ``a/1x4.jpg``; ``*`` stands for anything, so that with
            ``{stem}_*`` a clean image has several degraded ones, and is in as many pairs. Where one
            could belong to two, it does to that of the longer name. With a pattern, both may lie in
            one folder.

    Raises:
        ImageError: a folder is missing or has no image, two images of one folder differ in their
            extension only, or an image has no partner; the message lists the first ten.
    """
    if pattern != STEM:
        return _match_by_pattern(clean, degraded, pattern)
    ours, theirs = _by_name(clean), _by_name(degraded)
    alone = [str(path) for name, path in sorted(ours.items()) if name not in theirs]
    alone += [str(path) for name, path in sorted(theirs.items()) if name not in ours]
    if alone:
        raise ImageError(
            f"{_counted(len(alone))} without a partner of the same name in the other folder: "
            f"{listed(alone)}; add the partners or remove these."
        )
    return [MatchedPair(name, ours[name], theirs[name]) for name in sorted(ours)]


def _match_by_pattern(clean: Path, degraded: Path, pattern: str) -> list[MatchedPair]:
    together = clean.resolve() == degraded.resolve()
    theirs = {path.relative_to(degraded).as_posix(): path for path in _images(degraded)}
    ours = {path.relative_to(clean).as_posix(): path for path in _images(clean)}
    names = sorted(theirs)
    owners: dict[str, str] = {}
    for name in sorted(ours, key=len):  # longer ones last, and so stronger
        owners.update((one, name) for one in _meant(name, pattern, names) if one != name)
    if together:  # what is someone's degraded image is no clean one
        ours = {name: path for name, path in ours.items() if name not in owners}
        owners = {one: name for one, name in owners.items() if name in ours}
        theirs = {one: theirs[one] for one in owners}
    found = sorted((name, one) for one, name in owners.items())
    matched = [
        MatchedPair(PurePosixPath(name).with_suffix("").as_posix(), ours[name], theirs[one])
        for name, one in found
    ]
    owning = set(owners.values())
    alone = [str(path) for name, path in sorted(ours.items()) if name not in owning]
    alone += [str(path) for one, path in sorted(theirs.items()) if one not in owners]
    if alone:
        raise ImageError(
            f"{_counted(len(alone))} without a partner by the pattern {pattern!r}: "
            f"{listed(alone)}; add the partners, remove these, or give another pattern."
        )
    _refuse_doubled(matched, pattern)
    return matched


def _meant(name: str, pattern: str, names: Sequence[str]) -> Iterator[str]:
    """Those of some sorted names that a pattern means for one photograph."""
    path = PurePosixPath(name)
    folder = "" if str(path.parent) == "." else f"{path.parent.as_posix()}/"
    before = pattern.split("*")[0].replace(NAME, path.name).replace(STEM, path.stem)
    begin = folder + before.removesuffix(".")
    matching = expression(pattern, path.stem, path.name)
    for index in range(bisect_left(names, begin), len(names)):
        if not names[index].startswith(begin):
            return
        if matching.fullmatch(names[index], len(folder)):
            yield names[index]


def _refuse_doubled(matched: Sequence[MatchedPair], pattern: str) -> None:
    """Without a star in the pattern a picture has one partner, and with one, one clean image."""
    clean: Mapping[str, set[Path]] = {one.name: set() for one in matched}
    twice: list[str] = []
    for one in matched:
        others = clean[one.name]
        if others and ("*" not in pattern or one.clean not in others):
            twice.append(f"{one.clean} with {one.degraded}")
        others.add(one.clean)
    if twice:
        raise ImageError(
            f"The extension alone tells apart {listed(twice)} and others, so that a partner could "
            "belong to either; rename or remove one of each."
        )


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ImageError(
            f"There is no folder {folder}; pairs need one of clean and one of degraded."
        )
    found = list_images([folder], recursive=True)
    if not found:
        raise ImageError(f"There is no image in {folder}; give a folder of images.")
    return found


def _by_name(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    twice = []
    for path in _images(folder):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            twice.append(f"{found[name]} and {path.name}")
        found[name] = path
    if twice:
        raise ImageError(
            f"The extension alone tells apart {listed(twice)}, so that a partner could belong to "
            "either; rename or remove one of each."
        )
    return found


def _counted(count: int) -> str:
    return "1 image is" if count == 1 else f"{count} images are"


def listed(names: Sequence[str]) -> str:
    """The first ten names, and how many more there are, for an error."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
