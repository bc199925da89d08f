"""Read published StyleGAN2 checkpoints, in whatever layout, into our keys and options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ugpnet_core.plugins import Checkpoint, PriorWeights, WeightsError
from ugpnet_priors.stylegan2.layouts import Part, basicsr, rosinality
from ugpnet_priors.stylegan2.nvidia import nvidia
from ugpnet_priors.stylegan2.sizes import (
    discriminator_widths,
    generator_sizes,
    width_options,
)


def read(files: Sequence[Checkpoint]) -> PriorWeights | None:
    """Read a generator, a discriminator or both from one or several files.

    Layouts: BasicSR's, rosinality's, NVIDIA's (stylegan2-ada-pytorch).

    Returns:
        None where one of the files holds neither in a layout that is known here.

    Raises:
        WeightsError: a network that cannot be read, such as a conditional one, or two of a kind.
    """
    names = " and ".join(str(file.path) for file in files)
    try:
        found = [_part(file) for file in files]
        parts = [part for part in found if part is not None]
        if len(parts) < len(files):
            return None
        for networks in ([p.generator for p in parts], [p.discriminator for p in parts]):
            if sum(network is not None for network in networks) > 1:
                raise WeightsError(
                    f"{names} hold two networks of a kind; give one generator and at most one "
                    "discriminator."
                )
        return _joined(parts)
    except KeyError as error:
        raise WeightsError(f"{names} is incomplete: it lacks {error}; get it again.") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, RuntimeError, ValueError) as e:
        raise WeightsError(f"{names} is damaged ({type(e).__name__}); get it again.") from e


def _part(file: Checkpoint) -> Part | None:
    if isinstance(file.content, Mapping):
        return basicsr(file) or rosinality(file) or nvidia(file)
    return nvidia(file)


def _joined(parts: Sequence[Part]) -> PriorWeights:
    generator = next((part.generator for part in parts if part.generator is not None), {})
    discriminator = next((p.discriminator for p in parts if p.discriminator is not None), None)
    options: dict[str, Any] = {}
    widths: dict[int, int] | None = None
    facts: dict[str, Any] = {}
    if generator:
        sizes, widths = generator_sizes(generator)
        options |= sizes
        facts |= {"resolution": max(widths), "widths": widths}
    for part in parts:
        options |= part.options
        if part.left_out:
            facts["discriminator"] = f"left out: {part.left_out}"
    if discriminator is not None:
        own = discriminator_widths(discriminator)
        if widths is not None and max(own) != max(widths):
            raise WeightsError(
                f"The generator makes {max(widths)} pixels and the discriminator takes {max(own)}; "
                "give two of one resolution."
            )
        options["discriminator"] = {
            "channels": None if own == widths else own,
            "conv_clamp": None,
            "stddev_group": 4,
            "stddev_feat": discriminator["final_conv.0.weight"].shape[1] - own[4],
            **options.get("discriminator", {}),
        }
        facts |= {"resolution": max(own), "discriminator_widths": own}
        if not generator:
            options |= {"resolution": max(own), **width_options(own)}
    layout = " and ".join(dict.fromkeys(part.layout for part in parts))
    return PriorWeights(layout, options, generator, discriminator, facts)
