"""What decoders hand on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ugpnet_core.image.metadata import Metadata

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Decoded:
    """Upright pixels (H, W, 3 or 4), uint8 or uint16, RGB, and what else the file says.

    Attributes:
        grey: whether the file has one channel of colour; here are three that are equal.
        icc_profile: of the RGB colours, or of the grey where ``grey``; else None.
        exif: the EXIF block, its orientation applied.
        frames: how many pictures the file holds.
        notices: what was made of it that its owner may want to know; each begins in lower case
            and goes on after the name of the file.
    """

    array: Array
    icc_profile: bytes | None = None
    exif: bytes | None = None
    grey: bool = False
    metadata: Metadata = field(default_factory=Metadata)
    frames: int = 1
    notices: tuple[str, ...] = ()


_TURN = {  # EXIF orientation: (flip left-right afterwards, quarter turns counter-clockwise)
    1: (False, 0),
    2: (True, 0),
    3: (False, 2),
    4: (True, 2),
    5: (True, 3),
    6: (False, 3),
    7: (True, 1),
    8: (False, 1),
}


def turned(array: Array, orientation: int) -> Array:
    """Pixels as an EXIF orientation wants them shown."""
    flip, turns = _TURN.get(orientation, (False, 0))
    array = np.rot90(array, turns)
    return array[:, ::-1] if flip else array


def profile_for(profile: bytes | None, grey: bool) -> bytes | None:
    """The profile where it is one for such pixels; grey ones may have one for RGB."""
    kind = profile[16:20] if profile else b""
    return profile if kind == b"RGB " or (grey and kind == b"GRAY") else None
