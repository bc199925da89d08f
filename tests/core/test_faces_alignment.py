from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ugpnet_core.faces.alignment import align, paste, scaled, soft_mask
from ugpnet_core.faces.face import Face


def waves(height: int, width: int, turn: float = 0.0) -> Tensor:
    """Smooth content that no two places share, (3, H, W) in [0, 1]."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack([0.5 + 0.5 * torch.sin(f * x / 17 + y / (13 + f) + turn) for f in (1, 2, 3)])


def test_an_upright_square_of_the_same_size_is_cut_out_as_it_is() -> None:
    image = waves(80, 90)
    (cut,) = align(image, [Face(x=50, y=40, side=32, angle=0)], 32)
    assert (cut - image[:, 24:56, 34:66]).abs().max() < 1e-5


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns(turns: int) -> None:
    image = waves(64, 64)
    (cut,) = align(image, [Face(x=32, y=32, side=64, angle=turns * math.pi / 2)], 64)
    # A head that is turned clockwise is set upright by turning the picture the other way.
    assert (cut - torch.rot90(image, turns, (-2, -1))).abs().max() < 1e-4


@pytest.mark.parametrize("side", [24.0, 40.0, 100.0])
@pytest.mark.parametrize("angle", [0.0, 0.5, -0.3])
def test_what_is_pasted_lies_where_it_was_cut_out(side: float, angle: float) -> None:
    image = waves(160, 170)
    face = Face(x=80.3, y=76.8, side=side, angle=angle)
    there = paste(image, list(align(image, [face], 40)), [face])
    mask = there[3]
    inside = mask > 0.99
    assert inside.sum() > 0.3 * side * side
    assert (there[:3] - image)[:, inside].abs().max() < 0.06
    assert mask.max() <= 1
    assert mask[0].max() == 0


def test_faces_that_overlap_are_averaged() -> None:
    canvas = torch.zeros(3, 60, 60)
    faces = [Face(30, 30, 40, 0.0), Face(34, 30, 40, 0.0)]
    there = paste(canvas, [torch.full((3, 16, 16), 0.2), torch.full((3, 16, 16), 0.6)], faces)
    assert there[:3].max() <= 0.6
    assert float(there[0, 30, 32]) == pytest.approx(0.4, abs=1e-3)


@pytest.mark.parametrize("face", [Face(0, 0, 30, 0.2), Face(-100, 500, 20, 0), Face(2, 2, 500, 1)])
@pytest.mark.parametrize("size", [(1, 1), (3, 7), (40, 40)])
def test_faces_at_and_beyond_the_border(face: Face, size: tuple[int, int]) -> None:
    image = waves(*size)
    (cut,) = align(image, [face], 16)
    assert cut.isfinite().all()
    assert 0 <= float(cut.min()) <= float(cut.max()) <= 1
    assert paste(image, [cut], [face]).isfinite().all()


def test_masks_are_smooth_and_symmetric() -> None:
    mask = soft_mask(48)
    assert (mask - mask.flip(0)).abs().max() < 1e-6
    assert torch.equal(mask, mask.T)
    assert float(mask[24, 24]) == 1
    assert mask[0].max() < 0.02
    assert (mask[1:] - mask[:-1]).abs().max() < 0.25


def test_scaled() -> None:
    (face,) = scaled([Face(1, 2, 3, 0.4, 0.5)], 2)
    assert face == Face(2, 4, 6, 0.4, 0.5)
