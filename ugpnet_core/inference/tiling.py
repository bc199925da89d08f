"""Images of any size through a network that takes one size: padding, tiles, blending.

Neighbouring tiles overlap and are blended with raised-cosine windows that add up to one at every
pixel, so what a flat image gives does not depend on where its tiles fall. Tiles go through the
network a few at a time and are added up on the CPU: memory grows by the outputs only.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

from ugpnet_core.errors import SizeError
from ugpnet_core.image import pad_reflect

Network = Callable[[Tensor], tuple[Tensor, ...]]
OnTile = Callable[[int, int], None]
"""Is told how many tiles of an image are done, and how many there are."""

T = TypeVar("T")


def run_tiled(
    network: Network,
    images: Tensor,
    *,
    tile: int | tuple[int, int],
    scale: int = 1,
    stride: int | None = None,
    batch_size: int = 4,
    device: torch.device | str = "cpu",
    on_tile: OnTile | None = None,
) -> tuple[Tensor, ...]:
    """Apply a network that takes tiles of one size to images of any size.

    An image smaller than the tile is padded by reflection, evenly, and cropped afterwards.

    Args:
        network: (n, 3, *tile) to any number of outputs whose sides are ``scale`` times as long.
        images: (N, 3, H, W), float32.
        tile: side of the tiles, input pixels; or their height and width.
        scale: how many times larger an output is than its input.
        stride: largest distance between neighbouring tiles, input pixels, at most the smaller
            side of a tile (default: three quarters of that, so that a quarter overlaps).
        batch_size: tiles that are in the network at once.
        device: where the network is.
        on_tile: is called after every few tiles.

    Returns:
        One (N, 3, H * scale, W * scale) float32 CPU tensor for each output.

    Raises:
        SizeError: an image without pixels, or a stride that is not in 1 .. tile.
    """
    rows_high, columns_wide = (tile, tile) if isinstance(tile, int) else tile
    least = min(rows_high, columns_wide)
    step = max(1, least * 3 // 4) if stride is None else stride
    if not 1 <= step <= least:
        raise SizeError(f"Tiles of {least} pixels need a stride from 1 to {least}, not {step}.")
    count, _, height, width = images.shape
    if not images.numel():
        raise SizeError(f"There are no pixels in images of shape {tuple(images.shape)}.")
    top, bottom = _margins(height, rows_high)
    left, right = _margins(width, columns_wide)
    padded = pad_reflect(images, left, right, top, bottom)
    rows = _placed(padded.shape[-2], rows_high, step, scale)
    columns = _placed(padded.shape[-1], columns_wide, step, scale)
    sums: tuple[Tensor, ...] = ()
    done = 0
    for batch in _batches(itertools.product(range(count), rows, columns), batch_size):
        inputs = [
            padded[i, :, y : y + rows_high, x : x + columns_wide] for i, (y, _), (x, _) in batch
        ]
        outputs = network(torch.stack(inputs).to(device))
        if not sums:
            size = [side * scale for side in padded.shape[-2:]]
            sums = tuple(torch.zeros(count, 3, *size) for _ in outputs)
        for total, output in zip(sums, outputs, strict=True):
            restored = output.detach().to("cpu", torch.float32)
            for (i, (y, down), (x, across)), one in zip(batch, restored, strict=True):
                there = total[i, :, y * scale :, x * scale :]
                there = there[:, : rows_high * scale, : columns_wide * scale]
                there += one * down[:, None] * across[None, :]
        done += len(batch)
        if on_tile is not None:
            on_tile(done, count * len(rows) * len(columns))
    y, x = top * scale, left * scale
    return tuple(total[..., y : y + height * scale, x : x + width * scale] for total in sums)


def positions(size: int, tile: int, stride: int) -> list[int]:
    """Where tiles begin so that they cover ``size``: evenly spread, at most ``stride`` apart,
    the first at 0 and the last flush with the end."""
    steps = math.ceil((size - tile) / stride)
    return [round(i * (size - tile) / steps) for i in range(steps + 1)] if steps > 0 else [0]


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


def _margins(size: int, tile: int) -> tuple[int, int]:
    missing = max(0, tile - size)
    return missing // 2, missing - missing // 2


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
