"""Where to look: the part of a photograph in which restored images differ most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

_SHARE = 4  # a picture is this many insets wide
_WIDEST, _NARROWEST = 3, 6
_CENTRE = 0.5  # how much less a place in a corner counts than one in the middle


class Inset(NamedTuple):
    """A square part of an image: its left and upper edge and its side, pixels."""

    left: int
    top: int
    side: int

    def cut(self, image: Tensor) -> Tensor:
        """The part of an image (..., H, W)."""
        rows = slice(self.top, self.top + self.side)
        return image[..., rows, self.left : self.left + self.side]

    def fits(self, height: int, width: int) -> bool:
        """Whether it lies within an image of this size."""
        inside = 0 <= self.left <= width - self.side and 0 <= self.top <= height - self.side
        return inside and self.side > 0


def choose_inset(images: Sequence[Tensor], side: int) -> Inset:
    """The place where images of one photograph differ most, in brightness.

    What counts is how far images lie from their median, without the one that lies furthest: noise
    of the degraded image would hide the differences between the restored ones. The subject of a
    photograph is rarely in its corner, so places count less with their distance from the middle.

    Args:
        images: RGB (3, H, W), at least one. One image alone: where its contrast is highest.
        side: of the part, pixels, at most that of the images.
    """
    grey = torch.stack([image.detach().cpu().float() for image in images]).mean(dim=1)
    centre = grey.median(dim=0).values if len(grey) > 1 else grey.mean(dim=(1, 2), keepdim=True)
    distances = F.avg_pool2d((grey - centre).square()[:, None], side, stride=1)[:, 0]
    if len(distances) > 2:
        distances = distances.sort(dim=0).values[:-1]
    total = distances.sum(dim=0) * _weights(*distances.shape[-2:])
    top, left = divmod(int(total.argmax()), total.shape[-1])
    return Inset(left, top, side)


def _weights(height: int, width: int) -> Tensor:
    """1 in the middle, 1 - ``_CENTRE`` in the corners, of places (height, width)."""
    rows = torch.linspace(-1, 1, height)[:, None] if height > 1 else torch.zeros(1, 1)
    columns = torch.linspace(-1, 1, width) if width > 1 else torch.zeros(1)
    return 1 - _CENTRE * (rows.square() + columns.square()) / 2


def inset_side(width: int, shown: int) -> int:
    """A side for insets of images of a width, about a quarter of it.

    Args:
        width: of an image, pixels.
        shown: width that an inset is enlarged to; a side that divides it is preferred.
    """
    wished = max(1, round(width / _SHARE))
    near = range(max(1, width // _NARROWEST), max(1, width // _WIDEST) + 1)
    fitting = [side for side in near if shown % side == 0]
    return min(fitting, key=lambda side: abs(side - wished), default=wished)
