"""Which versions of the core a plugin takes (docs/versions.md)."""

from __future__ import annotations

import re


def interface_bounds(version: str) -> str:
    """The versions with the same plugin interface: ``>=0.1,<0.2`` for 0.1.3, ``>=2,<3`` for 2.1.0.

    Raises:
        ValueError: it does not begin with two numbers.
    """
    found = re.match(r"(\d+)\.(\d+)", version)
    if found is None:
        raise ValueError(f"{version!r} is not a version; give numbers, for instance 0.2.0.")
    major, minor = map(int, found.groups())
    return f">=0.{minor},<0.{minor + 1}" if major == 0 else f">={major},<{major + 1}"
