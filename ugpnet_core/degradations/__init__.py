"""Degradations: operators with their formulas, and the tasks composed of them.

Names are loaded when they are first used: listing the tasks imports ``entries`` from here and
must not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ugpnet_core.degradations.apply import degrade
    from ugpnet_core.seeding import rng_for

__all__ = ["degrade", "rng_for"]

_HOME_OF = {
    "degrade": "ugpnet_core.degradations.apply",
    "rng_for": "ugpnet_core.seeding",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
