"""Small random movements of a pair, which teach the encoder where things may lie."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

SCALES = (7 / 8, 9 / 8)
DEGREES = 5.0
SHIFT = 1 / 16
# The published training's shifts, across and down: 128 and 50 pixels of 512.
PUBLISHED_SHIFTS = (128 / 512, 50 / 512)
Style = Literal["toolkit", "published"]
OUTSIDE: Mapping[Style, str] = {"toolkit": "reflection", "published": "zeros"}


def draw_movements(count: int, style: Style = "toolkit") -> Tensor:
    """Scaling (7/8 to 9/8), a shift (up to 1/16 of the side) or a rotation (up to 5 degrees).

    One of the three is drawn for each image, from torch's global generator.

    Args:
        style: as the published training does it, one is drawn for all images together, and shifts
            go up to 1/4 of the side across and 50/512 down.

    Returns:
        (count, 2, 3): from where in the image each place is taken, counted in half sides.
    """
    drawn = count if style == "toolkit" else 1
    choice = torch.randint(3, (drawn,))
    amount = torch.rand(drawn, 2)
    reach = torch.tensor((SHIFT, SHIFT) if style == "toolkit" else PUBLISHED_SHIFTS)
    scale = torch.where(choice == 0, SCALES[0] + (SCALES[1] - SCALES[0]) * amount[:, 0], 1.0)
    angle = torch.where(choice == 1, math.radians(DEGREES) * (2 * amount[:, 0] - 1), 0.0)
    shift = torch.where((choice == 2)[:, None], 2 * reach * (2 * amount - 1), 0.0)
    cosine, sine = angle.cos() / scale, angle.sin() / scale
    movements = torch.stack(
        [
            torch.stack([cosine, -sine, shift[:, 0]], dim=1),
            torch.stack([sine, cosine, shift[:, 1]], dim=1),
        ],
        dim=1,
    )
    return movements.expand(count, -1, -1)


def move_together(
    first: Tensor, second: Tensor, movements: Tensor, style: Style = "toolkit"
) -> tuple[Tensor, Tensor]:
    """Move both images of each pair alike. Borders are mirrored; in the published training what
    lies outside is black.

    Args:
        first: (N, 3, H, W), in any range.
        second: of the same shape.
        movements: (N, 2, 3), from :func:`draw_movements`.
    """
    grid = F.affine_grid(movements.to(first), list(first.shape), align_corners=False)
    moved = F.grid_sample(
        torch.cat([first, second], dim=1), grid, padding_mode=OUTSIDE[style], align_corners=False
    )
    return moved[:, :3], moved[:, 3:]
