"""Pictures that are there twice, clean and degraded: which file belongs to which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ugpnet_core.errors import ImageError
from ugpnet_core.image.listing import list_images
from ugpnet_core.image.patterns import STEM, composed, meant

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

    So ``clean/a/1.png`` belongs to ``degraded/a/1.jpg``. Sorted by name. Where one of the folders
    lies in the other, what is in it does not belong to the other.

    Args:
        pattern: how a degraded image is called, below the folder of the same name as that of its
            clean one: ``{stem}x4`` for ``a/1x4.jpg``; ``*`` stands for anything, so that with
            ``{stem}_*`` a clean image has several degraded ones, and is in as many pairs. Where one
            could belong to two, it does to that of the longer name. With a pattern, both may lie in
            one folder, in which no image is both a clean and a degraded one.

    Raises:
        ImageError: a folder is missing or has no image, two images of one folder differ in their
            extension only, an image has no partner, or it cannot be told whose it is; the message
            lists the first ten.
    """
    if pattern != STEM:
        return _match_by_pattern(clean, degraded, pattern)
    ours, theirs = _by_name(clean, degraded), _by_name(degraded, clean)
    alone = [str(path) for name, path in sorted(ours.items()) if name not in theirs]
    alone += [str(path) for name, path in sorted(theirs.items()) if name not in ours]
    if alone:
        raise ImageError(
            f"{_counted(len(alone))} without a partner of the same name in the other folder: "
            f"{listed(alone)}; add the partners or remove these."
        )
    return [MatchedPair(name, ours[name], theirs[name]) for name in sorted(ours)]


def _match_by_pattern(clean: Path, degraded: Path, pattern: str) -> list[MatchedPair]:
    together = _is_one_folder(clean, degraded)
    theirs = {_below(degraded, path): path for path in _images(degraded, clean)}
    ours = {_below(clean, path): path for path in _images(clean, degraded)}
    owners = _owners(ours, sorted(theirs), composed(pattern), together)
    if together:  # what is someone's degraded image is no clean one
        ours = {name: path for name, path in ours.items() if name not in owners}
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


def _owners(
    ours: Mapping[str, Path], names: Sequence[str], pattern: str, together: bool
) -> dict[str, str]:
    """For each degraded image that a pattern means, by name, whose it is.

    Args:
        ours: the clean images.
        names: of the degraded ones, sorted.
        together: all lie in one folder, and no image belongs to itself.

    Raises:
        ImageError: it could be that of two names of one length; or one image that of another and
            the clean one of a third.
    """
    found: dict[str, list[str]] = {}
    for name in sorted(ours, key=_length):  # longer ones last, and so stronger
        path = PurePosixPath(name)
        folder = "" if str(path.parent) == "." else f"{path.parent.as_posix()}/"
        for one in meant(pattern, path.stem, path.name, names, folder):
            if not (together and one == name):
                rivals = found.get(one, [])
                found[one] = [other for other in rivals if _length(other) == _length(name)] + [name]
    torn = [f"{one} to {' or '.join(every)}" for one, every in found.items() if len(every) > 1]
    if torn:
        raise ImageError(
            f"By the pattern {pattern!r} images could belong to more than one: "
            f"{listed(sorted(torn))}; rename them, or give another pattern."
        )
    owners = {one: name for one, (name,) in found.items()}
    both = sorted({name for name in owners.values() if name in owners}) if together else []
    if both:
        raise ImageError(
            f"By the pattern {pattern!r} images in one folder are degraded and clean ones at once: "
            f"{listed([f'{name} (of {owners[name]})' for name in both])}; put clean and degraded "
            "ones into two folders, or give another pattern."
        )
    return owners


def _length(name: str) -> int:
    return len(PurePosixPath(name).stem)


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


def _is_one_folder(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _images(folder: Path, other: Path) -> list[Path]:
    """Those of a folder, without what lies in the other one, where that is inside."""
    if not folder.is_dir():
        raise ImageError(
            f"There is no folder {folder}; pairs need one of clean and one of degraded."
        )
    found = list_images([folder], recursive=True)
    inner = other.resolve()
    if not folder.resolve().is_relative_to(inner):
        is_inside = cache(lambda parent: parent.resolve().is_relative_to(inner))
        found = [path for path in found if not is_inside(path.parent)]
    if not found:
        raise ImageError(f"There is no image in {folder}; give a folder of images.")
    return found


def _by_name(folder: Path, other: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    twice = []
    for path in _images(folder, other):
        name = PurePosixPath(_below(folder, path)).with_suffix("").as_posix()
        if name in found:
            twice.append(f"{found[name]} and {path.name}")
        found[name] = path
    if twice:
        raise ImageError(
            f"The extension alone tells apart {listed(twice)}, so that a partner could belong to "
            "either; rename or remove one of each."
        )
    return found


def _below(folder: Path, path: Path) -> str:
    return composed(path.relative_to(folder).as_posix())


def _counted(count: int) -> str:
    return "1 image is" if count == 1 else f"{count} images are"


def listed(names: Sequence[str]) -> str:
    """The first ten names, and how many more there are, for an error."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
