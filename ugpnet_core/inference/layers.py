"""What a model has made of a photograph, and the restored image that comes of it, row by row.

Nothing here holds a whole photograph in floats. What is known only when all of it was seen (its
slow colours, how far x_reg can be relied on) is kept as a few numbers, or on cells of some pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ugpnet_core.errors import ImageError
from ugpnet_core.faces.alignment import Pasted
from ugpnet_core.inference.colours import (
    SIGMA,
    SlowColours,
    enlarged_rows,
    open_pixels,
    shift,
    within,
)
from ugpnet_core.inference.rows import Rows, StoredRows, bands

Tiled = Iterator[tuple[int, tuple[Tensor, ...]]]


class Addition(NamedTuple):
    """What the prior adds to rows of x_reg.

    Attributes:
        image: x_hat - x_reg without its slow colours, (3, n, W).
        synthesis: x_syn - x_reg, (3, n, W); nothing where it was not asked for.
        mask: (1, n, W), where the whole model was.
    """

    image: Tensor
    synthesis: Tensor
    mask: Tensor


class Additions(Protocol):
    """What the prior adds to a photograph, by rows."""

    def band(self, top: int, bottom: int) -> Addition:
        """Rows top .. bottom - 1."""
        ...


class FaceAdditions:
    """What it adds to faces; see :func:`ugpnet_core.inference.whole.by_faces`."""

    def __init__(self, pasted: Pasted) -> None:
        self._pasted = pasted

    def band(self, top: int, bottom: int) -> Addition:
        """See :class:`Additions`."""
        rows = self._pasted.band(top, bottom)
        finite(rows)
        return Addition(rows[:3], rows[3:6], rows[6:])


class TileAdditions:
    """What it adds everywhere.

    Args:
        size: height and width of the restored photograph.
        sigma: of the Gaussian beyond which its colours are slow, pixels.
        exact, synthesis: keep float32; keep x_syn, too.
    """

    def __init__(self, size: Sequence[int], sigma: float, *, exact: bool, synthesis: bool) -> None:
        self._size = size
        self._slow = SlowColours(size, sigma)
        self._cells: Tensor | None = None
        self._image = StoredRows(size[0], size[1], exact=exact)
        self._synthesis = StoredRows(size[0], size[1], exact=exact) if synthesis else None

    def write(self, top: int, image: Tensor, synthesis: Tensor) -> None:
        """Keep the next rows of x_hat - x_reg and x_syn - x_reg, (3, n, W) each."""
        finite(image)
        finite(synthesis)
        self._slow.add(image)
        # As half of it, and about the middle: stored rows reach from -0.25 to 1.25.
        self._image.write(top, image / 2 + 0.5)
        if self._synthesis is not None:
            self._synthesis.write(top, synthesis / 2 + 0.5)

    def band(self, top: int, bottom: int) -> Addition:
        """See :class:`Additions`."""
        if self._cells is None:
            self._cells = self._slow.mean()
        image = 2 * self._image.band(top, bottom) - 1
        image -= enlarged_rows(self._cells, self._size, top, bottom)
        kept = self._synthesis
        synthesis = torch.zeros_like(image) if kept is None else 2 * kept.band(top, bottom) - 1
        return Addition(image, synthesis, torch.ones_like(image[:1]))


class Regression:
    """x_reg of a photograph, whose slow colours follow those of what came in.

    Args:
        came: the photograph, at the size of x_reg.
        noise: standard deviation of its noise.
        follows: whether slow colours are those of ``came``.
        exact: keep float32.
    """

    def __init__(self, came: Rows, noise: float, *, follows: bool, exact: bool) -> None:
        self.height, self.width = came.height, came.width
        self._came, self._noise = came, noise
        size = came.height, came.width
        self._stored = StoredRows(*size, exact=exact)
        self._sigma = within(SIGMA, size)
        self._difference = SlowColours(size, self._sigma) if follows else None
        self._counted = SlowColours(size, self._sigma)
        self._shift: Tensor | None = None

    def write(self, top: int, rows: Tensor) -> None:
        """Keep the next rows, (3, n, W)."""
        finite(rows)
        self._stored.write(top, rows)
        if self._difference is not None:
            counted = open_pixels(rows, self._noise)
            came = self._came.band(top, top + rows.shape[-2])
            self._difference.add((came - rows) * counted)
            self._counted.add(counted)

    def band(self, top: int, bottom: int) -> Tensor:
        """Rows top .. bottom - 1, (3, n, W), not clamped; when all are written."""
        rows = self._stored.band(top, bottom)
        if self._difference is None:
            return rows
        if self._shift is None:
            difference, counted = self._difference.mean(), self._counted.mean()
            self._shift = shift(difference, counted, self._noise, self._sigma)
        return rows + enlarged_rows(self._shift, (self.height, self.width), top, bottom)


@dataclass
class Layers:
    """Everything that a restored photograph is made of.

    Attributes:
        came: the photograph, enlarged by the model's scale.
        regression: x_reg.
        additions: what the prior adds.
        reliance: share of x_reg in its mixture with what came, as far as it can be relied on.
        prior: share of what the prior adds to the restored image.
        grey: whether all channels are to be the same.
        keep: leave as it came what the whole model has not seen.
    """

    came: Rows
    regression: Regression
    additions: Additions
    reliance: float = 1.0
    prior: float = 1.0
    grey: bool = False
    keep: bool = False

    def band(self, top: int, bottom: int) -> tuple[Tensor, Tensor, Tensor]:
        """Rows of the restored image, x_reg and x_syn, (3, n, W) each in [0, 1]."""
        came = self.came.band(top, bottom)
        regression = self.regression.band(top, bottom)
        if self.reliance < 1:
            regression = torch.lerp(came, regression, self.reliance)
        addition, synthesis, mask = self.additions.band(top, bottom)
        if self.grey:
            regression, addition, synthesis = map(_grey, (regression, addition, synthesis))
        image = regression + self.prior * addition
        if self.keep:
            image = torch.lerp(came, image, mask)
        synthesis = regression + synthesis
        return image.clamp(0, 1), regression.clamp(0, 1), synthesis.clamp(0, 1)

    def bands(self) -> Iterator[tuple[int, tuple[Tensor, Tensor, Tensor]]]:
        """All of it, with the number of each band's first row."""
        for top, bottom in bands(self.came.height):
            yield top, self.band(top, bottom)


def mean_distance(one: Rows, other: Rows) -> float:
    """The mean of the squared difference of two images of one size."""
    total = 0.0
    for top, bottom in bands(one.height):
        total += float((one.band(top, bottom) - other.band(top, bottom)).square().sum())
    return total / (3 * one.height * one.width)


def is_grey(source: Rows) -> bool:
    """Whether all three channels of a photograph are the same."""
    every = (source.band(top, bottom) for top, bottom in bands(source.height))
    return all(torch.equal(rows[:1].expand_as(rows), rows) for rows in every)


def finite(rows: Tensor) -> None:
    """Refuse values that are no numbers.

    Raises:
        ImageError: there is one.
    """
    if not bool(rows.isfinite().all()):
        raise ImageError(
            "The model makes values that are no finite numbers of this image; use another model, "
            "or tell who made it."
        )


def _grey(rows: Tensor) -> Tensor:
    return rows.mean(0, keepdim=True).expand_as(rows)
