"""Names of files by a pattern: which files belong to a photograph, such as ``{stem}x4``."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import PurePosixPath

from ugpnet_core.image.files import EXTENSIONS

STEM, NAME = "{stem}", "{name}"


def composed(name: str) -> str:
    """A name as one system writes it and another one reads it: accents are parts of letters."""
    return unicodedata.normalize("NFC", name)


def expression(pattern: str, stem: str, name: str) -> re.Pattern[str]:
    """What a path has to match as a whole to be meant by a pattern.

    Args:
        pattern: ``{stem}`` stands for ``stem``, ``{name}`` for ``name``, and ``*`` for anything but
            "/". Without an extension of an image, the path may have any, beyond what the pattern
            says. Whether an extension is in capitals does not matter.
        stem, name: of the photograph; a star in them is none.
    """
    suffix = PurePosixPath(name).suffix
    whole = f"{re.escape(name.removesuffix(suffix))}(?i:{re.escape(suffix)})"
    meant = {NAME: whole, STEM: re.escape(stem), "*": "[^/]*"}
    body, extension = _parted(pattern)
    written = "".join(meant.get(part, re.escape(part)) for part in _parts(body))
    ending = rf"(?i:{re.escape(extension)})" if extension else r"(\.[^/.]+)?"
    return re.compile(written + ending)


def meant(pattern: str, stem: str, name: str, paths: Sequence[str], folder: str = "") -> list[str]:
    """Those of some sorted paths that :func:`expression` means; quick where the pattern does not
    begin with a star, however many there are.

    Args:
        folder: "" or a path that ends in "/", which the pattern is about the inside of.
    """
    begin = folder
    for part in _parts(_parted(pattern)[0]):
        if part in ("*", NAME):
            begin += PurePosixPath(name).with_suffix("").as_posix() if part == NAME else ""
            break
        begin += stem if part == STEM else part
    found = []
    matching: re.Pattern[str] | None = None
    for index in range(bisect_left(paths, begin), len(paths)):
        if not paths[index].startswith(begin):
            break
        matching = matching or expression(pattern, stem, name)
        if matching.fullmatch(paths[index], len(folder)):
            found.append(paths[index])
    return found


def _parts(pattern: str) -> list[str]:
    return re.split(r"(\{name\}|\{stem\}|\*)", pattern)


def _parted(pattern: str) -> tuple[str, str]:
    """A pattern's text, and the extension of an image that it ends with."""
    ending = next((each for each in EXTENSIONS if pattern.lower().endswith(each)), "")
    return pattern[: len(pattern) - len(ending)], pattern[len(pattern) - len(ending) :]
