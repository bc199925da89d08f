"""The plugin that brings the core's own tasks. Torch-free: it is loaded by every listing."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from ugpnet_core.plugins import Options, TaskEntry, hookimpl

_PAPER = "UGPNet, WACV 2024, section 4"


class DenoiseOptions(Options):
    """Strength of the noise."""

    sigma: float = Field(default=0.3, ge=0, description="standard deviation of the Gaussian noise")
    k: float = Field(default=30.0, gt=0, description="photons that a white pixel receives")


class DeblurOptions(Options):
    """Which camera shakes there are, and how large they are."""

    resolution: int = Field(
        default=512, gt=0, description="side of the images; kernels scale with it"
    )
    kernel_size: int = Field(default=71, ge=3, description="side of the kernels at 512 pixels")
    kernel_count: int = Field(default=1000, gt=0, description="how many kernels to draw from")
    kernel_seed: int = Field(default=0, ge=0, description="another seed is another set of kernels")
    kernels: Path | None = Field(
        default=None,
        description="a set saved by ugpnet kernels, used as it is instead of the other options",
    )

    @model_validator(mode="after")
    def _one_set(self) -> DeblurOptions:
        given = self.model_fields_set & {"kernel_size", "kernel_count", "kernel_seed"}
        if self.kernels is not None and given:
            raise ValueError(
                f"kernels is a set of its own, leave out {' and '.join(sorted(given))}"
            )
        return self


class SuperResolutionOptions(Options):
    """Nothing to choose: eight times smaller is what the task is."""


class BlindOptions(Options):
    """The strongest of each degradation; each image draws its own strengths."""

    resolution: int = Field(
        default=512, gt=0, description="side of the images; blur and downsampling scale with it"
    )
    blur_sigma: float = Field(default=10.0, ge=0.1, description="widest blur at 512, pixels")
    downsampling: float = Field(default=8.0, ge=1, description="largest factor at 512")
    noise: float = Field(default=20 / 255, ge=0, description="strongest Gaussian noise")
    quality: int = Field(default=60, ge=1, le=100, description="lowest JPEG quality")


@hookimpl
def ugpnet_tasks() -> list[TaskEntry]:
    """Return the tasks of the paper, and blind restoration."""
    return [
        TaskEntry(
            name="denoise",
            description="Gaussian (sigma 0.3) and Poisson (k = 30) noise",
            factory="ugpnet_core.degradations.tasks:Denoise",
            options=DenoiseOptions,
            paper=_PAPER,
        ),
        TaskEntry(
            name="deblur",
            description="camera shake: one of 1,000 random 71x71 kernels (at 512 pixels)",
            factory="ugpnet_core.degradations.tasks:Deblur",
            options=DeblurOptions,
            paper=_PAPER,
        ),
        TaskEntry(
            name="sr8",
            description="eight times smaller, antialiased bicubic",
            factory="ugpnet_core.degradations.tasks:SuperResolution",
            options=SuperResolutionOptions,
            scale=8,
            paper=_PAPER,
        ),
        TaskEntry(
            name="blind",
            description="blur, downsampling, noise and JPEG of unknown strength",
            factory="ugpnet_core.degradations.tasks:Blind",
            options=BlindOptions,
            paper="as face restoration tools train: GFPGAN, CVPR 2021, section 4",
        ),
    ]
