"""What a prior and its entry say of themselves, and whether what it makes has that shape."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ugpnet_core.errors import ConfigError
from ugpnet_core.networks.synthesis import halvings
from ugpnet_core.protocols import TrainablePrior
from ugpnet_core.testing.report import CheckFailed, Outcome, passed
from ugpnet_core.testing.subject import Subject

COUNTS = (
    "resolution",
    "base_size",
    "base_channels",
    "num_styles",
    "style_dim",
    "feature_channels",
)
# Far beyond what an untrained network makes of ordinary codes where images are in [0, 1].
LARGEST = 20.0


def check_protocol(subject: Subject) -> Outcome:
    """The prior has the attributes and methods of ugpnet_core.protocols.Prior."""
    prior = subject.raw()
    name = type(prior).__name__
    if not callable(getattr(prior, "synthesize", None)):
        raise CheckFailed(f"{name} lacks the method synthesize; write it.")
    for attribute in COUNTS:
        value = getattr(prior, attribute, None)
        if type(value) is not int or value < 1:
            raise CheckFailed(
                f"{name}.{attribute} is {value!r}; make it a whole number of at least 1."
            )
    try:
        halvings(prior)
    except ConfigError as error:
        raise CheckFailed(
            f"{name} has resolution={prior.resolution} and base_size={prior.base_size}, and no "
            "encoder can halve the one until the other is left; make the resolution 2, 4, 8, ... "
            "times the base size."
        ) from error
    _check_all_or_nothing(prior, name)
    return passed(
        f"{prior.resolution}x{prior.resolution} from a base code of {prior.base_channels}x"
        f"{prior.base_size}x{prior.base_size} and {prior.num_styles} styles of {prior.style_dim}, "
        f"{prior.feature_channels} feature channels"
    )


def _check_all_or_nothing(prior: Any, name: str) -> None:
    """A prior that has begun to be a TrainablePrior has to be one."""
    methods = ("map_styles", "mean_latent", "generate")
    there = [method for method in methods if callable(getattr(prior, method, None))]
    if not there:
        return
    lacking = [method for method in methods if method not in there]
    if not isinstance(prior, TrainablePrior) and not lacking:
        lacking = ["num_latents"]
    if lacking:
        raise CheckFailed(
            f"{name} has {there[0]} and lacks {lacking[0]}; a prior that generates from random "
            "codes fulfils ugpnet_core.protocols.TrainablePrior."
        )
    latents = getattr(prior, "num_latents", None)
    if type(latents) is not int or latents < max(2, prior.num_styles):
        raise CheckFailed(
            f"{name}.num_latents is {latents!r}; make it a whole number, at least 2 and num_styles "
            f"({prior.num_styles})."
        )


def check_shapes(subject: Subject) -> Outcome:
    """Image and feature map have the declared sizes, for batches of 1, 2 and 3."""
    prior = subject.fresh()
    side = prior.resolution
    for count in (1, 2, 3):
        image, features = subject.outputs(prior, subject.probe(prior, count))
        for what, made, channels, field in (
            ("the image", image, 3, "an RGB image of the resolution"),
            ("the feature map", features, prior.feature_channels, "feature_channels"),
        ):
            wanted = (count, channels, side, side)
            if tuple(made.shape) != wanted:
                raise CheckFailed(
                    f"For {count} codes {what} is {tuple(made.shape)}, not {wanted} ({field}); "
                    "make them agree."
                )
            if made.dtype != torch.float32:
                raise CheckFailed(
                    f"For codes of float32 {what} is of {made.dtype}; return float32."
                )
    return passed(f"images (N, 3, {side}, {side}), features (N, {prior.feature_channels}, ...)")


def check_range(subject: Subject) -> Outcome:
    """Images are finite, vary from pixel to pixel, and are meant for [0, 1]."""
    prior = subject.fresh()
    image = subject.outputs(prior, subject.probe(prior, _few(prior)))[0]
    if not torch.isfinite(image).all():
        raise CheckFailed(
            "The image has values that are not finite; add a small constant below square roots "
            "and in denominators."
        )
    if float(image.std()) < 1e-6:
        raise CheckFailed(
            "All pixels of all images are the same; look for a last layer that saturates."
        )
    # Most values, as a few may be far out: a root mean square would follow those.
    largest = float((image - 0.5).abs().flatten()[:: 1 + image.numel() // 2**20].quantile(0.9))
    if largest > LARGEST:
        raise CheckFailed(
            f"Values of the image lie about {largest:.3g} from 0.5; return images in about [0, 1] "
            "(not 0 to 255), and start from smaller weights."
        )
    lowest, highest = _limits(subject, prior)
    if lowest < -0.9 and highest > 0.9 and lowest >= -1.001 and highest <= 1.001:
        raise CheckFailed(
            "The image fills [-1, 1] and never leaves it; return images in [0, 1]: (x + 1) / 2."
        )
    return passed(f"finite, from {float(image.min()):.2g} to {float(image.max()):.2g}")


def _limits(subject: Subject, prior: Any) -> tuple[float, float]:
    """What images reach for codes that drive a bounded last layer to its bounds."""
    base, styles = subject.probe(prior, _few(prior), 7)
    images: list[Tensor] = []
    for factor in (1.0, 1e2, 1e4):
        for codes in ((factor * base, styles), (factor * base, factor * styles)):
            image = subject.outputs(prior, codes)[0]
            images.append(image[torch.isfinite(image)])
    values = torch.cat(images)
    return float(values.min()), float(values.max())


def _few(prior: Any) -> int:
    """Images to look at: several, where they are small."""
    return 4 if prior.resolution <= 64 else 1
