"""How much noise there is in a photograph, without knowing the photograph."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ugpnet_core.inference.rows import Rows, TensorRows, bands

# Of the blocks, this share with the least variation is believed to be free of texture.
SMOOTHEST = 0.2
# And before that, this share with the fewest pixels at black or white.
LEAST_CLIPPED = 1 / 3
BLOCK = 8
# Standard normal: the median of |n|.
_MEDIAN = 0.6745


def noise_level(image: Tensor | Rows) -> float:
    """Estimate the standard deviation of the noise of an image, white being 1.

    The diagonal Haar coefficients (a - b - c + d) / 2 of independent noise have its standard
    deviation, and those of smooth content next to nothing. Their median magnitude is taken over
    the fifth of blocks where it is smallest but not nil, as in cartoons, and corrected for having
    chosen the smallest. Only the third of all blocks is looked at where least is black or white,
    as clipped noise is weaker. Coarse noise is underestimated.

    Args:
        image: (3, H, W), float32 in [0, 1], of any size.

    Returns:
        a number from 0 on; 0 for images under 4 pixels.
    """
    source = TensorRows(image) if isinstance(image, Tensor) else image
    size = source.height // 2, source.width // 2
    if min(size) < 2:
        return 0.0
    block = min(BLOCK, size[0]), min(BLOCK, size[1])
    across = size[1] // block[1]
    # Made before all else: small results between large maps leave holes that no map fits into.
    medians, clipped = torch.empty(2, size[0] // block[0] * across)
    begin = 0
    for top, bottom in bands(source.height):
        if (bottom - top) // 2 >= block[0]:
            found = _blocks(source.band(top, bottom), block)
            end = begin + len(found[0])
            medians[begin:end], clipped[begin:end] = found
            begin = end
    # torch.quantile takes no more than 16 million numbers.
    limit = clipped.kthvalue(max(1, round(LEAST_CLIPPED * len(clipped)))).values
    some = medians[(clipped <= limit) & (medians > 1e-4)]
    if not len(some):
        return 0.0
    chosen = some.sort().values[: max(1, round(SMOOTHEST * len(some)))].mean()
    return float(chosen) / (_MEDIAN * _CHOICE)


def _blocks(band: Tensor, block: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """For each block of (3, H, W): the median magnitude of its diagonal coefficients, and its share
    of pixels that are black or white."""
    height, width = (side // 2 * 2 for side in band.shape[-2:])
    x = band[:, :height, :width]
    diagonal = (x[:, ::2, ::2] - x[:, 1::2, ::2] - x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 2
    ends = ((x <= 0) | (x >= 1)).float()

    def unfolded(values: Tensor) -> Tensor:  # (3, pixels, blocks)
        return F.unfold(values.unsqueeze(1), block, stride=block)

    medians = unfolded(diagonal.abs()).median(dim=1).values.mean(0)
    return medians, unfolded(F.avg_pool2d(ends, 2)).mean((0, 1))


def _choice() -> float:
    """How much smaller than all the chosen blocks' medians are where there is noise alone."""
    rng = torch.Generator().manual_seed(0)
    noise = torch.randn(3, 4000, BLOCK * BLOCK, generator=rng).abs()
    medians = noise.median(dim=-1).values.mean(0).sort().values
    return float(medians[: round(SMOOTHEST * len(medians))].mean()) / _MEDIAN


_CHOICE = _choice()
