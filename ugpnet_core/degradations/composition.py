"""A task composed of steps, as a list in YAML says:

task: [blur, downsample, noise, jpeg]
task: [{blur: {sigma: [0.5, 2]}}, {downsample: {factor: 4}}, jpeg]
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from ugpnet_core.degradations.blur import scaled_kernel_size
from ugpnet_core.degradations.motion import Deblur
from ugpnet_core.degradations.step_options import (
    STEP_OPTIONS,
    BlurOptions,
    DownsampleOptions,
    JpegOptions,
    NoiseOptions,
    ShakeOptions,
    UpsampleOptions,
)
from ugpnet_core.degradations.steps import (
    Blur,
    Downsample,
    Jpeg,
    MotionBlur,
    Noise,
    Step,
    Upsample,
)
from ugpnet_core.errors import ConfigError
from ugpnet_core.plugins import Options
from ugpnet_core.plugins.lookup import checked_options

_BACK = Upsample("bilinear")


@dataclass
class Composition:
    """x = step_n(... step_1(x_gt)), every strength drawn anew for each image.

    ``scale`` is how many times smaller x is than x_gt, whatever is drawn: see :func:`composition`.
    """

    steps: tuple[Step, ...]
    scale: int
    name: str = "composition"

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """Degrade float32 (3, H, W) in [0, 1]."""
        size = (image.shape[-2], image.shape[-1])
        x = image
        for step in self.steps:
            x = step(x, rng, size)
        return x.contiguous()


def composition(steps: Sequence[Any], resolution: int = 512) -> Composition:
    """Make a task of steps: names, or mappings from one name to its options.

    Standard deviations and kernel sizes are stated for 512 pixels and scale with the resolution;
    factors do not. A composition whose downsampling has fixed whole factors only, which no
    upsample takes back, has their product as its scale. Any other that ends with a size that is
    not the clean image's is brought back to it (bilinearly), and its scale is 1.

    Raises:
        ConfigError: there is no step, one is unknown, or an option of one is.
    """
    if not steps:
        raise ConfigError(f"A composition needs steps; valid: {', '.join(STEP_OPTIONS)}.")
    made = tuple(_step(*_named(step), resolution) for step in steps)
    scale: int | None = 1
    for step in made:
        if isinstance(step, Upsample):
            scale = 1
        elif isinstance(step, Downsample):
            whole = step.whole()
            scale = scale * whole if scale is not None and whole is not None else None
    return Composition(made, scale) if scale is not None else Composition((*made, _BACK), 1)


def _named(step: Any) -> tuple[str, Mapping[str, Any]]:
    """Name and options of a step as YAML holds it."""
    if isinstance(step, str):
        return step, {}
    if isinstance(step, Mapping) and len(step) == 1:
        ((name, options),) = step.items()
        if options is None or isinstance(options, Mapping):
            return str(name), options or {}
    raise ConfigError(
        f"{step!r} is no step of a composition; write a name, or {{name: {{option: value}}}} with "
        f"one of the names {', '.join(STEP_OPTIONS)}."
    )


def _step(name: str, given: Mapping[str, Any], resolution: int) -> Step:
    if name not in STEP_OPTIONS:
        near = difflib.get_close_matches(name, STEP_OPTIONS, n=1)
        hint = f"did you mean {near[0]!r}? V" if near else "v"
        raise ConfigError(f"There is no step {name!r}; {hint}alid: {', '.join(STEP_OPTIONS)}.")
    return _made(checked_options(STEP_OPTIONS[name], given, f"step {name!r}"), resolution)


def _made(options: Options, resolution: int) -> Step:
    part = resolution / 512
    match options:
        case BlurOptions():
            low, high = options.sigma
            size = scaled_kernel_size(options.kernel_size, resolution)
            return Blur((low * part, high * part), options.isotropic, size)
        case ShakeOptions():
            return MotionBlur(Deblur(resolution=resolution, **options.model_dump()))
        case DownsampleOptions():
            return Downsample(options.factor, options.method)
        case NoiseOptions():
            return Noise(options.sigma, options.k)
        case JpegOptions():
            return Jpeg(options.quality)
        case UpsampleOptions():
            return Upsample(options.method)
    raise AssertionError(options)
