"""The options of the steps that a composition is made of. Torch-free.

The defaults are those of GFPGAN's published configuration, as in task ``blind``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from ugpnet_core.degradations.ranges import Factor, NotNegative, Pixels, Positive, Quality
from ugpnet_core.plugins import Options

Method = Literal["bilinear", "bicubic", "area"]


class StepOptions(Options):
    """What every step has."""

    probability: float = Field(default=1.0, ge=0, le=1, description="how often the step is taken")


class BlurOptions(StepOptions):
    """A Gaussian kernel, round or not."""

    sigma: Positive = Field(default=(0.1, 10.0), description="standard deviation, pixels at 512")
    isotropic: float = Field(default=0.5, ge=0, le=1, description="how often the kernel is round")
    kernel_size: int = Field(default=41, ge=3, description="side of the kernel at 512 pixels")


class DefocusOptions(StepOptions):
    """Out of focus: each point becomes a disk."""

    radius: Pixels = Field(default=(0.5, 8.0), description="of the disk, pixels at 512")


class ShakeOptions(Options):
    """Which camera shakes there are, and how large they are."""

    kernel_size: int = Field(default=71, ge=3, description="side of the kernels at 512 pixels")
    kernel_count: int = Field(default=1000, gt=0, description="how many kernels to draw from")
    kernel_seed: int = Field(default=0, ge=0, description="another seed is another set of kernels")
    kernels: Path | None = Field(
        default=None,
        description="a set saved by ugpnet kernels, used as it is instead of the other options",
    )

    @model_validator(mode="after")
    def _one_set(self) -> ShakeOptions:
        given = self.model_fields_set & {"kernel_size", "kernel_count", "kernel_seed"}
        if self.kernels is not None and given:
            raise ValueError(
                f"kernels is a set of its own, leave out {' and '.join(sorted(given))}"
            )
        return self


class ShakeStepOptions(ShakeOptions, StepOptions):
    """A camera shake, as in task ``deblur``."""


class DownsampleOptions(StepOptions):
    """How many times smaller; below 1 it enlarges."""

    factor: Factor = Field(default=(0.8, 8.0), description="how many times smaller")
    method: Method = Field(
        default="bilinear", description="bicubic and area are antialiased, bilinear is not"
    )


class RescaleOptions(StepOptions):
    """Smaller and back to the size before, each by a method drawn of bilinear, bicubic and area."""

    factor: Factor = Field(default=(1.0, 4.0), description="how many times smaller")


class NoiseOptions(StepOptions):
    """Gaussian noise, with k Poisson noise before it."""

    sigma: NotNegative = Field(
        default=(0.0, 20 / 255), description="standard deviation of Gaussian noise, white is 1"
    )
    k: Positive | None = Field(default=None, description="photons that a white pixel receives")
    grey: float = Field(
        default=0.0, ge=0, le=1, description="how often it is the same in all channels"
    )
    coarse: float = Field(
        default=0.0, ge=0, le=1, description="how often it is coarse-grained (correlated)"
    )
    grain: Pixels = Field(
        default=(0.4, 1.2), description="standard deviation of coarse grains, pixels at 512"
    )


class JpegOptions(StepOptions):
    """JPEG with 4:2:0 colour."""

    quality: Quality = Field(default=(60, 100), description="libjpeg's")


class UpsampleOptions(StepOptions):
    """Back to the size of the clean image."""

    method: Literal["bilinear", "bicubic"] = Field(default="bilinear", description="of enlarging")


class GreyOptions(StepOptions):
    """Grey in all three channels: the luma of Rec. 601."""


def _listed(steps: Any) -> Any:
    if not isinstance(steps, list | tuple):
        raise ValueError(f"give a list of steps, such as [noise, jpeg], not {steps!r}")
    return steps


Steps = Annotated[tuple[Any, ...], BeforeValidator(_listed)]


class GroupOptions(StepOptions):
    """Steps inside a step."""

    steps: Steps = Field(description="as in a composition")


class ShuffleOptions(GroupOptions):
    """All steps, in an order drawn anew for each image."""


class OneOfOptions(GroupOptions):
    """One of the steps, drawn anew for each image."""

    shares: tuple[float, ...] | None = Field(
        default=None, description="how often each, of sum 1 (default: equally often)"
    )

    @model_validator(mode="after")
    def _shares(self) -> OneOfOptions:
        shares = self.shares
        if shares is not None and len(shares) != len(self.steps):
            raise ValueError(f"give {len(self.steps)} shares, one for each of steps")
        # As exactly as numpy asks for.
        if shares is not None and (min(shares) < 0 or not abs(sum(shares) - 1) < 1e-8):
            raise ValueError("shares must be probabilities of sum 1")
        return self


STEP_OPTIONS: Mapping[str, type[StepOptions]] = {
    "blur": BlurOptions,
    "defocus": DefocusOptions,
    "motion_blur": ShakeStepOptions,
    "downsample": DownsampleOptions,
    "noise": NoiseOptions,
    "jpeg": JpegOptions,
    "upsample": UpsampleOptions,
    "rescale": RescaleOptions,
    "grey": GreyOptions,
    "shuffle": ShuffleOptions,
    "one_of": OneOfOptions,
}
