"""The two ways of a whole photograph through a UGPNet.

By faces: the regression network knows no domain and no size, so the restoration module runs over
the whole photograph; the prior knows faces, so those are aligned and go through the whole model.
What the model adds to its own x_reg there, x_hat - x_reg, is added to the photograph's: a face that
is larger than the model keeps all detail of its x_reg, one that is smaller gets what is left of the
addition at its size.

By tiles: a prior without a domain sees the photograph in tiles of its resolution.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ugpnet_core.devices import computing_in, give_back_memory
from ugpnet_core.faces.alignment import Pasted, align, reached, scaled
from ugpnet_core.faces.face import Face
from ugpnet_core.image import luma
from ugpnet_core.inference.colours import fast
from ugpnet_core.inference.rows import Rows, TensorRows
from ugpnet_core.inference.statistics import Moments, Statistics, statistics_of
from ugpnet_core.inference.tiling import OnTile, Tiling, joined, tiled_rows
from ugpnet_core.networks.ugpnet import UGPNet

# Pixels that are mirrored around an image, so that its border is as good as its inside.
MARGIN = 32
# Sides that the restoration module sees are multiples of this. What a network itself pads to fit
# its levels are zeros, which its means over whole maps take for a part of the image.
MULTIPLE = 32
# Large enough that a tile's border is a small part of it.
TILE = 512
OVERLAP = 64
# How many times the pixels of a tile a photograph may have that is not cut: a few tiles, with what
# of them overlaps, take twice the time. Free memory is reckoned for that.
UNCUT = 2
FACES_AT_ONCE = 4
# Slow colours of x_hat - x_reg are those of a Gaussian of the model's resolution over this.
SLOW = 8


def by_faces(
    model: UGPNet,
    source: Rows,
    faces: Sequence[Face],
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> Pasted:
    """Take the faces of a photograph through the whole model.

    Args:
        faces: in pixels of the source.
        dtype: what the model computes in.

    Returns:
        for the restored photograph, seven channels: x_hat - x_reg without its slow colours,
        x_syn - x_reg, and the mask, where the whole model was.
    """
    size = model.resolution // model.scale
    added: list[Tensor] = []
    for begin in range(0, len(faces), FACES_AT_ONCE):
        some = faces[begin : begin + FACES_AT_ONCE]
        cut = torch.stack([square_of(source, face, size) for face in some])
        with computing_in(dtype, device):
            output = model(cut.to(device).contiguous(memory_format=torch.channels_last))
        image, own, synthesis = (one.float().cpu() for one in output)
        # Its colours are the regression's: what a prior adds to them at this scale is mottle, and
        # now and then a blue eye.
        addition = luma(fast(image - own, model.resolution / SLOW)).expand_as(own)
        added += list(torch.cat([addition, synthesis - own], 1))
    weighted = [one * sureness(face) for one, face in zip(added, faces, strict=True)]
    return _pasted(model, source, faces, weighted)


def nothing_added(model: UGPNet, source: Rows, faces: Sequence[Face]) -> Pasted:
    """What :func:`by_faces` returns, without what the model would add: where nothing of it is
    wanted, the model need not run."""
    size = model.resolution
    return _pasted(model, source, faces, [torch.zeros(6, size, size)] * len(faces))


def _pasted(
    model: UGPNet, source: Rows, faces: Sequence[Face], patches: Sequence[Tensor]
) -> Pasted:
    large = source.height * model.scale, source.width * model.scale
    return Pasted(patches, scaled(faces, model.scale), 6, large)


def sureness(face: Face) -> float:
    """How much of the addition a face gets: none at a score of 0.55, all from 0.9 on.

    Finders are least sure where they are wrong, and a prior for faces has nothing to say there.
    """
    share = min(max((face.score - 0.55) / 0.35, 0.0), 1.0)
    return share * share * (3 - 2 * share)


def by_tiles(
    model: UGPNet,
    source: Rows,
    device: torch.device,
    stride: int,
    dtype: torch.dtype = torch.float32,
    batch_size: int = 4,
    on_tile: OnTile | None = None,
) -> Iterator[tuple[int, tuple[Tensor, ...]]]:
    """Rows of x_hat, x_reg and x_syn of a photograph that is restored in tiles of the model's
    resolution, ``stride`` input pixels apart; see :func:`tiled_rows`."""
    size = model.resolution // model.scale

    def run(tiles: Tensor) -> tuple[Tensor, ...]:
        with computing_in(dtype, device):
            output: tuple[Tensor, ...] = model(tiles.contiguous(memory_format=torch.channels_last))
        return output

    tiling = Tiling(size, size, model.scale, stride, batch_size, margin=min(MARGIN, size // 4))
    return tiled_rows(run, source, tiling, device, on_tile)


def regressed_rows(
    model: UGPNet,
    source: Rows,
    device: torch.device,
    tile: int = TILE,
    dtype: torch.dtype = torch.float32,
    on_tile: OnTile | None = None,
) -> Iterator[tuple[int, tuple[Tensor, ...]]]:
    """Rows of x_reg of a whole photograph; see :func:`tiled_rows`.

    Args:
        tile: pixels of a side that the restoration module sees at once.
        dtype: what it computes in.
    """
    restoration = model.restoration
    given: Sequence[Moments] = ()

    def run(tiles: Tensor) -> tuple[Tensor, ...]:
        tiles = tiles.to(device).contiguous(memory_format=torch.channels_last)
        with computing_in(dtype, device), Statistics(given) if given else nullcontext():
            return (restoration(tiles).image,)

    fixed = getattr(restoration.backbone, "fixed_size", None)
    height, width = (fixed, fixed) if fixed is not None else _sides(source, tile)
    if fixed is None and (height, width) != (_padded(source.height), _padded(source.width)):
        given = statistics_of(run, source)
        give_back_memory()  # maps of tiles do not fit where those of its squares were
    strides = None  # a quarter of tiles of a fixed size overlaps
    if fixed is None:
        strides = max(height // 2, height - OVERLAP), max(width // 2, width - OVERLAP)
    tiling = Tiling(
        height, width, model.scale, strides, batch_size=1, margin=MARGIN, multiple=MULTIPLE
    )
    return tiled_rows(run, source, tiling, device, on_tile)


def regressed(
    model: UGPNet,
    x: Tensor,
    device: torch.device,
    tile: int = TILE,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """x_reg (1, 3, sH, sW) of a whole photograph x (1, 3, H, W); see :func:`regressed_rows`."""
    rows = regressed_rows(model, TensorRows(x[0]), device, tile, dtype)
    return joined(rows)[0][None]


def _sides(source: Rows, tile: int) -> tuple[int, int]:
    """Height and width of tiles: as few as can be, and no larger than they have to be for that;
    those of the photograph where it is not cut."""
    tile = max(MULTIPLE, tile // MULTIPLE * MULTIPLE)
    height, width = _padded(source.height), _padded(source.width)
    if height * width <= UNCUT * tile * tile:
        return height, width

    def side(size: int) -> int:
        overlap = min(OVERLAP, tile // 2)
        count = max(1, math.ceil((size - overlap) / (tile - overlap)))
        return _multiple(math.ceil((size + (count - 1) * overlap) / count))

    return side(height), side(width)


def _padded(size: int) -> int:
    """A side of a photograph with its margins."""
    return _multiple(size + 2 * MARGIN)


def _multiple(size: int) -> int:
    return -(-size // MULTIPLE) * MULTIPLE


def square_of(source: Rows, face: Face, size: int) -> Tensor:
    """The square of a face, (3, size, size), upright; of one that is much larger, means of pixels
    are taken first, a few rows at a time."""
    top, bottom, left, right = reached(face, source.height, source.width)
    if top >= bottom or left >= right:
        top, bottom, left, right = 0, source.height, 0, source.width
    pool = 2 ** max(0, int(math.log2(face.side / size)) - 1)
    step = pool * max(1, 128 // pool)
    parts = []
    for first in range(top, bottom, step):
        rows = source.band(first, min(first + step, bottom))[:, :, left:right]
        parts.append(F.avg_pool2d(rows, pool, ceil_mode=True, count_include_pad=False))
    near = replace(face, x=(face.x - left) / pool, y=(face.y - top) / pool, side=face.side / pool)
    return align(torch.cat(parts, -2), [near], size)[0]
