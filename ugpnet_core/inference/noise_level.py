"""How much noise there is in a photograph, without knowing the photograph."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Of the blocks, this share with the least variation is believed to be free of texture.
SMOOTHEST = 0.2
# And before that, this share with the fewest pixels at black or white.
LEAST_CLIPPED = 1 / 3
BLOCK = 8
# Standard normal: the median of |n|.
_MEDIAN = 0.6745


def noise_level(image: Tensor) -> float:
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
    height, width = (side // 2 * 2 for side in image.shape[-2:])
    if min(height, width) < 4:
        return 0.0
    x = image[:, :height, :width]
    diagonal = (x[:, ::2, ::2] - x[:, 1::2, ::2] - x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 2
    rows, columns = (min(BLOCK, side) for side in diagonal.shape[-2:])

    def blocks(values: Tensor) -> Tensor:
        return F.unfold(values.unsqueeze(1), (rows, columns), stride=(rows, columns))

    # (3, pixels, blocks) -> the median of each block of each channel
    medians = blocks(diagonal.abs()).median(dim=1).values.mean(0)
    ends = ((x <= 0) | (x >= 1)).float()
    clipped = blocks(F.avg_pool2d(ends, 2)).mean((0, 1))
    open_ = clipped <= clipped.quantile(LEAST_CLIPPED)
    some = medians[open_ & (medians > 1e-4)]
    if not len(some):
        return 0.0
    chosen = some.sort().values[: max(1, round(SMOOTHEST * len(some)))].mean()
    return float(chosen) / (_MEDIAN * _CHOICE)


def _choice() -> float:
    """How much smaller than all the chosen blocks' medians are where there is noise alone."""
    rng = torch.Generator().manual_seed(0)
    noise = torch.randn(3, 4000, BLOCK * BLOCK, generator=rng).abs()
    medians = noise.median(dim=-1).values.mean(0).sort().values
    return float(medians[: round(SMOOTHEST * len(medians))].mean()) / _MEDIAN


_CHOICE = _choice()
