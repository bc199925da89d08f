"""Restored images side by side under the names of their methods, with a part of each enlarged.

As Figs. 4 to 6 of the paper. Images and parts are enlarged by whole factors and not smoothed: what
is seen is what is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ugpnet_core.errors import SizeError
from ugpnet_core.image.sheet import Row, compose, enlarged
from ugpnet_core.reports.insets import Inset, choose_inset, inset_side

WISHED_WIDTH = 256  # of a picture in a figure, pixels
MOST_COLUMNS = 6
FRAME_COLOUR = (0.86, 0.15, 0.15)


def comparison_figure(
    images: Mapping[str, Tensor],
    *,
    inset: Inset | tuple[int, int, int] | Literal["auto"] | None = "auto",
    columns: int | None = None,
    scale: int | None = None,
) -> Tensor:
    """One photograph: what each method made of it, row after row.

    Args:
        images: RGB (3, H, W) in [0, 1], all of one size, by the name to show above them.
        inset: left, top and side of the part that is enlarged below each picture; "auto": where
            images differ most; None: no part is.
        columns: pictures in a row; None: at most ``MOST_COLUMNS``, rows of about equal length.
        scale: how many times pictures are enlarged; None: to about ``WISHED_WIDTH`` pixels.

    Returns:
        RGB (3, H', W') in [0, 1] on white.

    Raises:
        SizeError: images differ in size, or the inset lies outside.
    """
    layout = _Layout.of(list(images.values()), scale)
    place = layout.place(images, inset)
    if columns is None:
        columns = -(-len(images) // -(-len(images) // MOST_COLUMNS))
    names = list(images)
    return layout.sheet(
        Row([layout.cell(images[name], place) for name in chunk], chunk)
        for chunk in (names[first:][:columns] for first in range(0, len(names), columns))
    )


def comparison_sheet(
    rows: Sequence[Mapping[str, Tensor]],
    *,
    titles: Sequence[str] | None = None,
    insets: Sequence[Inset | tuple[int, int, int] | Literal["auto"] | None] | None = None,
    scale: int | None = None,
) -> Tensor:
    """Several photographs: one row for each, one column for each method, names on top.

    Args:
        rows: by photograph, what :func:`comparison_figure` takes, all of one size. A method that
            a row lacks leaves its place empty.
        titles: words above each row; None: there are none.
        insets: for each row as in :func:`comparison_figure`; None: "auto" for all.
        scale: as in :func:`comparison_figure`.

    Returns:
        RGB (3, H', W') in [0, 1] on white.

    Raises:
        SizeError: images differ in size, or an inset lies outside.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    layout = _Layout.of([image for row in rows for image in row.values()], scale)
    places = [
        layout.place(row, insets[index] if insets is not None else "auto")
        for index, row in enumerate(rows)
    ]
    shown = [
        Row(
            [layout.cell(row[name], place) if name in row else None for name in names],
            title=titles[index] if titles is not None else "",
        )
        for index, (row, place) in enumerate(zip(rows, places, strict=True))
    ]
    return layout.sheet([Row((), names), *shown])


@dataclass(frozen=True)
class _Layout:
    """Sizes of a figure, in pixels.

    Attributes:
        height, width: of an image.
        scale: how many times a picture is enlarged.
    """

    height: int
    width: int
    scale: int

    @classmethod
    def of(cls, images: Sequence[Tensor], scale: int | None) -> _Layout:
        sizes = {tuple(image.shape[-2:]) for image in images}
        if len(sizes) != 1:
            shown = ", ".join(f"{height}x{width}" for height, width in sorted(sizes)) or "none"
            raise SizeError(f"A figure needs images of one size, not {shown}; resize them first.")
        height, width = sizes.pop()
        return cls(height, width, scale or max(1, round(WISHED_WIDTH / width)))

    @property
    def shown(self) -> int:
        """Width of a picture."""
        return self.width * self.scale

    @property
    def frame(self) -> int:
        """Thickness of a frame."""
        return max(2, round(self.shown / 80))

    def place(
        self,
        images: Mapping[str, Tensor],
        inset: Inset | tuple[int, int, int] | Literal["auto"] | None,
    ) -> Inset | None:
        if inset is None:
            return None
        if inset == "auto":
            side = inset_side(min(self.width, self.height), self.shown)
            return choose_inset(list(images.values()), side)
        place = Inset(*inset)
        if not place.fits(self.height, self.width):
            raise SizeError(
                f"Inset {tuple(place)} (left, top, side) lies outside of images of "
                f"{self.height}x{self.width} pixels; choose one within."
            )
        return place

    def cell(self, image: Tensor, place: Inset | None) -> Tensor:
        """A picture, its part enlarged below it, and room for frames around both."""
        frame = self.frame
        picture = _edged(_enlarged(image, self.scale), frame)
        if place is None:
            return picture
        left, top, side = (value * self.scale for value in place)
        _draw_frame(picture, left + frame, top + frame, side, frame)
        part = _edged(_enlarged(place.cut(image), max(1, self.shown // place.side)), frame)
        _draw_frame(part, frame, frame, part.shape[-1] - 2 * frame, frame)
        spare = picture.shape[-1] - part.shape[-1]
        below = F.pad(part, (spare // 2, spare - spare // 2, 0, 0), value=1.0)
        return torch.cat([picture, below], dim=-2)

    def sheet(self, rows: Iterable[Row]) -> Tensor:
        """Rows from top to bottom, with a margin around all of them."""
        font = max(13, round(self.shown / 15))
        return compose(list(rows), gap=2 * self.frame, font=font)


def _enlarged(image: Tensor, factor: int) -> Tensor:
    return enlarged(image.detach().cpu().float().clamp(0, 1), factor)


def _edged(image: Tensor, edge: int) -> Tensor:
    return F.pad(image, (edge, edge, edge, edge), value=1.0)


def _draw_frame(picture: Tensor, left: int, top: int, side: int, thickness: int) -> None:
    """Colour what lies up to ``thickness`` pixels around a square; all of it is in the picture."""
    rows = slice(top - thickness, top + side + thickness)
    outer = picture[:, rows, left - thickness : left + side + thickness]
    inner = outer[:, thickness:-thickness, thickness:-thickness].clone()
    outer[:] = torch.tensor(FRAME_COLOUR)[:, None, None]
    outer[:, thickness:-thickness, thickness:-thickness] = inner
