"""One thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "note", "broken"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        section: what it belongs to: software, plugins, extras, machine, self-test.
        name: of what was looked at.
        status: ``"note"`` is worth knowing and keeps nothing from working.
        found: in a few words.
        advice: what to do; empty where there is nothing to do.
    """

    section: str
    name: str
    status: Status
    found: str
    advice: str = ""
