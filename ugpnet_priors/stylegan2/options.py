"""Constructor options of the prior, and the rules that sizes and widths follow (torch-free)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from ugpnet_core.plugins import ConfigError, Options

Width = Annotated[int, Field(gt=0)]
Clamp = Annotated[float, Field(gt=0)]


class DiscriminatorOptions(Options):
    """What a discriminator has of its own, beside the generator's options."""

    channels: dict[int, Width] | None = Field(
        default=None, description="widths by resolution that replace the generator's"
    )
    conv_clamp: Clamp | None = Field(default=None, description="as the generator's")
    stddev_group: Width = Field(default=4, description="images for the minibatch deviation")
    stddev_feat: Width = Field(default=1, description="maps of the minibatch deviation")


class StyleGAN2Options(Options):
    """Options of the generator; the discriminator is made from the same ones."""

    resolution: int = Field(default=512, description="side of the image, a power of two >= 8")
    style_dim: Width = Field(default=512, description="length of z and of each style w")
    num_mlp: Width = Field(default=8, description="layers of the mapping network")
    channel_multiplier: Width = Field(default=2, description="widths at 64 pixels and above")
    narrow: float = Field(default=1.0, gt=0, description="factor on every width")
    base_size: int = Field(
        default=16, description="side of the base code, a power of two from 8 to resolution"
    )
    channels: dict[int, Width] | None = Field(
        default=None, description="widths by resolution that replace the rule's"
    )
    discriminator_narrow: float | None = Field(
        default=None,
        gt=0,
        description="narrow for the discriminator; widths in channels are then the generator's "
        "only (default: the same widths)",
    )
    discriminator: DiscriminatorOptions | None = Field(
        default=None, description="what is different in the discriminator"
    )
    w_avg: bool = Field(
        default=False, description="hold the mean of w, the centre for truncation, as a buffer"
    )
    conv_clamp: Clamp | None = Field(
        default=None, description="limit of what each convolution gives (stylegan2-ada: 256)"
    )
    unscaled_epsilon: bool = Field(
        default=False,
        description="demodulate by the norm of weights without the equalising factor "
        "(stylegan2-ada); only epsilon sees it",
    )

    @model_validator(mode="after")
    def _sizes_fit(self) -> StyleGAN2Options:
        try:
            check_sizes(self.resolution, self.base_size)
            channel_widths(self.resolution, self.channel_multiplier, self.narrow, self.channels)
            own = self.discriminator.channels if self.discriminator else None
            channel_widths(self.resolution, self.channel_multiplier, self.narrow, own)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return self


def check_sizes(resolution: int, base_size: int = 8) -> None:
    """Raise ConfigError unless both are powers of two and 8 <= base_size <= resolution."""
    if resolution < 8 or resolution & (resolution - 1):
        raise ConfigError(
            f"resolution must be a power of two of at least 8, such as 128 or 512, not {resolution}"
        )
    if not 8 <= base_size <= resolution or base_size & (base_size - 1):
        raise ConfigError(
            f"base_size must be a power of two from 8 to the resolution ({resolution}), "
            f"not {base_size}"
        )


def channel_widths(
    resolution: int,
    channel_multiplier: int = 2,
    narrow: float = 1.0,
    channels: dict[int, int] | None = None,
) -> dict[int, int]:
    """Feature channels at each resolution from 4 up to ``resolution``.

    The rule of the published FFHQ networks: 512 up to 32 pixels, then
    16384 / resolution * channel_multiplier, all times ``narrow`` (rounded down, at least 1).

    Raises:
        ConfigError: ``channels`` names a resolution that the network does not have.
    """
    widths = {}
    side = 4
    while side <= resolution:
        full = 512 if side <= 32 else 16384 * channel_multiplier // side
        widths[side] = max(1, int(full * narrow))
        side *= 2
    for side, width in (channels or {}).items():
        if side not in widths or width < 1:
            raise ConfigError(
                f"channels maps a resolution to a positive width; {side}: {width} does not fit, "
                f"the resolutions are {', '.join(map(str, widths))}"
            )
        widths[side] = width
    return widths
