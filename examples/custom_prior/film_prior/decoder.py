"""The generator: a convolutional decoder whose styles scale and shift its feature maps.

E. Perez, F. Strub, H. de Vries, V. Dumoulin, A. Courville: FiLM: Visual Reasoning with a General
Conditioning Layer, AAAI 2018, https://arxiv.org/abs/1709.07871. No noise, no skips to RGB, no
modulated weights: next to a StyleGAN2, this is a plain network.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from ugpnet_core.plugins import PriorOutput

SLOPE = 0.2


class FilmBlock(nn.Module):
    """Conv, each position scaled to length 1 per channel, FiLM by a style, LeakyReLU."""

    def __init__(self, channels: int, style_dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.film = nn.Linear(style_dim, 2 * channels)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Keep the shape (N, channels, H, W); style is (N, style_dim)."""
        x = self.conv(x)
        x = x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-4)
        scale, shift = self.film(style)[:, :, None, None].chunk(2, 1)
        return F.leaky_relu((1 + scale) * x + shift, SLOPE)


class FilmDecoder(nn.Module):
    """A prior (ugpnet_core.protocols.TrainablePrior): a block at the base size, then one after
    each doubling, each with a style of its own.

    From random codes, a learned map takes the place of the base code, steered by one style more.

    Args:
        resolution: side of the image.
        base_size: side of the base code.
        width: channels of every feature map.
        style_dim: length of z and of each style.
    """

    def __init__(
        self, resolution: int = 64, base_size: int = 8, width: int = 48, style_dim: int = 48
    ) -> None:
        super().__init__()
        doublings = (resolution // base_size).bit_length() - 1
        self.resolution = resolution
        self.base_size = base_size
        self.base_channels = self.feature_channels = width
        self.num_styles = doublings + 1
        self.num_latents = self.num_styles + 1
        self.style_dim = style_dim
        self.mapping = nn.Sequential(
            nn.Linear(style_dim, style_dim),
            nn.LeakyReLU(SLOPE),
            nn.Linear(style_dim, style_dim),
        )
        self.start = nn.Parameter(torch.randn(1, width, base_size, base_size))
        self.first = FilmBlock(width, style_dim)
        self.blocks = nn.ModuleList(FilmBlock(width, style_dim) for _ in range(self.num_styles))
        self.to_rgb = nn.Conv2d(width, 3, 1)

    def synthesize(self, base: Tensor, styles: Tensor) -> PriorOutput:
        """Generate from a base code (N, width, base_size, base_size) and styles
        (N, num_styles, style_dim).

        Returns:
            image (N, 3, r, r), about [0, 1]; features (N, width, r, r).
        """
        x = base
        for index, block in enumerate(self.blocks):
            if index:
                x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = block(x, styles[:, index])
        return PriorOutput(0.5 + self.to_rgb(x), x)

    def generate(self, styles: Tensor, *, randomize_noise: bool = False) -> PriorOutput:
        """Generate from styles (N, num_latents, style_dim). There is no noise to randomize."""
        start = self.start.expand(len(styles), -1, -1, -1)
        return self.synthesize(self.first(start, styles[:, 0]), styles[:, 1:])

    def map_styles(self, z: Tensor) -> Tensor:
        """Map codes z (N, style_dim), standard normal, to styles (N, style_dim)."""
        w: Tensor = self.mapping(z)
        return w

    @torch.no_grad()
    def mean_latent(self, count: int, rng: torch.Generator | None = None) -> Tensor:
        """The mean of the styles of ``count`` codes drawn from ``rng``, (1, style_dim)."""
        z = torch.randn(count, self.style_dim, generator=rng)
        return self.map_styles(z.to(self.start)).mean(0, keepdim=True)

    def forward(
        self,
        z: Tensor | Sequence[Tensor],
        *,
        truncation: float = 1.0,
        truncation_latent: Tensor | None = None,
        mixing_index: int | None = None,
        randomize_noise: bool = False,
    ) -> PriorOutput:
        """Generate from codes z (N, style_dim); of two, layers from ``mixing_index`` on follow
        the second. Truncation moves styles towards ``truncation_latent`` (1, style_dim)."""
        codes = [z] if isinstance(z, Tensor) else list(z)
        rows = [self.map_styles(code)[:, None].repeat(1, self.num_latents, 1) for code in codes]
        styles = rows[0]
        if len(rows) == 2:
            index = self.num_latents // 2 if mixing_index is None else mixing_index
            styles = torch.cat([rows[0][:, :index], rows[1][:, index:]], 1)
        if truncation_latent is not None:
            styles = truncation_latent + truncation * (styles - truncation_latent)
        return self.generate(styles, randomize_noise=randomize_noise)
