"""Small random movements of a pair, which teach the encoder where things may lie."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

SCALES = (7 / 8, 9 / 8)
DEGREES = 5.0
SHIFT = 1 / 16


def draw_movements(count: int) -> Tensor:
    """Scaling (7/8 to 9/8), a shift (up to 1/16 of the side) or a rotation (up to 5 degrees).

    One of the three is drawn for each image, from torch's global generator.

    Returns:
        (count, 2, 3): from where in the image each place is taken, counted in half sides.
    """
    choice = torch.randint(3, (count,))
    amount = torch.rand(count, 2)
    scale = torch.where(choice == 0, SCALES[0] + (SCALES[1] - SCALES[0]) * amount[:, 0], 1.0)
    angle = torch.where(choice == 1, math.radians(DEGREES) * (2 * amount[:, 0] - 1), 0.0)
    shift = torch.where((choice == 2)[:, None], 2 * SHIFT * (2 * amount - 1), 0.0)
    cosine, sine = angle.cos() / scale, angle.sin() / scale
    return torch.stack(
        [
            torch.stack([cosine, -sine, shift[:, 0]], dim=1),
            torch.stack([sine, cosine, shift[:, 1]], dim=1),
        ],
        dim=1,
    )


def move_together(first: Tensor, second: Tensor, movements: Tensor) -> tuple[Tensor, Tensor]:
    """Move both images of each pair alike. Borders are mirrored.

    Args:
        first: (N, 3, H, W), in any range.
        second: of the same shape.
        movements: (N, 2, 3), from :func:`draw_movements`.
    """
    grid = F.affine_grid(movements.to(first), list(first.shape), align_corners=False)
    moved = F.grid_sample(
        torch.cat([first, second], dim=1), grid, padding_mode="reflection", align_corners=False
    )
    return moved[:, :3], moved[:, 3:]
