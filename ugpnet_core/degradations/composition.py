"""A task composed of steps, as a list in YAML says:

task: [blur, downsample, noise, jpeg]
task: [{blur: {sigma: [0.5, 2]}}, {downsample: {factor: 4}}, jpeg]
"""

from __future__ import annotations

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
    DefocusOptions,
    DownsampleOptions,
    GreyOptions,
    JpegOptions,
    NoiseOptions,
    OneOfOptions,
    RescaleOptions,
    ShakeStepOptions,
    ShuffleOptions,
    StepOptions,
    UpsampleOptions,
)
from ugpnet_core.degradations.steps import (
    Blur,
    Defocus,
    Downsample,
    Grey,
    Jpeg,
    MotionBlur,
    Noise,
    OneOf,
    Rescale,
    Shuffle,
    Sometimes,
    Step,
    Upsample,
)
from ugpnet_core.errors import ConfigError
from ugpnet_core.near import did_you_mean
from ugpnet_core.plugins.lookup import checked_options

_BACK = Upsample("bilinear")


@dataclass
class Composition:
    """x = step_n(... step_1(x_gt)), every strength drawn anew for each image.

    Greys at the beginning belong to x_gt, too: what comes grey shall come back grey. Later ones
    are undone by colour.

    ``scale`` is how many times smaller x is than x_gt, whatever is drawn: see :func:`composition`.
    """

    steps: tuple[Step, ...]
    scale: int
    name: str = "composition"

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """Degrade float32 (3, H, W) in [0, 1]."""
        return self.pair(image, rng)[1]

    def pair(self, image: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """x_gt and x, see :class:`ugpnet_core.protocols.PairingTask`."""
        return taken(self.steps, image, rng)


def composition(steps: Sequence[Any], resolution: int = 512) -> Composition:
    """Make a task of steps: names, or mappings from one name to its options.

    Standard deviations and kernel sizes are stated for 512 pixels and scale with the resolution;
    factors do not. A composition whose downsampling has fixed whole factors only, which no
    upsample takes back, has their product as its scale. Any other that ends with a size that is
    not the clean image's is brought back to it (bilinearly), and its scale is 1.

    Raises:
        ConfigError: there is no step, one is unknown, or an option of one is.
    """
    made = made_steps(steps, resolution)
    scale = _scale(made)
    return Composition(made, scale) if scale is not None else Composition((*made, _BACK), 1)


def taken(steps: Sequence[Step], image: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """x_gt, which is the image after the greys at the beginning, and x, after all steps."""
    size = (image.shape[-2], image.shape[-1])
    clean = x = image
    is_beginning = True
    for step in steps:
        x = step(x, rng, size)
        is_beginning = is_beginning and _greys(step)
        if is_beginning:
            clean = x
    return clean.contiguous(), x.contiguous()


def _greys(step: Step) -> bool:
    return isinstance(step.step if isinstance(step, Sometimes) else step, Grey)


def made_steps(steps: Sequence[Any], resolution: int) -> tuple[Step, ...]:
    """The steps that names and options stand for; errors as :func:`composition`."""
    if not steps:
        raise ConfigError(f"A composition needs steps; valid: {', '.join(STEP_OPTIONS)}.")
    return tuple(_step(*_named(step), resolution) for step in steps)


def _scale(steps: Sequence[Step]) -> int | None:
    """How many times smaller the steps leave an image; None where that depends on what is drawn."""
    scale: int | None = 1
    for step in steps:
        if isinstance(step, Upsample):
            scale = 1
        elif isinstance(step, Downsample):
            whole = step.whole()
            scale = scale * whole if scale is not None and whole is not None else None
        elif isinstance(step, Sometimes | Shuffle | OneOf) and _resizes(step):
            scale = None
    return scale


def _resizes(step: Step) -> bool:
    if isinstance(step, Sometimes):
        return _resizes(step.step)
    if isinstance(step, Shuffle | OneOf):
        return any(map(_resizes, step.steps))
    return isinstance(step, Downsample | Upsample)


def _named(step: Any) -> tuple[str, Mapping[str, Any]]:
    """Name and options of a step as YAML holds it."""
    if isinstance(step, str):
        return step, {}
    if isinstance(step, Mapping) and len(step) == 1:
        ((name, options),) = step.items()
        if options is None or isinstance(options, Mapping):
            return str(name), options or {}
        if name in ("shuffle", "one_of") and isinstance(options, list):
            raise ConfigError(
                f"The steps of {name} are one of its options; write {{{name}: {{steps: [...]}}}}."
            )
    raise ConfigError(
        f"{step!r} is no step of a composition; write a name, or {{name: {{option: value}}}} with "
        f"one of the names {', '.join(STEP_OPTIONS)}."
    )


def _step(name: str, given: Mapping[str, Any], resolution: int) -> Step:
    if name not in STEP_OPTIONS:
        hint = did_you_mean(name, STEP_OPTIONS, quoted=True)
        valid = f"{hint} Valid" if hint else "valid"
        raise ConfigError(f"There is no step {name!r}; {valid}: {', '.join(STEP_OPTIONS)}.")
    options = checked_options(STEP_OPTIONS[name], given, f"step {name!r}")
    step = _made(options, resolution)
    return step if options.probability == 1 else Sometimes(step, options.probability)


def _made(options: StepOptions, resolution: int) -> Step:
    part = resolution / 512
    match options:
        case BlurOptions():
            low, high = options.sigma
            size = scaled_kernel_size(options.kernel_size, resolution)
            return Blur((low * part, high * part), options.isotropic, size)
        case DefocusOptions():
            return Defocus((options.radius[0] * part, options.radius[1] * part))
        case ShakeStepOptions():
            settings = options.model_dump(exclude={"probability"})
            return MotionBlur(Deblur(resolution=resolution, **settings))
        case DownsampleOptions():
            return Downsample(options.factor, options.method)
        case NoiseOptions():
            grain = (options.grain[0] * part, options.grain[1] * part)
            return Noise(options.sigma, options.k, options.grey, options.coarse, grain)
        case JpegOptions():
            return Jpeg(options.quality)
        case UpsampleOptions():
            return Upsample(options.method)
        case RescaleOptions():
            return Rescale(options.factor)
        case GreyOptions():
            return Grey()
        case ShuffleOptions():
            return Shuffle(made_steps(options.steps, resolution))
        case OneOfOptions():
            steps = made_steps(options.steps, resolution)
            return OneOf(steps, options.shares or (1 / len(steps),) * len(steps))
    raise AssertionError(options)
