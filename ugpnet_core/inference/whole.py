"""The two ways of a whole photograph through a UGPNet.

By faces: the regression network knows no domain and no size, so the restoration module runs over
the whole photograph; the prior knows faces, so those are aligned and go through the whole model.
What the model adds to its own x_reg there, x_hat - x_reg, is added to the photograph's: a face that
is larger than the model keeps all detail of its x_reg, one that is smaller gets what is left of the
addition at its size.

By tiles: a prior without a domain sees the photograph in tiles of its resolution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ugpnet_core.devices import computing_in
from ugpnet_core.faces.alignment import align, paste, scaled
from ugpnet_core.faces.face import Face
from ugpnet_core.image import luma, pad_reflect
from ugpnet_core.inference.colours import fast
from ugpnet_core.inference.tiling import OnTile, run_tiled
from ugpnet_core.networks.ugpnet import UGPNet

# Pixels that are mirrored around an image, so that its border is as good as its inside.
MARGIN = 32
# Sides that the restoration module sees are multiples of this. What a network itself pads to fit
# its levels are zeros, which its means over whole maps take for a part of the image.
MULTIPLE = 32
# Large enough that a tile's border is a small part of it.
TILE = 512
OVERLAP = 64
FACES_AT_ONCE = 4
# Slow colours of x_hat - x_reg are those of a Gaussian of the model's resolution over this.
SLOW = 8


class Parts(NamedTuple):
    """For one photograph, (1, 3, sH, sW) each but the mask.

    Attributes:
        regression: x_reg.
        addition: x_hat - x_reg, without its slow colours.
        synthesis: x_syn - x_reg.
        mask: (1, 1, sH, sW), where the whole model was.
    """

    regression: Tensor
    addition: Tensor
    synthesis: Tensor
    mask: Tensor


def by_faces(
    model: UGPNet,
    x: Tensor,
    regression: Tensor,
    faces: Sequence[Face],
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> Parts:
    """Take the faces of x (1, 3, H, W) through the whole model.

    Args:
        regression: x_reg of the whole photograph, from :func:`regressed`.
        faces: in pixels of x.
        dtype: what the model computes in.
    """
    size = model.resolution // model.scale
    added = []
    for begin in range(0, len(faces), FACES_AT_ONCE):
        cut = align(x[0], faces[begin : begin + FACES_AT_ONCE], size)
        with computing_in(dtype, device):
            output = model(cut.to(device).contiguous(memory_format=torch.channels_last))
        image, own, synthesis = (one.float().cpu() for one in output)
        # Its colours are the regression's: what a prior adds to them at this scale is mottle, and
        # now and then a blue eye.
        addition = luma(fast(image - own, model.resolution / SLOW)).expand_as(own)
        added += list(torch.cat([addition, synthesis - own], 1))
    weighted = [one * sureness(face) for one, face in zip(added, faces, strict=True)]
    places = scaled(faces, model.scale)
    pasted = paste(regression[0].repeat(2, 1, 1), weighted, places) if faces else None
    if pasted is None:
        nothing = torch.zeros_like(regression)
        return Parts(regression, nothing, nothing, nothing[:, :1])
    return Parts(regression, pasted[None, :3], pasted[None, 3:6], pasted[None, 6:])


def sureness(face: Face) -> float:
    """How much of the addition a face gets: none at a score of 0.55, all from 0.9 on.

    Finders are least sure where they are wrong, and a prior for faces has nothing to say there.
    """
    share = min(max((face.score - 0.55) / 0.35, 0.0), 1.0)
    return share * share * (3 - 2 * share)


def by_tiles(
    model: UGPNet,
    x: Tensor,
    device: torch.device,
    stride: int,
    dtype: torch.dtype = torch.float32,
    on_tile: OnTile | None = None,
) -> Parts:
    """Restore x (1, 3, H, W) in tiles of the model's resolution, ``stride`` input pixels apart."""
    size = model.resolution // model.scale
    margin = min(MARGIN, size // 4)

    def run(tiles: Tensor) -> tuple[Tensor, ...]:
        with computing_in(dtype, device):
            output: tuple[Tensor, ...] = model(tiles.contiguous(memory_format=torch.channels_last))
        return output

    image, regression, synthesis = _with_margin(
        lambda padded: run_tiled(
            run,
            padded,
            tile=size,
            scale=model.scale,
            stride=stride,
            device=device,
            on_tile=on_tile,
        ),
        x,
        margin,
        model.scale,
    )
    addition = fast(image - regression, model.resolution / SLOW)
    everywhere = torch.ones_like(regression[:, :1])
    return Parts(regression, addition, synthesis - regression, everywhere)


def regressed(
    model: UGPNet,
    x: Tensor,
    device: torch.device,
    tile: int = TILE,
    dtype: torch.dtype = torch.float32,
    on_tile: OnTile | None = None,
) -> Tensor:
    """x_reg (1, 3, sH, sW) of a whole photograph x (1, 3, H, W).

    Args:
        tile: pixels of a side that the restoration module sees at once.
        dtype: what it computes in.
        on_tile: see :func:`run_tiled`.
    """
    restoration = model.restoration
    fixed = getattr(restoration.backbone, "fixed_size", None)
    height, width = (side + 2 * MARGIN for side in x.shape[-2:])
    # As large as can be, and square only where a network insists.
    tile = max(MULTIPLE, tile // MULTIPLE * MULTIPLE)
    height, width = (min(-(-side // MULTIPLE) * MULTIPLE, tile) for side in (height, width))
    sides = (fixed, fixed) if fixed is not None else (height, width)
    step = max(min(sides) // 2, min(sides) - OVERLAP)
    if fixed is not None:
        step = fixed * 3 // 4

    def run(tiles: Tensor) -> tuple[Tensor, ...]:
        with computing_in(dtype, device):
            return (restoration(tiles.contiguous(memory_format=torch.channels_last)).image,)

    (image,) = _with_margin(
        lambda padded: run_tiled(
            run,
            padded,
            tile=sides,
            scale=model.scale,
            stride=step,
            batch_size=1,
            device=device,
            on_tile=on_tile,
        ),
        x,
        MARGIN,
        model.scale,
        MULTIPLE,
    )
    return image


def _with_margin(
    network: Callable[[Tensor], tuple[Tensor, ...]],
    x: Tensor,
    margin: int,
    scale: int,
    multiple: int = 1,
) -> tuple[Tensor, ...]:
    """What a network makes of x (1, 3, H, W), mirrored around it by a margin of input pixels, and
    at the right and the bottom on to a multiple."""
    below, right = (margin + -(side + 2 * margin) % multiple for side in x.shape[-2:])
    padded = pad_reflect(x, margin, right, margin, below, edge=True)
    height, width = (side * scale for side in x.shape[-2:])
    begin = margin * scale
    return tuple(one[..., begin : begin + height, begin : begin + width] for one in network(padded))
