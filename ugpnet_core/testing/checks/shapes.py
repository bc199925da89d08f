"""Shapes: of all that comes out, for inputs of every size that is promised."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from ugpnet_core.networks.restoration import restoration_module
from ugpnet_core.testing.differences import CLOSE, difference, percent
from ugpnet_core.testing.kinds import (
    Probe,
    Size,
    called,
    has_own_forward,
    images,
    probe_size,
    shown,
    takes_sizes,
    tensor_of,
)
from ugpnet_core.testing.report import CheckFailed, Outcome, in_words, passed, require
from ugpnet_core.testing.subject import Subject
from ugpnet_core.testing.surroundings import settings_kept

# Seconds that an image of 64x64 or less may take; larger ones take more in proportion.
SLOW = 1.0
# Large networks are probed at as many sizes as this many seconds allow, and at three at least.
PATIENCE = 10.0
# What a network may need that declares something else.
SIDES = (16, 24, 32, 48, 64, 96, 128, 224, 256)
MULTIPLES = (2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32, 48, 64, 128)


def check_runs(subject: Subject) -> Outcome:
    """Small inputs go through, in eval and in training mode, without waiting for it."""
    network, given = subject.fresh(), subject.kind.given
    probe, seconds = subject.probe(network, 2), []
    try:
        for _ in range(2):
            started = time.perf_counter()
            subject.outputs(network, probe)
            seconds.append(time.perf_counter() - started)
        with torch.no_grad():
            image = subject.kind.train(network.train(), *probe)[0]
    except CheckFailed as failed:
        sized = subject.word == "backbone" and takes_sizes(network) and not network.training
        advice = _remedy(subject, network) if sized else ""
        raise CheckFailed(f"{in_words(failed)}; {advice}." if advice else str(failed)) from failed
    allowed = SLOW * max(1.0, image.numel() / (3 * 64**2))
    slow = f"{min(seconds):.1f} s for two {given}s, so users will wait long"
    return passed(f"takes {shown(*probe)}", slow if min(seconds) > allowed else "")


def check_shapes(subject: Subject) -> Outcome:
    """All that comes out has the shapes that are declared, and the type of what goes in."""
    network = subject.fresh()
    for count in (1, 2, 3):
        probe = subject.probe(network, count)
        made = subject.outputs(network, probe)
        fault = _fault(subject, network, probe, made)
        require(not fault, f"The shape is not as declared: {fault}; {_hint(network, probe, made)}.")
        types = {one.dtype for one in made} - {torch.float32}
        require(not types, f"Of float32 it makes {types}; keep the type of the input.")
    parts = zip(subject.kind.parts, made, strict=True)
    return passed(", ".join(f"{what} {tuple(one.shape)}" for what, one in parts))


def _fault(subject: Subject, network: Any, probe: Probe, made: Probe) -> str:
    """Which shape is wrong; empty where none is."""
    wanted = subject.kind.shapes(network, probe)
    for what, one, shape in zip(subject.kind.parts, made, wanted, strict=True):
        if tuple(one.shape) != shape:
            return f"{shown(*probe)} give {what} {tuple(one.shape)}, not {shape}"
    return ""


def _hint(network: Any, probe: Probe, made: Probe) -> str:
    """What to declare instead, or to return."""
    features = made[0] if made[0].shape[1:2] != (3,) else made[1]
    channels = features.shape[1] if features.dim() == 4 else network.feature_channels
    if channels != network.feature_channels:
        return f"declare feature_channels={channels}, or return the map before the last layer"
    scale = features.shape[-1] // probe[0].shape[-1]
    if scale > 1 and scale != getattr(network, "scale", scale):
        return f"declare scale={scale}"
    return "keep the size of what goes in, and return what is declared"


def check_forward_agrees(subject: Subject) -> Outcome:
    """forward(x) is head(forward_features(x)), plus x for the residual kind; forward_supervised
    gives the same features."""
    network = subject.fresh()
    x = images(2, _round_size(subject, network))
    features, image = subject.outputs(network, (x,))
    found: list[tuple[str, Tensor, Tensor]] = []
    with torch.no_grad():
        if has_own_forward(network):
            residual = network.kind == "residual"
            formula = "x + head(forward_features(x))" if residual else "head(forward_features(x))"
            expected = x + image if residual else image
            found.append(
                (f"forward(x) differs from {formula}", tensor_of(network, "forward", x), expected)
            )
        if hasattr(network, "forward_supervised"):
            supervised, intermediate = called(network, "forward_supervised", x)
            said = "forward_supervised(x) differs from forward_features(x)"
            found.append((said, supervised, features))
            said = "Images of forward_supervised(x) differ in size from that of head"
            found += [
                (said, torch.zeros_like(one), torch.zeros_like(image)) for one in intermediate
            ]
    for what, made, expected in found:
        apart = difference([made], [expected])
        advice = f"make both compute the same, as kind={network.kind!r} says"
        require(apart <= CLOSE, f"{what} ({percent(apart)} apart); {advice}.")
    if not found:
        return Outcome("not applicable", "the network defines no forward")
    return passed("the other ways to call it give the same")


def _round_size(subject: Subject, network: Any) -> Size:
    """A size that also networks which pad inside take without padding, where it is small.

    Padding inside reaches the last convolution in ``forward``, not what ``head`` sees of it.
    """
    if subject.size or not takes_sizes(network) or 32 % network.size_multiple:
        return subject.size or probe_size(network)
    return 32, 32


def check_sizes(subject: Subject) -> Outcome:
    """Every multiple of size_multiple is taken, small and not square, or fixed_size is; and any
    size through the core's padding."""
    network = subject.fresh()
    multiple, fixed = network.size_multiple, getattr(network, "fixed_size", None)
    started = time.perf_counter()
    taken: list[Size] = []
    for size in _multiples(multiple) if fixed is None else [(fixed, fixed)]:
        if len(taken) >= 3 and time.perf_counter() - started > PATIENCE:
            break
        fault = lasting_fault(subject, network, size)
        advice = fault and (_remedy(subject, network) or "declare the sizes that it needs")
        require(not fault, f"{promise(network)}, but {fault}; {advice}.")
        taken.append(size)
    padded = [(multiple + 1, max(2 * multiple - 1, 1)), (1, min(multiple, 5)), (3, 5)]
    if fixed is not None:
        padded = [(fixed - fixed // 3, max(fixed - 1, 1)), (1, fixed)]
    for size in padded:
        fault = lasting_fault(subject, network, size, padding=True)
        advice = "return maps of the padded size and leave the cropping to the core"
        require(not fault, f"Where the core pads, {fault}; {advice}.")
    return passed(f"takes {', '.join(f'{h}x{w}' for h, w in taken)}")


def promise(network: Any) -> str:
    """What a network says of sizes."""
    if not takes_sizes(network):
        return f"fixed_size={network.fixed_size} is declared"
    multiple = network.size_multiple
    sizes = "any size" if multiple == 1 else f"all multiples of {multiple}"
    return f"size_multiple={multiple} promises {sizes}"


def _multiples(multiple: int) -> list[Size]:
    if multiple == 1:
        return [(9, 13), (16, 24), (1, 1), (7, 2), (1, 6), (24, 17), (65, 67)]
    factors = [(1, 1), (1, 2), (3, 1)]
    if multiple < 64:
        factors += [(3, 2), (2, 3)]
    if multiple <= 8:
        factors += [(5, 1), (4, 7)]
    if multiple <= 16:
        # Windows and tables of positions often end at 64.
        odd = 64 // multiple // 2 * 2 + 1
        factors += [(odd, odd + 2)]
    return [(rows * multiple, columns * multiple) for rows, columns in factors]


def lasting_fault(subject: Subject, network: Any, size: Size, padding: bool = False) -> str:
    """What is wrong for images of a size with a network that has been used, and with a new one,
    too: else it is no matter of the size but of what was kept."""
    find = _fault_padded if padding else _fault_at
    return find(subject, network, size) and find(subject, subject.fresh(), size)


def _fault_at(subject: Subject, network: Any, size: Size) -> str:
    probe = (images(1, size),)
    try:
        return _fault(subject, network, probe, subject.outputs(network, probe))
    except CheckFailed as failed:
        return in_words(failed)


def _fault_padded(subject: Subject, network: Any, size: Size) -> str:
    module = restoration_module(network, merging_channels=4).eval()
    x, expected = images(1, size), (size[0] * network.scale, size[1] * network.scale)
    try:
        with torch.no_grad(), settings_kept():
            output = module(x)
    except Exception as error:
        return f"the restoration module fails on {shown(x)}: {in_words(error)}"
    sizes = {tuple(output.image.shape[2:]), tuple(output.features.shape[2:])} - {expected}
    return f"{shown(x)} gives {', '.join(map(str, sizes))}, not {expected}" if sizes else ""


def _remedy(subject: Subject, network: Any) -> str:
    """What to declare instead: tried out while time allows; empty where nothing helps."""
    started = time.perf_counter()

    def works(*sizes: Size) -> bool:
        return time.perf_counter() - started < PATIENCE and not any(
            _fault_at(subject, network, size) for size in sizes
        )

    for multiple in MULTIPLES:
        if multiple % network.size_multiple == 0 and works(*_multiples(multiple)):
            return f"it takes multiples of {multiple}: declare size_multiple={multiple}"
    for side in SIDES:
        if works((side, side)):
            return f"it takes {side}x{side}: declare fixed_size={side} if it takes that size only"
    return ""
