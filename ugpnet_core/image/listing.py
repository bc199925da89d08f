"""Which files of a folder are images: told by what is in them, and nothing left out in silence."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from ugpnet_core.errors import ImageError
from ugpnet_core.image.files import EXTENSIONS
from ugpnet_core.image.kinds import identify, readable


class Reason(Enum):
    """Why something in a folder is left out: the words for one, and for several."""

    FOLDER = ("folder (--recursive)", "folders (--recursive)")
    LINKED_FOLDER = ("linked folder (give it as an input)", "linked folders (give them as inputs)")
    UNREADABLE_FOLDER = ("unreadable subfolder", "unreadable subfolders")
    BROKEN_LINK = ("broken link", "broken links")
    NO_FILE = ("pipe or device", "pipes or devices")
    SAME_FILE = ("link to another image", "links to other images")
    HIDDEN = ("hidden", "hidden")
    UNFINISHED = ("unfinished download", "unfinished downloads")
    RESULTS = ("earlier result", "earlier results")
    RESULT_FOLDER = ("folder of results", "folders of results")
    NO_IMAGE = ("that is no image", "that are no images")


# What browsers and other programs call a file of which they do not have all yet.
_UNFINISHED = {".crdownload", ".download", ".filepart", ".opdownload", ".part", ".partial"}


class LeftOut(NamedTuple):
    """Something that is not taken, and why: a reason, or the kind of an image that cannot be read
    and what brings it."""

    path: Path
    reason: Reason | str


class Survey(NamedTuple):
    """What is in some files and folders: the images, in order, and what was left out."""

    images: list[Path]
    left_out: list[LeftOut]


def list_images(inputs: Iterable[str | os.PathLike[str]], *, recursive: bool = False) -> list[Path]:
    """The image files that the inputs name, in folders sorted, as :func:`survey` finds them.

    Of a data set's many thousand files, those that are called like images are not looked into.

    Args:
        inputs: files and folders; a file is listed whatever it holds, and once only.
        recursive: look into subfolders, too.

    Raises:
        ImageError: an input does not exist, or is a folder that cannot be read.
    """
    return survey(inputs, recursive=recursive, trust_names=True).images


def survey(
    inputs: Iterable[str | os.PathLike[str]],
    *,
    recursive: bool = False,
    results: Path | None = None,
    trust_names: bool = False,
) -> Survey:
    """Look at everything that the inputs name.

    In a folder, a file is an image by its content. One that is called like an image and holds
    something else, or nothing, is taken for one too: reading it says what is wrong. Hidden files,
    unfinished downloads and linked folders are left out.

    Args:
        inputs: files and folders; a file is taken whatever it holds, and once only.
        recursive: look into subfolders, too.
        results: a folder that is left out where it lies below an input.
        trust_names: take files that are called like images without a look.

    Raises:
        ImageError: an input does not exist, or is a folder that cannot be read.
    """
    found: dict[Path, LeftOut | None] = {}
    walk = _Walk(recursive, trust_names, None if results is None else os.path.realpath(results))
    for item in map(Path, inputs):
        if os.path.isdir(item):
            for path, left_out in walk.through(item):
                found.setdefault(path, left_out)
        elif os.path.lexists(item):
            found[item] = None
        else:
            raise ImageError(f"{item} does not exist; give image files or folders.")
    return Survey(
        [path for path, left_out in found.items() if left_out is None],
        [left_out for left_out in found.values() if left_out is not None],
    )


def told(left_out: Iterable[LeftOut]) -> str:
    """What was left out, by kind and count, for one line: "3 HEIC (...), 1 broken link"."""
    counts = Counter(one.reason for one in left_out)
    kinds = [f"{counts[one]} {one}" for one in counts if isinstance(one, str)]
    rest = [f"{counts[one]} {one.value[counts[one] > 1]}" for one in Reason if counts[one]]
    return ", ".join([*sorted(kinds), *rest])


class _Walk(NamedTuple):
    recursive: bool
    trust_names: bool
    own: str | None

    def through(self, folder: Path, inner: bool = False) -> Iterator[tuple[Path, LeftOut | None]]:
        """Every entry below a folder, in the order of their paths; None: it is an image."""
        try:
            with os.scandir(folder) as entries:
                names = sorted(entry.name for entry in entries)
        except OSError as error:
            if not inner:
                raise ImageError(
                    f"{folder} cannot be read: {error.strerror or error}; check its permissions."
                ) from error
            yield folder, LeftOut(folder, Reason.UNREADABLE_FOLDER)
            return
        for path in (folder / name for name in names):
            reason = self._reason(path)
            if reason is None and os.path.isdir(path):
                yield from self.through(path, inner=True)
            else:
                yield path, None if reason is None else LeftOut(path, reason)

    def _reason(self, path: Path) -> Reason | str | None:
        """Why an entry is left out; None: it is an image, or a folder to look into."""
        if path.name.startswith("."):
            return Reason.HIDDEN
        if os.path.isdir(path):
            if os.path.realpath(path) == self.own:
                return Reason.RESULT_FOLDER
            if not self.recursive:
                return Reason.FOLDER
            return Reason.LINKED_FOLDER if os.path.islink(path) else None
        if not os.path.exists(path):
            return Reason.BROKEN_LINK
        # Never opened: a pipe would wait for somebody to write into it.
        return (
            why_not(path, trust_name=self.trust_names) if os.path.isfile(path) else Reason.NO_FILE
        )


def why_not(file: Path, *, trust_name: bool = False) -> Reason | str | None:
    """Why a file in a folder is no image to take; None: it is one, see :func:`survey`.

    Args:
        trust_name: take one that is called like an image without a look.
    """
    named = file.suffix.lower() in EXTENSIONS
    # What must not be read is taken as well: the error says so.
    if (named and trust_name) or not os.access(file, os.R_OK):
        return None
    kind = identify(file)
    if kind is None:
        return None if named else Reason.NO_IMAGE
    if file.suffix.lower() in _UNFINISHED:
        return Reason.UNFINISHED
    extra = readable(kind)
    if extra is None:
        return None
    return f"{kind} (pip install '{extra}')" if extra else f"{kind} (cannot be read)"
