"""The options of the steps that a composition is made of. Torch-free.

The defaults are those of GFPGAN's published configuration, as in task ``blind``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from ugpnet_core.degradations.ranges import Factor, NotNegative, Positive, Quality
from ugpnet_core.plugins import Options

Method = Literal["bilinear", "bicubic", "area"]


class BlurOptions(Options):
    """A Gaussian kernel, round or not."""

    sigma: Positive = Field(default=(0.1, 10.0), description="standard deviation, pixels at 512")
    isotropic: float = Field(default=0.5, ge=0, le=1, description="how often the kernel is round")
    kernel_size: int = Field(default=41, ge=3, description="side of the kernel at 512 pixels")


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


class DownsampleOptions(Options):
    """How many times smaller; below 1 it enlarges."""

    factor: Factor = Field(default=(0.8, 8.0), description="how many times smaller")
    method: Method = Field(
        default="bilinear", description="bicubic and area are antialiased, bilinear is not"
    )


class NoiseOptions(Options):
    """Gaussian noise, with k Poisson noise before it."""

    sigma: NotNegative = Field(
        default=(0.0, 20 / 255), description="standard deviation of Gaussian noise, white is 1"
    )
    k: Positive | None = Field(default=None, description="photons that a white pixel receives")


class JpegOptions(Options):
    """JPEG with 4:2:0 colour."""

    quality: Quality = Field(default=(60, 100), description="libjpeg's")


class UpsampleOptions(Options):
    """Back to the size of the clean image."""

    method: Literal["bilinear", "bicubic"] = Field(default="bilinear", description="of enlarging")


STEP_OPTIONS: Mapping[str, type[Options]] = {
    "blur": BlurOptions,
    "motion_blur": ShakeOptions,
    "downsample": DownsampleOptions,
    "noise": NoiseOptions,
    "jpeg": JpegOptions,
    "upsample": UpsampleOptions,
}
