"""Restored images side by side under the names of their methods, with a part of each enlarged.

As Figs. 4 to 6 of the paper. Images and parts are enlarged by whole factors and not smoothed: what
is seen is what is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ugpnet_core.errors import SizeError
from ugpnet_core.image.lettering import lettering
from ugpnet_core.reports.insets import Inset, choose_inset, inset_side

WISHED_WIDTH = 256  # of a picture in a figure, pixels
MOST_COLUMNS = 6
FRAME_COLOUR = (0.86, 0.15, 0.15)
_INK = 0.12  # grey level of words


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
    cells = [(name, layout.cell(image, place)) for name, image in images.items()]
    if columns is None:
        columns = -(-len(cells) // -(-len(cells) // MOST_COLUMNS))
    bands = []
    for first in range(0, len(cells), columns):
        row = cells[first : first + columns]
        bands += [layout.captions([name for name, _ in row]), _row([cell for _, cell in row])]
    return layout.sheet(bands)


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
    bands = [layout.captions(names)]
    for index, row in enumerate(rows):
        place = layout.place(row, insets[index] if insets is not None else "auto")
        if titles is not None:
            bands.append(layout.title(titles[index], len(names)))
        empty = torch.ones_like(layout.cell(next(iter(row.values())), place))
        cells = [layout.cell(row[name], place) if name in row else empty for name in names]
        bands.append(_row(cells))
    return layout.sheet(bands)


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

    @property
    def edge(self) -> int:
        """What is left free around every picture, its frame included."""
        return 2 * self.frame

    @property
    def font(self) -> int:
        return max(13, round(self.shown / 15))

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
        """A picture, its part enlarged below it, and a free edge around both."""
        picture = _edged(_enlarged(image, self.scale), self.edge)
        if place is None:
            return picture
        left, top, side = (value * self.scale for value in place)
        _draw_frame(picture, left + self.edge, top + self.edge, side, self.frame)
        part = _enlarged(place.cut(image), max(1, self.shown // place.side))
        below = torch.ones(3, part.shape[-1] + self.edge, picture.shape[-1])
        left = (picture.shape[-1] - part.shape[-1]) // 2
        below[:, : part.shape[-1], left : left + part.shape[-1]] = part
        below = torch.nn.functional.pad(below, (0, 0, self.frame, 0), value=1.0)
        _draw_frame(below, left, self.frame, part.shape[-1], self.frame)
        return torch.cat([picture[:, : -self.frame], below], dim=-2)

    def captions(self, names: Sequence[str]) -> Tensor:
        """A line of names, each above the cell of its column."""
        edge = self.edge
        inks = [lettering(name, self.shown, self.font) for name in names]
        band = torch.ones(max(ink.shape[0] for ink in inks), len(inks) * (self.shown + 2 * edge))
        for index, ink in enumerate(inks):
            left = index * (self.shown + 2 * edge) + edge
            # Names of fewer lines stand close to their pictures.
            band[band.shape[0] - ink.shape[0] :, left : left + self.shown] -= (1 - _INK) * ink
        return band.expand(3, -1, -1)

    def title(self, text: str, columns: int) -> Tensor:
        """A line of words above a row."""
        ink = lettering(text, columns * (self.shown + 2 * self.edge), self.font)
        spaced = torch.nn.functional.pad(ink, (0, 0, self.font // 2, 0))
        return (1 - (1 - _INK) * spaced).expand(3, -1, -1)

    def sheet(self, bands: Sequence[Tensor]) -> Tensor:
        """Rows from top to bottom, with a margin around all of them."""
        widest = max(band.shape[-1] for band in bands)
        whole = [torch.ones(3, band.shape[-2], widest) for band in bands]
        for target, band in zip(whole, bands, strict=True):
            target[..., : band.shape[-1]] = band
        return _edged(torch.cat(whole, dim=-2), self.edge)


def _row(cells: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(cells), dim=-1)


def _enlarged(image: Tensor, factor: int) -> Tensor:
    pixels = image.detach().cpu().float().clamp(0, 1)
    return pixels.repeat_interleave(factor, -2).repeat_interleave(factor, -1)


def _edged(image: Tensor, edge: int) -> Tensor:
    return torch.nn.functional.pad(image, (edge, edge, edge, edge), value=1.0)


def _draw_frame(picture: Tensor, left: int, top: int, side: int, thickness: int) -> None:
    """Colour what lies up to ``thickness`` pixels around a square; all of it is in the picture."""
    rows = slice(top - thickness, top + side + thickness)
    outer = picture[:, rows, left - thickness : left + side + thickness]
    inner = outer[:, thickness:-thickness, thickness:-thickness].clone()
    outer[:] = torch.tensor(FRAME_COLOUR)[:, None, None]
    outer[:, thickness:-thickness, thickness:-thickness] = inner
