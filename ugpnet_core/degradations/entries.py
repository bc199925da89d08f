"""The plugin that brings the core's own tasks. Torch-free: it is loaded by every listing."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from ugpnet_core.degradations.ranges import Factor, NotNegative, Positive, Quality
from ugpnet_core.degradations.step_options import STEP_OPTIONS, ShakeOptions, Steps
from ugpnet_core.plugins import Options, TaskEntry, hookimpl

_PAPER = "UGPNet, WACV 2024, section 4"


class DenoiseOptions(Options):
    """Strength of the noise."""

    sigma: float = Field(default=0.3, ge=0, description="standard deviation of the Gaussian noise")
    k: float = Field(default=30.0, gt=0, description="photons that a white pixel receives")


class DeblurOptions(ShakeOptions):
    """Which camera shakes there are, and how large they are."""

    resolution: int = Field(
        default=512, gt=0, description="side of the images; kernels scale with it"
    )


class SuperResolutionOptions(Options):
    """How much smaller; sr2, sr4, sr8 and sr16 have nothing to choose."""

    factor: int = Field(default=8, ge=2, le=16, description="how many times smaller")


class BlindOptions(Options):
    """The ranges that each image draws its strengths from, named as in GFPGAN's configuration."""

    resolution: int = Field(
        default=512, gt=0, description="side of the images; blur and downsampling scale with it"
    )
    blur_kernel_size: int = Field(default=41, ge=3, description="side of the kernels at 512")
    kernel_list: tuple[Literal["iso", "aniso"], ...] = Field(
        default=("iso", "aniso"), description="Gaussian kernels: isotropic, anisotropic"
    )
    kernel_prob: tuple[float, ...] = Field(
        default=(0.5, 0.5), min_length=1, description="how often each"
    )
    blur_sigma: Positive = Field(
        default=(0.1, 10.0), description="standard deviation of the kernels at 512, pixels"
    )
    downsample_range: Factor = Field(
        default=(0.8, 8.0), description="factor at 512; below 1 enlarges"
    )
    noise_range: NotNegative = Field(
        default=(0.0, 20.0), description="standard deviation of Gaussian noise, of 255"
    )
    jpeg_range: Quality = Field(default=(60, 100), description="JPEG quality")

    @model_validator(mode="after")
    def _probabilities(self) -> BlindOptions:
        if len(self.kernel_prob) != len(self.kernel_list):
            raise ValueError("give kernel_prob one probability for each of kernel_list")
        if min(self.kernel_prob) < 0 or not abs(sum(self.kernel_prob) - 1) < 1e-6:
            raise ValueError("kernel_prob must be probabilities of sum 1")
        return self


def _often(default: float, what: str) -> Any:
    return Field(default=default, ge=0, le=1, description=f"how often {what}")


class PhotoOptions(Options):
    """How often each thing happens; its strength is drawn (docs/degradations.md)."""

    untouched: float = _often(0.1, "nothing happens at all")
    grey: float = _often(0.12, "the image is grey before anything else")
    blur: float = _often(0.4, "the lens, the focus or the hand blurs")
    rescale: float = _often(0.3, "the image is made smaller and brought back")
    noise: float = _often(0.65, "there is noise")
    jpeg: float = _often(0.3, "it is compressed, each of two times")


class PairedOptions(Options):
    """What is known of images that come degraded."""

    scale: int = Field(default=1, ge=1, description="how many times smaller the images come")


class CompositionOptions(Options):
    """The steps in their order; each may have options of its own."""

    steps: Steps = Field(
        default=("blur", "downsample", "noise", "jpeg"),
        description="of " + ", ".join(STEP_OPTIONS) + "; or {step: {option: value}}",
    )
    resolution: int = Field(
        default=512, gt=0, description="side of the images; sizes of kernels scale with it"
    )


@hookimpl
def ugpnet_tasks() -> list[TaskEntry]:
    """Return the tasks of the paper, blind restoration, compositions, and paired images."""
    return [
        TaskEntry(
            name="denoise",
            description="Gaussian (sigma 0.3) and Poisson (k = 30) noise",
            factory="ugpnet_core.degradations.tasks:Denoise",
            options=DenoiseOptions,
            moves_colours=True,  # noise this strong is clipped
            repeatable=True,
            paper=_PAPER,
        ),
        TaskEntry(
            name="deblur",
            description="camera shake: one of 1,000 random 71x71 kernels (at 512 pixels)",
            factory="ugpnet_core.degradations.motion:Deblur",
            options=DeblurOptions,
            paper=_PAPER,
        ),
        TaskEntry(
            name="sr",
            description="2 to 16 times smaller, antialiased bicubic",
            factory="ugpnet_core.degradations.tasks:SuperResolution",
            options=SuperResolutionOptions,
            scale=None,
            repeatable=True,
            paper=_PAPER,
        ),
        *(
            TaskEntry(
                name=f"sr{factor}",
                description=f"{word} times smaller, antialiased bicubic",
                factory=f"ugpnet_core.degradations.tasks:sr{factor}",
                scale=factor,
                repeatable=True,
                paper=_PAPER,
            )
            for factor, word in ((2, "two"), (4, "four"), (8, "eight"), (16, "sixteen"))
        ),
        TaskEntry(
            name="blind",
            description="blur, downsampling, noise and JPEG of unknown strength",
            factory="ugpnet_core.degradations.tasks:Blind",
            options=BlindOptions,
            paper="published configuration of GFPGAN (CVPR 2021)",
        ),
        TaskEntry(
            name="photo",
            description="real photographs: noise, blur, smaller and back, JPEG, grey, or nothing",
            factory="ugpnet_core.degradations.photo:Photo",
            options=PhotoOptions,
        ),
        TaskEntry(
            name="composition",
            description="steps of your own choice, as task: [blur, downsample, noise, jpeg]",
            factory="ugpnet_core.degradations.composition:composition",
            options=CompositionOptions,
            scale=None,
        ),
        TaskEntry(
            name="paired",
            description="images that come degraded: pairs of folders {clean: DIR, degraded: DIR}",
            factory="ugpnet_core.degradations.paired:Paired",
            options=PairedOptions,
            scale=None,
            moves_colours=True,  # nobody knows
        ),
    ]
