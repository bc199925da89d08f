"""Read published StyleGAN2 checkpoints, in whatever layout, into our keys and options."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from ugpnet_core.plugins import Checkpoint, PriorWeights, WeightsError
from ugpnet_priors.stylegan2.discriminator import StyleGAN2Discriminator
from ugpnet_priors.stylegan2.layouts import Part, State, basicsr, rosinality
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
    with _damage(names):
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
        return _joined(parts, names)


@contextmanager
def _damage(names: str) -> Iterator[None]:
    """Say of files what is wrong where reading them fails."""
    try:
        yield
    except KeyError as error:
        raise WeightsError(f"{names} is incomplete: it lacks {error}; get it again.") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, RuntimeError, ValueError) as e:
        raise WeightsError(f"{names} is damaged ({type(e).__name__}); get it again.") from e


def _part(file: Checkpoint) -> Part | None:
    if isinstance(file.content, Mapping):
        return basicsr(file) or rosinality(file) or nvidia(file)
    return nvidia(file)


def _joined(parts: Sequence[Part], names: str) -> PriorWeights:
    generator = next((part.generator for part in parts if part.generator is not None), {})
    discriminator: State | None = None
    options: dict[str, Any] = {}
    facts: dict[str, Any] = {}
    if generator:
        sizes, widths = generator_sizes(generator)
        options |= sizes
        facts |= {"resolution": max(widths), "widths": widths}
    for part in parts:
        options |= part.options
        if part.discriminator is None:
            continue
        try:
            with _damage(f"The discriminator in {names}"):
                discriminator, own, widths = _discriminator(part.discriminator, facts, names)
        except WeightsError as error:
            if part.generator is None:
                raise
            # Published networks have others, too, and trainings of people more.
            facts["discriminator"] = f"left out: {error}"
            continue
        same = widths == facts.get("widths")
        options["discriminator"] = {**own, "channels": None if same else widths}
        if not generator:
            options |= {"resolution": max(widths), **width_options(widths)}
        facts |= {"resolution": max(widths), "discriminator_widths": widths}
    layout = " and ".join(dict.fromkeys(part.layout for part in parts))
    return PriorWeights(layout, options, generator, discriminator, facts)


def _discriminator(
    read: Callable[[], tuple[State, dict[str, Any]]], facts: Mapping[str, Any], names: str
) -> tuple[State, dict[str, Any], dict[int, int]]:
    """State dict, options and widths by resolution of a discriminator that can be made.

    Args:
        facts: with the resolution of the generator that it comes with.

    Raises:
        WeightsError: it is of another architecture or resolution, or damaged.
    """
    state, read_options = read()
    widths = discriminator_widths(state)
    side = max(widths)
    if side != facts.get("resolution", side):
        raise WeightsError(
            f"The generator makes {facts['resolution']} pixels and the discriminator takes {side}; "
            "give two of one resolution."
        )
    maps = state["final_conv.0.weight"].shape[1] - widths[4]
    if maps < 1:
        raise WeightsError(
            f"{names} has a discriminator without minibatch deviation, which cannot be read; give "
            "one that has it."
        )
    options = {"conv_clamp": None, "stddev_group": 4, "stddev_feat": maps, **read_options}
    with torch.device("meta"):
        ours = StyleGAN2Discriminator(side, channels=widths, stddev_feat=maps).state_dict()
    shapes, theirs = ({k: tuple(v.shape) for k, v in one.items()} for one in (ours, state))
    for key in sorted(shapes.keys() | theirs.keys()):
        if shapes.get(key) != theirs.get(key):
            raise WeightsError(
                f"{names} has a discriminator that is none of StyleGAN2: {key!r} is "
                f"{theirs.get(key, 'missing')} there and {shapes.get(key, 'unknown')} here; give "
                "another, or none."
            )
        if not bool(state[key].isfinite().all()):
            raise WeightsError(
                f"{key!r} of the discriminator in {names} has values that are no finite numbers; "
                "get it again, or an earlier one."
            )
    return state, options, widths
