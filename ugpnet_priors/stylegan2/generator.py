"""StyleGAN2 generator, as a prior driven by z, by styles, or by a base code and styles.

Karras et al., Analyzing and Improving the Image Quality of StyleGAN, CVPR 2020,
arXiv:1912.04958, https://github.com/NVlabs/stylegan2. Written from the paper; the names of the
parameters are those of the FFHQ checkpoints in the layout of BasicSR (Apache-2.0).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from ugpnet_core.plugins import ConfigError, PriorOutput, SizeError
from ugpnet_priors.stylegan2.modulation import StyleConv, ToRGB
from ugpnet_priors.stylegan2.ops import EPSILON, EqualLinear, normal
from ugpnet_priors.stylegan2.options import DiscriminatorOptions, channel_widths, check_sizes

Modulate = Callable[[int, Tensor], Tensor]


class StyleGAN2Generator(nn.Module):
    """Generator G with skip connections (the paper's figure 7b), any power-of-two resolution.

    Fulfils :class:`ugpnet_core.protocols.Prior`. Noise maps are stored buffers, drawn from a
    fixed seed, so that generation is deterministic unless ``randomize_noise`` is asked for.
    Initialised for training from scratch.

    Args:
        resolution: side of the image, a power of two >= 8.
        style_dim: length of z and of each style w.
        num_mlp: layers of the mapping network.
        channel_multiplier: factor on the widths at 64 pixels and above.
        narrow: factor on every width.
        base_size: side of the base code of :meth:`synthesize`.
        channels: widths by resolution that replace those of the rule
            (:func:`ugpnet_priors.stylegan2.options.channel_widths`).
        discriminator_narrow, discriminator: not used by the generator; accepted because generator
            and discriminator are made from the same options.
        w_avg: hold the mean of w as a buffer, the centre for truncation; zeros until it is
            loaded or set.
        conv_clamp: limit of what each convolution gives, None for none.
        unscaled_epsilon: see :class:`ugpnet_priors.stylegan2.modulation.ModulatedConv`.

    Raises:
        ConfigError: a size or width is impossible.
    """

    def __init__(
        self,
        resolution: int = 512,
        style_dim: int = 512,
        num_mlp: int = 8,
        channel_multiplier: int = 2,
        narrow: float = 1.0,
        base_size: int = 16,
        channels: dict[int, int] | None = None,
        discriminator_narrow: float | None = None,
        discriminator: DiscriminatorOptions | None = None,
        w_avg: bool = False,
        conv_clamp: float | None = None,
        unscaled_epsilon: bool = False,
    ) -> None:
        super().__init__()
        check_sizes(resolution, base_size)
        widths = channel_widths(resolution, channel_multiplier, narrow, channels)
        self.resolution = resolution
        self.style_dim = style_dim
        self.base_size = base_size
        self.base_channels = widths[base_size]
        self.feature_channels = widths[resolution]
        self.modulated_channels = {s: w for s, w in widths.items() if s > base_size}
        self.num_latents = 2 * int(math.log2(resolution)) - 2
        self.num_styles = self.num_latents - 2 * int(math.log2(base_size)) + 4

        self.style_mlp = nn.Sequential(
            PixelNorm(),
            *(
                EqualLinear(style_dim, style_dim, lr_mul=0.01, activate=True)
                for _ in range(num_mlp)
            ),
        )
        self.constant_input = ConstantInput(widths[4])
        conv = partial(
            StyleConv, style_dim=style_dim, unscaled_epsilon=unscaled_epsilon, clamp=conv_clamp
        )
        self.style_conv1 = conv(widths[4], widths[4])
        self.to_rgb1 = ToRGB(widths[4], style_dim, conv_clamp)
        self.style_convs = nn.ModuleList()
        self.to_rgbs = nn.ModuleList()
        self.noises = NoiseMaps(resolution)
        side = 8
        while side <= resolution:
            before, width = widths[side // 2], widths[side]
            self.style_convs.append(conv(before, width, enlarge=True))
            self.style_convs.append(conv(width, width))
            self.to_rgbs.append(ToRGB(width, style_dim, conv_clamp))
            side *= 2
        self.w_avg: Tensor | None
        self.register_buffer("w_avg", torch.zeros(style_dim) if w_avg else None)

    def forward(
        self,
        z: Tensor | Sequence[Tensor],
        *,
        truncation: float = 1.0,
        truncation_latent: Tensor | None = None,
        truncation_cutoff: int | None = None,
        mixing_index: int | None = None,
        randomize_noise: bool = False,
        rng: torch.Generator | None = None,
    ) -> PriorOutput:
        """Generate images from latent codes.

        Args:
            z: (N, style_dim), standard normal; or two of them for style mixing: layers from
                ``mixing_index`` on follow the second.
            truncation: psi; w becomes truncation_latent + psi * (w - truncation_latent).
            truncation_latent: (1, style_dim), for instance from :meth:`mean_latent`; needed when
                ``truncation`` is not 1 and there is no ``w_avg``, which is the default.
            truncation_cutoff: truncate only that many of the layers, from the lowest; all of them
                where None.
            mixing_index: from 1 to num_latents - 1; drawn from ``rng`` where None.
            randomize_noise: draw fresh noise maps (training) instead of the stored ones.
            rng: generator for what is drawn; the global one where None.

        Returns:
            image (N, 3, r, r), about [0, 1], not clamped; features (N, feature_channels, r, r).

        Raises:
            SizeError: z has another shape.
            ConfigError: truncation without its latent, more than two codes, or an impossible
                mixing index.
        """
        codes = [z] if isinstance(z, Tensor) else list(z)
        if not 1 <= len(codes) <= 2:
            raise ConfigError(f"Pass one latent code or two to mix, not {len(codes)}.")
        ws = [self.map_styles(code) for code in codes]
        styles = ws[0].unsqueeze(1).expand(-1, self.num_latents, -1)
        if len(ws) == 2:
            last = self.num_latents - 1
            if mixing_index is None:
                mixing_index = int(torch.randint(1, last + 1, (), generator=rng, device="cpu"))
            if not 1 <= mixing_index <= last:
                raise ConfigError(f"mixing_index must be from 1 to {last}, not {mixing_index}.")
            second = ws[1].unsqueeze(1).expand(-1, self.num_latents - mixing_index, -1)
            styles = torch.cat([styles[:, :mixing_index], second], 1)
        if truncation != 1.0:
            centre = self.w_avg if truncation_latent is None else truncation_latent
            if centre is None:
                raise ConfigError(
                    "Truncation needs truncation_latent; pass generator.mean_latent(4096)."
                )
            cutoff = self.num_latents if truncation_cutoff is None else truncation_cutoff
            low, high = styles[:, :cutoff], styles[:, cutoff:]
            styles = torch.cat([centre + truncation * (low - centre), high], 1)
        return self.generate(styles, randomize_noise=randomize_noise, rng=rng)

    def map_styles(self, z: Tensor) -> Tensor:
        """Mapping network: z (N, style_dim) to w (N, style_dim)."""
        if z.ndim != 2 or z.shape[1] != self.style_dim:
            raise SizeError(
                f"Pass latent codes of shape (N, {self.style_dim}), not {tuple(z.shape)}."
            )
        w: Tensor = self.style_mlp(z)
        return w

    @torch.no_grad()
    def mean_latent(self, count: int, rng: torch.Generator | None = None) -> Tensor:
        """Mean of w over ``count`` drawn z, (1, style_dim): the centre for truncation."""
        weight = self.constant_input.weight
        z = torch.randn(count, self.style_dim, generator=rng, device=rng.device if rng else None)
        return self.map_styles(z.to(weight)).mean(0, keepdim=True)

    def generate(
        self,
        styles: Tensor,
        *,
        randomize_noise: bool = False,
        rng: torch.Generator | None = None,
    ) -> PriorOutput:
        """Generate from styles (N, num_latents, style_dim), the W+ space; see :meth:`forward`."""
        self._check("styles", styles, (self.num_latents, self.style_dim))
        noises = self.noises if not randomize_noise else None
        x = self.constant_input.weight.expand(styles.shape[0], -1, -1, -1)
        x = self.style_conv1(x, styles[:, 0], self._noise(0, x, 1, noises, rng))
        skip = self.to_rgb1(x, styles[:, 1])
        return self._render(x, skip, styles[:, 1:], 0, noises, rng)

    def synthesize(
        self,
        base: Tensor,
        styles: Tensor,
        *,
        randomize_noise: bool = False,
        rng: torch.Generator | None = None,
        modulate: Modulate | None = None,
    ) -> PriorOutput:
        """Generate from a base code and styles (UGPNet's F/W+ space).

        The base code stands for the output of the first, enlarging convolution at base_size;
        generation goes on with the second one and a fresh to-RGB skip. What lies below is
        never computed.

        Args:
            base: (N, base_channels, base_size, base_size).
            styles: (N, num_styles, style_dim), the last num_styles of the W+ space.
            randomize_noise: draw fresh noise maps (training) instead of the stored ones.
            rng: generator for what is drawn; the global one where None.
            modulate: takes the side of each map above base_size, after the convolution that
                enlarges, and the map (N, channels, side, side); gives what replaces it.

        Returns:
            image (N, 3, r, r), about [0, 1], not clamped; features (N, feature_channels, r, r),
            the map that enters the last to-RGB layer.

        Raises:
            SizeError: base or styles have another shape.
        """
        self._check("base", base, (self.base_channels, self.base_size, self.base_size))
        self._check("styles", styles, (self.num_styles, self.style_dim))
        # len() would fix the batch of an exported network.
        if base.shape[0] != styles.shape[0]:
            raise SizeError(
                f"Pass as many base codes as styles, not {len(base)} and {len(styles)}."
            )
        noises = self.noises if not randomize_noise else None
        block = int(math.log2(self.base_size)) - 3
        layer = 2 * block + 1
        noise = self._noise(layer + 1, base, 1, noises, rng)
        x = self.style_convs[layer](base, styles[:, 0], noise)
        skip = self.to_rgbs[block](x, styles[:, 1])
        return self._render(x, skip, styles[:, 1:], block + 1, noises, rng, modulate)

    def _render(
        self,
        x: Tensor,
        skip: Tensor,
        styles: Tensor,
        first: int,
        noises: NoiseMaps | None,
        rng: torch.Generator | None,
        modulate: Modulate | None = None,
    ) -> PriorOutput:
        """Run the blocks from ``first`` on; a to-RGB layer shares its style with what follows."""
        for index, block in enumerate(range(first, len(self.to_rgbs))):
            layer = 2 * block
            noise = self._noise(layer + 1, x, 2, noises, rng)
            x = self.style_convs[layer](x, styles[:, 2 * index], noise)
            if modulate is not None:
                x = modulate(8 << block, x)
            noise = self._noise(layer + 2, x, 1, noises, rng)
            x = self.style_convs[layer + 1](x, styles[:, 2 * index + 1], noise)
            skip = self.to_rgbs[block](x, styles[:, 2 * index + 2], skip)
        return PriorOutput((skip + 1) / 2, x)

    @staticmethod
    def _noise(
        index: int, x: Tensor, scale: int, noises: NoiseMaps | None, rng: torch.Generator | None
    ) -> Tensor:
        """The stored noise map (1, 1, h, w) of a layer, or a fresh (N, 1, h, w)."""
        if noises is not None:
            return noises[index]
        shape = (x.shape[0], 1, x.shape[2] * scale, x.shape[3] * scale)
        return torch.randn(shape, generator=rng, device=rng.device if rng else x.device).to(x)

    @staticmethod
    def _check(name: str, value: Tensor, shape: tuple[int, ...]) -> None:
        if tuple(value.shape[1:]) != shape:
            wanted = ", ".join(map(str, shape))
            raise SizeError(f"Pass {name} of shape (N, {wanted}), not {tuple(value.shape)}.")


class PixelNorm(nn.Module):
    """Scale each z to unit mean square."""

    def forward(self, z: Tensor) -> Tensor:
        """Map (N, C) to (N, C)."""
        return z * torch.rsqrt(z.square().mean(1, keepdim=True) + EPSILON)


class ConstantInput(nn.Module):
    """The learned 4x4 map that ordinary generation starts from."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(normal(1, channels, 4, 4))


class NoiseMaps(nn.Module):
    """The stored noise maps noise0 (4x4), noise1 and noise2 (8x8), ... (1, 1, h, w) each."""

    def __init__(self, resolution: int) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(0)
        # A network without memory (torch.device("meta")) gets maps without memory.
        drawn = torch.empty(0).device.type != "meta"
        for index in range(2 * int(math.log2(resolution)) - 3):
            side = 2 ** ((index + 5) // 2)
            shape = (1, 1, side, side)
            noise = torch.randn(shape, generator=rng, device="cpu") if drawn else torch.empty(shape)
            self.register_buffer(f"noise{index}", noise)

    def __getitem__(self, index: int) -> Tensor:
        noise: Tensor = getattr(self, f"noise{index}")
        return noise
