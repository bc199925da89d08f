"""Where a distribution was installed from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Any, Literal
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True)
class Origin:
    """How a distribution came here, and from which folder, file or address.

    Args:
        how: ``editable`` (used from its source folder), ``folder`` (copied from it), ``archive``
            (a wheel or source archive that was named), ``repository`` (version control),
            ``package`` (found by name, in an index or a folder of wheels) or ``unknown``.
        where: the source; for ``package`` the folder it was installed into; empty for ``unknown``.
    """

    how: Literal["editable", "folder", "archive", "repository", "package", "unknown"]
    where: str

    def __str__(self) -> str:
        words = {
            "editable": f"{self.where} (editable)",
            "folder": f"{self.where} (a copy of this folder)",
            "package": f"a package, into {self.where}",
            "unknown": "not known",
        }
        return words.get(self.how, self.where)


def origin_of(name: str) -> Origin:
    """Read how a distribution was installed (direct_url.json, PEP 610); never fails."""
    try:
        found = distribution(name)
    except (PackageNotFoundError, ValueError):
        return Origin("unknown", "")
    try:
        direct: Any = json.loads(found.read_text("direct_url.json") or "null")
        address = str(direct["url"])
        if "vcs_info" in direct:
            return Origin("repository", address)
        if "dir_info" in direct:
            editable = bool((direct["dir_info"] or {}).get("editable"))
            return Origin("editable" if editable else "folder", _path(address))
        return Origin("archive", _path(address))
    except (KeyError, TypeError, AttributeError, ValueError, OSError):
        return Origin("package", _folder(found))


def _path(address: str) -> str:
    parts = urlsplit(address)
    return unquote(parts.path) if parts.scheme == "file" else address


def _folder(found: Distribution) -> str:
    try:
        return str(found.locate_file(""))
    except NotImplementedError:
        return "an archive"
