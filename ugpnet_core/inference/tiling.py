"""Images of any size through a network that takes one size: padding, tiles, blending.

Neighbouring tiles overlap and are blended with raised-cosine windows that add up to one at every
pixel, so what a flat image gives does not depend on where its tiles fall. Tiles go through the
network row by row, and rows of pixels are handed on as soon as no further tile reaches them: memory
holds one row of tiles, however large the image is.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from ugpnet_core.devices import give_back_memory
from ugpnet_core.errors import SizeError
from ugpnet_core.inference.rows import MirroredRows, Rows, TensorRows

Network = Callable[[Tensor], tuple[Tensor, ...]]
OnTile = Callable[[int, int], None]
"""Is told how many tiles of an image are done, and how many there are."""

T = TypeVar("T")

# Tiles of a row after which freed memory goes back: the holes between maps grow with every tile,
# and new pages cost time, about a fiftieth of what these tiles take.
GIVEN_BACK_AFTER = 4


class Tiling(NamedTuple):
    """How an image is cut into tiles.

    Attributes:
        height, width: of a tile, input pixels.
        scale: how many times larger an output is than its input.
        stride: largest distance between neighbouring tiles, down and across or both alike, input
            pixels, at most a tile's side; None is three quarters of that, so that a quarter
            overlaps.
        batch_size: tiles that are in the network at once.
        margin: pixels that are mirrored around the image, their outermost repeated.
        multiple: the sides with their margins are made multiples of this.
    """

    height: int
    width: int
    scale: int = 1
    stride: int | tuple[int, int] | None = None
    batch_size: int = 4
    margin: int = 0
    multiple: int = 1


def run_tiled(
    network: Network,
    images: Tensor,
    *,
    tile: int | tuple[int, int],
    scale: int = 1,
    stride: int | tuple[int, int] | None = None,
    batch_size: int = 4,
    device: torch.device | str = "cpu",
) -> tuple[Tensor, ...]:
    """Apply a network that takes tiles of one size to images of any size.

    An image smaller than the tile is padded by reflection, evenly, and cropped afterwards.

    Args:
        network: (n, 3, *tile) to any number of outputs whose sides are ``scale`` times as long.
        images: (N, 3, H, W), float32.
        tile: side of the tiles, input pixels; or their height and width.
        scale, stride, batch_size: see :class:`Tiling`.
        device: where the network is.

    Returns:
        One (N, 3, H * scale, W * scale) float32 CPU tensor for each output.

    Raises:
        SizeError: an image without pixels, or a stride that is not in 1 .. tile.
    """
    high, wide = (tile, tile) if isinstance(tile, int) else tile
    tiling = Tiling(high, wide, scale, stride, batch_size)
    if not images.numel():
        raise SizeError(f"There are no pixels in images of shape {tuple(images.shape)}.")
    if images.shape[-2] <= high and images.shape[-1] <= wide:
        return _run_whole(network, images, tiling, device)
    found = []
    for image in images:
        found.append(joined(tiled_rows(network, TensorRows(image), tiling, device)))
    return tuple(torch.stack(outputs) for outputs in zip(*found, strict=True))


def tiled_rows(
    network: Network,
    source: Rows,
    tiling: Tiling,
    device: torch.device | str = "cpu",
    on_tile: OnTile | None = None,
) -> Iterator[tuple[int, tuple[Tensor, ...]]]:
    """Apply a network to an image in tiles, and hand on its outputs by rows, from the first on.

    Args:
        network: (n, 3, *tile) to any number of outputs whose sides are ``scale`` times as long.
        source: the image.
        device: where the network is.
        on_tile: is called after every few tiles.

    Yields:
        The number of the first row (of the outputs), and (3, n, W * scale) of each output, which
        are good until the next are asked for.

    Raises:
        SizeError: a stride that is not in 1 .. tile.
    """
    (down, across), scale = _strides(tiling), tiling.scale
    top, bottom = _around(source.height, tiling.height, tiling)
    left, right = _around(source.width, tiling.width, tiling)
    padded = MirroredRows(source, left, right, top, bottom, edge=tiling.margin > 0)
    rows = _placed(padded.height, tiling.height, down, scale)
    columns = _placed(padded.width, tiling.width, across, scale)
    ends = [begin for begin, _ in rows[1:]] + [padded.height]
    wanted = slice(left * scale, (left + source.width) * scale)
    sums: list[Tensor] = []
    done = top * scale
    for number, ((begin, share), end) in enumerate(zip(rows, ends, strict=True)):
        for count in _add_row(network, padded, begin, share, columns, sums, tiling, device):
            if count % GIVEN_BACK_AFTER == 0 and count < len(columns):
                give_back_memory()
            if on_tile is not None:
                on_tile(number * len(columns) + count, len(rows) * len(columns))
        last = min(end, top + source.height) * scale
        if last > done:
            first, behind = done - begin * scale, last - begin * scale
            yield done - top * scale, tuple(total[:, first:behind, wanted] for total in sums)
            done = last
        for total in sums:
            _move_up(total, (end - begin) * scale)
        if len(rows) > 1:
            give_back_memory()


def joined(rows: Iterator[tuple[int, tuple[Tensor, ...]]]) -> list[Tensor]:
    """All rows of :func:`tiled_rows` together: (3, H, W) of each output."""
    parts = [[output.clone() for output in outputs] for _, outputs in rows]
    return [torch.cat(output, -2) for output in zip(*parts, strict=True)]


def positions(size: int, tile: int, stride: int) -> list[int]:
    """Where tiles begin so that they cover ``size``: evenly spread, at most ``stride`` apart,
    the first at 0 and the last flush with the end."""
    steps = math.ceil((size - tile) / stride)
    return [round(i * (size - tile) / steps) for i in range(steps + 1)] if steps > 0 else [0]


def _run_whole(
    network: Network, images: Tensor, tiling: Tiling, device: torch.device | str
) -> tuple[Tensor, ...]:
    """Images that fit into one tile each: many at once."""
    _strides(tiling)
    top, bottom = _around(images.shape[-2], tiling.height, tiling)
    left, right = _around(images.shape[-1], tiling.width, tiling)
    y, x = top * tiling.scale, left * tiling.scale
    height, width = (side * tiling.scale for side in images.shape[-2:])
    found = []
    for batch in images.split(tiling.batch_size):
        padded = [
            MirroredRows(TensorRows(image), left, right, top, bottom).band(0, tiling.height)
            for image in batch
        ]
        outputs = network(torch.stack(padded).to(device))
        found.append([output.detach().to("cpu", torch.float32) for output in outputs])
    joined = [torch.cat(parts) for parts in zip(*found, strict=True)]
    return tuple(whole[..., y : y + height, x : x + width] for whole in joined)


def _add_row(
    network: Network,
    padded: Rows,
    begin: int,
    down: Tensor,
    columns: list[tuple[int, Tensor]],
    sums: list[Tensor],
    tiling: Tiling,
    device: torch.device | str,
) -> Iterator[int]:
    """Add one row of tiles to the sums, (3, tile, W) for each output, which are made if there are
    none; tells how many are done after every few."""
    scale = tiling.scale
    band = padded.band(begin, begin + tiling.height)
    done = 0
    for batch in _batches(columns, tiling.batch_size):
        inputs = [band[:, :, x : x + tiling.width] for x, _ in batch]
        outputs = network(torch.stack(inputs).to(device))
        if not sums:
            size = (tiling.height * scale, padded.width * scale)
            sums += [torch.zeros(3, *size) for _ in outputs]
        for total, output in zip(sums, outputs, strict=True):
            restored = output.detach().to("cpu", torch.float32)
            for (x, across), one in zip(batch, restored, strict=True):
                there = total[:, :, x * scale : (x + tiling.width) * scale]
                there += one * down[:, None] * across[None, :]
        done += len(batch)
        yield done


def _move_up(total: Tensor, rows: int) -> None:
    """Forget the first rows of (3, H, W), and let zeros follow the others."""
    left = total.shape[-2] - rows
    # No larger steps than that, so that nothing is overwritten before it was read.
    for first in range(0, left, rows):
        last = min(first + rows, left)
        total[:, first:last] = total[:, first + rows : last + rows]
    total[:, max(left, 0) :] = 0


def _placed(size: int, tile: int, stride: int, scale: int) -> list[tuple[int, Tensor]]:
    """Every tile's beginning along one side, with its share (tile * scale) of each pixel."""
    side = tile * scale
    # Positive everywhere, and least at the tile's border, where a network knows least.
    window = torch.sin((torch.arange(side, dtype=torch.float64) + 0.5) * (math.pi / side)) ** 2
    begins = positions(size, tile, stride)
    total = torch.zeros(size * scale, dtype=torch.float64)
    for begin in begins:
        total[begin * scale : begin * scale + side] += window
    return [
        (begin, (window / total[begin * scale : begin * scale + side]).float()) for begin in begins
    ]


def _strides(tiling: Tiling) -> tuple[int, int]:
    """Down and across."""
    sides, given = (tiling.height, tiling.width), tiling.stride
    if given is None:
        return max(1, sides[0] * 3 // 4), max(1, sides[1] * 3 // 4)
    strides = (given, given) if isinstance(given, int) else given
    for side, stride in zip(sides, strides, strict=True):
        if not 1 <= stride <= side:
            raise SizeError(f"Tiles of {side} pixels need a stride from 1 to {side}, not {stride}.")
    return strides


def _around(size: int, tile: int, tiling: Tiling) -> tuple[int, int]:
    """Pixels to mirror before and after one side: the margin, up to a multiple, up to a tile."""
    before = after = tiling.margin
    after += -(size + before + after) % tiling.multiple
    missing = max(0, tile - (size + before + after))
    return before + missing // 2, after + missing - missing // 2


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
