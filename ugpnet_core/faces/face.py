"""What a finder of faces says, and what one is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Face:
    """Where in a photograph the square lies that an aligned portrait (as FFHQ's) would be.

    The square is four times as wide as the eyes are apart, or a little more, and holds the head.
    It may reach beyond the photograph.

    Attributes:
        x, y: its centre, in pixels from the photograph's left and upper edge (the middle of the
            first pixel is 0.5).
        side: in pixels.
        angle: by which it is turned, in radians; positive turns the head clockwise as seen, so
            that the portrait's upper edge points to (sin(angle), -cos(angle)).
        score: from 0 to 1, how sure the finder is.
    """

    x: float
    y: float
    side: float
    angle: float
    score: float = 1.0


class FaceFinder(Protocol):
    """Finds the faces of a photograph."""

    def __call__(self, image: Tensor) -> Sequence[Face]:
        """Find faces in RGB (3, H, W), float32 in [0, 1], H and W of any size.

        Returns:
            one for each face, the surest first.
        """
        ...
