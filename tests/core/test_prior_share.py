"""How much of what the prior adds a photograph and its faces want."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ugpnet_core.faces.face import Face
from ugpnet_core.inference.prior_share import share_of_face, share_of_photograph
from ugpnet_core.inference.rows import TensorRows
from ugpnet_core.inference.scope import MOST, Scope

SIZE = 64
EVERY = Scope(0.0, 0.3)
FACE = Face(x=100.0, y=90.0, side=80.0, angle=0.2)


def _flat(height: int = 200, width: int = 220) -> Tensor:
    return torch.full((3, height, width), 0.5)


def _noise(image: Tensor, sigma: float) -> Tensor:
    return image + sigma * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))


def _blocks(image: Tensor, height: float) -> Tensor:
    """Marks of 8x8 blocks, which no estimate of noise sees."""
    signs = (-1.0) ** (torch.arange(image.shape[-1]) // 8)
    return image + height * signs


def _share(came: Tensor, regression: Tensor, noise: float, face: Face = FACE) -> float:
    rows = TensorRows(came), TensorRows(regression)
    return share_of_face(EVERY, *rows, face, noise, SIZE)


@pytest.mark.parametrize("sigma", [0.0, 0.02, 0.04])
def test_weak_noise_alone_wants_nothing(sigma: float) -> None:
    came = TensorRows(_noise(_flat(), sigma))
    assert share_of_photograph(EVERY, came, TensorRows(_flat()), sigma) < 0.1
    assert _share(came.image, _flat(), sigma) < 0.1


@pytest.mark.parametrize("sigma", [0.0, 0.02])
def test_what_was_lost_beyond_noise_wants_the_prior(sigma: float) -> None:
    came = TensorRows(_noise(_blocks(_flat(), 0.03), sigma))
    assert share_of_photograph(EVERY, came, TensorRows(_flat()), sigma) == MOST
    assert _share(came.image, _flat(), sigma) == MOST


def test_noise_that_the_size_of_a_face_settles_wants_nothing() -> None:
    came = _noise(_flat(700, 700), 0.14)
    small, large = (Face(x=350.0, y=350.0, side=side, angle=0.2) for side in (60.0, 600.0))
    assert _share(came, _flat(700, 700), 0.14, small) > 0.4
    assert _share(came, _flat(700, 700), 0.14, large) < 0.1


def test_a_face_is_judged_by_itself() -> None:
    came = _flat()
    came[:, :, 160:] = _blocks(came, 0.1)[:, :, 160:]
    far = Face(x=190.0, y=100.0, side=40.0, angle=0.0)
    assert _share(came, _flat(), 0.0, FACE) < 0.1
    assert _share(came, _flat(), 0.0, far) == MOST


def test_a_model_of_one_strength_wants_all_of_it() -> None:
    rows = TensorRows(_flat())
    assert share_of_face(Scope(0.25, 0.35), rows, rows, FACE, 0.1, SIZE) == 1
    assert share_of_photograph(Scope(0.25, 0.35), rows, rows, 0.1) == 1
