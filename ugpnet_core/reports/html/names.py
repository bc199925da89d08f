"""Names of files in a report, made from names of photographs and methods, which may be anything."""

from __future__ import annotations

import re
import unicodedata

_LONGEST = 40
# Windows keeps these for devices.
_RESERVED = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{port}{n}" for port in ("com", "lpt") for n in range(10)),
}


def slug(text: str, fallback: str) -> str:
    """Lower-case ASCII letters, digits, underscores and hyphens, at most 40; or the fallback."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    found = re.sub(r"[^a-z0-9_]+", "-", plain).strip("-")[:_LONGEST].rstrip("-")
    return fallback if not found or found in _RESERVED else found


class UniqueNames:
    """Slugs that differ from each other even where case does not count.

    Args:
        taken: names that are not given out.
    """

    def __init__(self, *taken: str) -> None:
        self._taken = set(taken)
        self._names: dict[str, str] = {}

    def of(self, text: str, fallback: str) -> str:
        """The slug of a text: always the same one, and no other text has it."""
        if text not in self._names:
            stem = name = slug(text, fallback)
            number = 2
            while name in self._taken:
                name = f"{stem}-{number}"
                number += 1
            self._taken.add(name)
            self._names[text] = name
        return self._names[text]


def shown(text: str) -> str:
    """A name as a page may hold it: bytes of a file's name that are no UTF-8 become U+FFFD."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
