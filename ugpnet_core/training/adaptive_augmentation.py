"""Augmentation of what a discriminator sees, as strong as its overfitting asks for.

T. Karras, M. Aittala, J. Hellsten, S. Laine, J. Lehtinen, T. Aila: Training Generative Adversarial
Networks with Limited Data, NeurIPS 2020, https://arxiv.org/abs/2006.06676. Pixel blitting,
geometric and colour transformations (section 2.2 and appendix B), each with probability p, which
follows the mean sign of D(real) (section 3). Geometry is sampled bilinearly here, with mirrored
borders, where the paper filters with wavelets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

EVERY = 4  # iterations between changes of p


class AdaptiveAugmentation:
    """Transforms real and generated images alike, differentiably, and adapts its probability.

    Draws from torch's global generator.

    Args:
        probability: p, of each transformation, at the beginning.
        target: the mean sign of D(real) that p is steered to; None keeps p.
        images: how many real images it takes p to rise from 0 to 1.
    """

    def __init__(self, probability: float, target: float | None, images: int) -> None:
        self.probability = probability
        self.target = target
        self.images = images
        self._signs = self._count = self._calls = 0.0

    def __call__(self, x: Tensor) -> Tensor:
        """Transform x (N, 3, H, W) in about [0, 1]; the result may leave that range."""
        if self.probability == 0:
            return x
        return recoloured(moved(x, self.probability), self.probability)

    def adapt(self, sign: float, count: int) -> None:
        """Take note of the mean sign of D on ``count`` real images, and adapt p now and then."""
        if self.target is None:
            return
        self._signs += sign * count
        self._count += count
        self._calls += 1
        if self._calls == EVERY:
            step = self._count / self.images
            rise = step if self._signs / self._count > self.target else -step
            self.probability = min(max(self.probability + rise, 0.0), 1.0)
            self._signs = self._count = self._calls = 0.0

    def state_dict(self) -> Mapping[str, Tensor]:
        """What goes into a checkpoint."""
        values = (self.probability, self._signs, self._count, self._calls)
        return {"augmentation": torch.tensor(values, dtype=torch.float64)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what :meth:`state_dict` gave; a p that is not steered stays what it is."""
        if self.target is None:
            return
        values = state["augmentation"].tolist()
        self.probability, self._signs, self._count, self._calls = values


def moved(x: Tensor, p: float) -> Tensor:
    """Mirror, turn, shift, scale and rotate x (N, 3, H, W), each with probability p."""
    count = len(x)
    matrix = torch.eye(3).expand(count, 3, 3)
    quarter = torch.pi / 2 * torch.randint(4, (count,))
    # Two rotations, before and after the anisotropic scaling, happen with p together.
    p_rotate = 1 - math.sqrt(1 - p)
    for one in (
        _scaling(_drawn(p, 1 - 2.0 * torch.randint(2, (count,)), 1.0), torch.ones(count)),
        _rotation(_drawn(p, quarter, 0.0)),
        _shift(_drawn(p, _whole_pixels(x), 0.0)),
        _isotropic(_drawn(p, torch.exp2(0.2 * torch.randn(count)), 1.0)),
        _rotation(_drawn(p_rotate, _angles(count), 0.0)),
        _anisotropic(_drawn(p, torch.exp2(0.2 * torch.randn(count)), 1.0)),
        _rotation(_drawn(p_rotate, _angles(count), 0.0)),
        _shift(_drawn(p, 0.25 * torch.randn(count, 2), 0.0)),
    ):
        matrix = matrix @ one
    changed = (matrix - torch.eye(3)).abs().amax(dim=(1, 2)) > 0
    if not changed.any():
        return x
    where = changed.nonzero()[:, 0].to(x.device)
    grid = F.affine_grid(matrix[changed, :2].to(x), [len(where), *x.shape[1:]], align_corners=False)
    sampled = F.grid_sample(
        x.index_select(0, where), grid.to(x.dtype), padding_mode="reflection", align_corners=False
    )
    return x.index_copy(0, where, sampled)


def recoloured(x: Tensor, p: float) -> Tensor:
    """Change brightness, contrast, luma sign, hue and saturation, each with probability p."""
    count = len(x)
    axis = torch.full((3,), 1 / math.sqrt(3))
    grey = torch.outer(axis, axis)
    identity = torch.eye(3)

    def column(values: Tensor) -> Tensor:
        return values.view(-1, 1, 1)

    brightness = _drawn(p, 0.2 * torch.randn(count), 0.0)
    contrast = column(_drawn(p, torch.exp2(0.5 * torch.randn(count)), 1.0))
    flip = column(_drawn(p, torch.randint(2, (count,)).float(), 0.0))
    angle = column(_drawn(p, _angles(count), 0.0))
    saturation = column(_drawn(p, torch.exp2(torch.randn(count)), 1.0))
    cross = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / math.sqrt(3)
    hue = identity * angle.cos() + cross * angle.sin() + grey * (1 - angle.cos())
    matrix = (grey + (identity - grey) * saturation) @ hue @ (identity - 2 * grey * flip)
    matrix = matrix * contrast
    # Brightness comes first, and so passes through all the others.
    offset = brightness.view(-1, 1) * matrix.sum(dim=2)
    mixed = torch.einsum("nij,njhw->nihw", matrix.to(x), 2 * x - 1)
    return (mixed + offset.to(x)[:, :, None, None] + 1) / 2


def _drawn(p: float, values: Tensor, neutral: float) -> Tensor:
    """The values (N, ...) where a coin of probability p says so, else the neutral one."""
    chosen = torch.rand(len(values)) < p
    return torch.where(chosen.view(-1, *(1,) * (values.dim() - 1)), values, neutral)


def _angles(count: int) -> Tensor:
    return torch.pi * (2 * torch.rand(count) - 1)


def _whole_pixels(x: Tensor) -> Tensor:
    """Shifts (N, 2) of up to an eighth of the side, in whole pixels, counted in half sides."""
    sides = torch.tensor([x.shape[3], x.shape[2]])
    shifts = (2 * torch.rand(len(x), 2) - 1) * sides / 8
    return 2 * shifts.round() / sides


def _scaling(horizontal: Tensor, vertical: Tensor) -> Tensor:
    return torch.diag_embed(torch.stack([horizontal, vertical, torch.ones_like(vertical)], dim=1))


def _isotropic(factor: Tensor) -> Tensor:
    return _scaling(factor, factor)


def _anisotropic(factor: Tensor) -> Tensor:
    return _scaling(factor, 1 / factor)


def _rotation(angle: Tensor) -> Tensor:
    matrix = _scaling(angle.cos(), angle.cos())
    matrix[:, 0, 1], matrix[:, 1, 0] = -angle.sin(), angle.sin()
    return matrix


def _shift(amount: Tensor) -> Tensor:
    matrix = torch.eye(3).repeat(len(amount), 1, 1)
    matrix[:, :2, 2] = amount
    return matrix
