"""A FiLM decoder as a plugin of ugpnet: the hook and the options.

The toolkit imports this module to list what is installed, so it imports no torch; the networks
are imported when they are first used.
"""

from __future__ import annotations

from pydantic import Field, model_validator
from ugpnet_core.plugins import Options, PriorEntry, hookimpl


class FilmOptions(Options):
    """The arguments of decoder and critic, which are made from the same ones."""

    resolution: int = Field(default=64, description="side of the image, base_size times 2, 4, ...")
    base_size: int = Field(default=8, gt=1, description="side of the base code")
    width: int = Field(default=48, gt=0, description="channels of every feature map")
    style_dim: int = Field(default=48, gt=0, description="length of z and of each style")

    @model_validator(mode="after")
    def _doubling_leads_there(self) -> FilmOptions:
        factor, rest = divmod(self.resolution, self.base_size)
        if rest or factor < 2 or factor & (factor - 1):
            raise ValueError(
                f"resolution must be 2, 4, 8, ... times base_size ({self.base_size}), "
                f"not {self.resolution}"
            )
        return self


@hookimpl
def ugpnet_priors() -> list[PriorEntry]:
    """Return the FiLM decoder."""
    return [
        PriorEntry(
            name="film",
            description="A small convolutional decoder whose styles scale and shift its maps",
            factory="film_prior.decoder:FilmDecoder",
            discriminator="film_prior.critic:Critic",
            options=FilmOptions,
            resolution=64,
            parameters=135_363,
            paper="none: an example; FiLM: Perez et al., AAAI 2018, arXiv:1709.07871",
            licence="Apache-2.0",
        )
    ]
