"""How much of what the prior adds a photograph wants: more, the more of it was lost.

What x_reg took away from x tells it. Noise alone is known by its estimate; what goes beyond that
(the marks of JPEG, an enlargement) cannot have been settled by a mean of neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from ugpnet_core.faces.face import Face
from ugpnet_core.inference.layers import mean_distance
from ugpnet_core.inference.rows import Rows, TensorRows
from ugpnet_core.inference.scope import Scope
from ugpnet_core.inference.whole import square_of

# About the middle, so that no value of the stand-in for noise is cut at black or white.
_MIDDLE, _SPREAD = 0.5, 0.1


def share_of_photograph(scope: Scope, came: Rows, regression: Rows, noise: float) -> float:
    """Share for all of a photograph.

    Args:
        came: the photograph, at the size of x_reg.
        regression: x_reg.
        noise: standard deviation of the photograph's noise.
    """
    return scope.prior_share(noise, _beyond(mean_distance(came, regression), noise))


def shares_of_faces(
    scope: Scope, came: Rows, regression: Rows, faces: Sequence[Face], noise: float, size: int
) -> list[float]:
    """Share for each face, by what its square of ``size`` pixels, which the prior sees, has lost: a
    large face whose noise is gone when it is reduced to that wants nothing.

    Args:
        faces: in pixels of x_reg.
        came, regression, noise: see :func:`share_of_photograph`.
    """
    return [_share_of(scope, came, regression, face, noise, size) for face in faces]


def _share_of(
    scope: Scope, came: Rows, regression: Rows, face: Face, noise: float, size: int
) -> float:
    left = noise * _left_of_noise(face, size)
    difference = square_of(came, face, size) - square_of(regression, face, size)
    return scope.prior_share(left, _beyond(float(difference.square().mean()), left))


def _left_of_noise(face: Face, size: int) -> float:
    """How strong white noise of standard deviation 1 still is in the square of a face."""
    side = min(face.side, 2.0 * size)  # from there on it falls as the side grows
    middle = math.ceil(side)
    generator = torch.Generator().manual_seed(0)
    white = _MIDDLE + _SPREAD * torch.randn(3, 2 * middle, 2 * middle, generator=generator)
    near = replace(face, x=float(middle), y=float(middle), side=side)
    square = square_of(TensorRows(white), near, size)
    return float(square.std()) / _SPREAD * (side / face.side)


def _beyond(distance: float, noise: float) -> float:
    """Root of what a mean square has beyond that of noise."""
    return math.sqrt(max(distance - noise**2, 0.0))
