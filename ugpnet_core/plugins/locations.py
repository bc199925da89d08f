"""Where the weights of an entry are: in its distribution, on this machine, or on the Hub.

    ugpnet_priors.portraits:portraits-denoise.safetensors     package:path inside it
    hub:owner/name/folder/weights.safetensors@revision        Hugging Face Hub, model repository
    /srv/weights/mine.safetensors, ~/mine.safetensors         an absolute path
    file:/srv/weights/mine.safetensors                        the same

The revision may be left out (main); a commit is the only one that never changes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_NAME = r"[A-Za-z0-9][\w.-]*"
_HUB = re.compile(rf"hub:({_NAME}/{_NAME})/([^@\s]+)(?:@([^@\s]+))?")
_PACKAGED = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):(\S+)")
FORMS = "'package.module:path', 'hub:owner/name/path@revision' or an absolute path"


@dataclass(frozen=True)
class Packaged:
    """A file inside an installed package."""

    package: str
    path: str


@dataclass(frozen=True)
class Local:
    """A file on this machine."""

    path: Path


@dataclass(frozen=True)
class Hub:
    """A file in a model repository of the Hugging Face Hub."""

    repository: str
    path: str
    revision: str


Location = Packaged | Local | Hub


def parse_location(text: str) -> Location:
    """Read the ``file`` of an entry.

    Raises:
        ValueError: it has none of the known forms.
    """
    if text.startswith("hub:"):
        found = _HUB.fullmatch(text)
        if found is None or _leaves(found[2]):
            raise ValueError(f"{text!r} is not of the form 'hub:owner/name/path@revision'")
        return Hub(found[1], found[2], found[3] or "main")
    path = Path(text.removeprefix("file:"))
    if text.startswith(("file:", "~")) or path.is_absolute():
        path = path.expanduser()
        if not path.is_absolute():
            raise ValueError(f"{text!r} is no absolute path")
        return Local(path)
    found = _PACKAGED.fullmatch(text)
    if found is None or _leaves(found[2]):
        raise ValueError(f"{text!r} is not of the form {FORMS}")
    return Packaged(found[1], found[2])


def _leaves(path: str) -> bool:
    """Whether a path leads out of the folder that it begins in, or back into it."""
    parts = path.replace("\\", "/").split("/")
    return path.startswith(("/", "\\")) or any(part in ("", ".", "..") for part in parts)
