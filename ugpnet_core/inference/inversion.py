"""Inversion: the latent code that gives a picture back, by the encoder and by optimisation.

The setting is that of BDInvert (K. Kang, S. Kim, S. Cho: GAN Inversion for Out-of-Range Images
with Geometric Transformations, ICCV 2021), which UGPNet takes its F/W+ space from (paper 3.2):
base code and styles are both optimised, and the base code is kept near where it began. There the
beginning is found by an encoder for the base code and the mean of w; here by the whole encoder E,
where there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from ugpnet_core.image import center_square
from ugpnet_core.inference.opened_prior import OpenedPrior
from ugpnet_core.inference.sampling import mean_style
from ugpnet_core.losses.perceptual import LPIPS
from ugpnet_core.protocols import LatentCode, Prior, TrainablePrior

LEARNING_RATE = 0.02
BETAS = (0.9, 0.999)
PIXEL_WEIGHT = 1.0
PERCEPTUAL_WEIGHT = 1.0
BASE_WEIGHT = 0.01


@dataclass(frozen=True)
class Inversion:
    """What became of one picture; pictures are RGB (3, r, r) in [0, 1] on the CPU.

    Attributes:
        picture: the input as the prior takes it, its centre square in r pixels.
        encoded: what the prior makes of the first code; of the encoder's, where there is one.
        refined: what it makes of the optimised code, or None where nothing was optimised.
        code: the last code, (1, ...).
    """

    picture: Tensor
    encoded: Tensor
    refined: Tensor | None
    code: LatentCode


class Inverter:
    """Inverts pictures with one prior. Without chance: the same picture gives the same result.

    The loss is mean squared error + LPIPS (where given) + 0.01 times the mean squared distance of
    the base code from where it began, in parts of its own size. The best code of all steps counts,
    so that the result is never worse than the first one by that loss.

    Args:
        source: prior or synthesis module, from ``opened_prior.open_prior``.
        steps: of Adam; 0 for the encoder alone.
        perceptual: LPIPS, or None.
    """

    def __init__(
        self,
        source: OpenedPrior,
        steps: int = 100,
        perceptual: LPIPS | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.steps = steps
        self.prior: Prior = source.prior
        network = source.prior if source.synthesis is None else source.synthesis
        # Faster on a CPU than channels first; the numbers differ by rounding only.
        cast(nn.Module, network).to(self.device).to(memory_format=torch.channels_last)
        self.synthesis = source.synthesis
        self.perceptual = None if perceptual is None else perceptual.to(self.device)
        self._first = self._mean_code() if source.synthesis is None else None

    def __call__(self, pixels: Tensor, on_step: Callable[[], None] = lambda: None) -> Inversion:
        """Invert a picture (3, H, W) in [0, 1] of any size; its centre square is taken.

        Args:
            on_step: called after each step of the optimisation.
        """
        picture = center_square(pixels, self.prior.resolution)
        target = picture[None].to(self.device)
        first = self._encode(target)
        with torch.no_grad():
            encoded = self.prior.synthesize(*first).image
        if not self.steps:
            return Inversion(picture, _shown(encoded), None, first)
        code = self._refine(target, first, on_step)
        with torch.no_grad():
            refined = self.prior.synthesize(*code).image
        return Inversion(picture, _shown(encoded), _shown(refined), code)

    def _encode(self, target: Tensor) -> LatentCode:
        if self.synthesis is None:
            assert self._first is not None
            return self._first
        with torch.no_grad():
            return self.synthesis.encode(target)

    def _mean_code(self) -> LatentCode:
        """Where optimisation begins without an encoder: an empty base code and mean styles."""
        prior = self.prior
        with torch.no_grad():
            centre = torch.zeros(1, prior.style_dim)
            if isinstance(prior, TrainablePrior):
                centre = mean_style(prior)
        styles = centre.to(self.device)[:, None].repeat(1, prior.num_styles, 1)
        size = (1, prior.base_channels, prior.base_size, prior.base_size)
        return LatentCode(torch.zeros(size, device=self.device), styles)

    def _refine(self, target: Tensor, first: LatentCode, on_step: Callable[[], None]) -> LatentCode:
        # In parts of their own size, so that one learning rate fits every prior.
        sizes = [_size(code) for code in first]
        moves = [torch.zeros_like(code, requires_grad=True) for code in first]
        optimizer = torch.optim.Adam(moves, LEARNING_RATE, BETAS)
        best, least = first, float("inf")
        for step in range(self.steps + 1):
            code = LatentCode(
                *(c + size * move for c, size, move in zip(first, sizes, moves, strict=True))
            )
            loss = self._loss(target, code, moves[0])
            if float(loss.detach()) < least:
                least = float(loss.detach())
                best = LatentCode(*(each.detach().clone() for each in code))
            if step < self.steps:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                on_step()
        return best

    def _loss(self, target: Tensor, code: LatentCode, move: Tensor) -> Tensor:
        image = self.prior.synthesize(*code).image.float()
        loss = PIXEL_WEIGHT * (image - target).square().mean()
        if self.perceptual is not None:
            loss = loss + PERCEPTUAL_WEIGHT * self.perceptual(image, target)
        return loss + BASE_WEIGHT * move.square().mean()


def _size(code: Tensor) -> float:
    """The root mean square of a code, or 1 for one that is empty."""
    size = float(code.square().mean().sqrt())
    return size if size > 1e-8 else 1.0


def _shown(image: Tensor) -> Tensor:
    return image[0].float().clamp(0, 1).cpu()
