"""How much of what the prior adds a photograph wants: more, the more of it was lost.

What x_reg took away from x tells it. Noise alone is known by its estimate; what goes beyond that
(the marks of JPEG, an enlargement) cannot have been settled by a mean of neighbours.
"""

from __future__ import annotations

import math
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
    if scope.is_of_one_strength:  # nothing has to be looked at
        return scope.prior_share(noise, 0)
    return scope.prior_share(noise, mean_distance(came, regression))


def share_of_face(
    scope: Scope, came: Rows, regression: Rows, face: Face, noise: float, size: int
) -> float:
    """Share for a face, by what its square of ``size`` pixels, which the prior sees, has lost: a
    large face whose noise is gone when it is reduced to that wants nothing.

    Args:
        face: in pixels of x_reg.
        came, regression, noise: see :func:`share_of_photograph`.
    """
    if scope.is_of_one_strength:
        return scope.prior_share(noise, 0)
    difference = square_of(came, face, size) - square_of(regression, face, size)
    left = noise * _left_of_noise(face, size)
    return scope.prior_share(left, float(difference.square().mean()))


def _left_of_noise(face: Face, size: int) -> float:
    """How strong white noise of standard deviation 1 still is in the square of a face."""
    side = min(face.side, 2.0 * size)  # from there on it falls as the side grows
    middle = math.ceil(side)
    generator = torch.Generator().manual_seed(0)
    white = _MIDDLE + _SPREAD * torch.randn(3, 2 * middle, 2 * middle, generator=generator)
    near = replace(face, x=float(middle), y=float(middle), side=side)
    square = square_of(TensorRows(white), near, size)
    return float(square.std()) / _SPREAD * (side / face.side)
