"""Shapes: of the feature map and the image, and of images of every size that is promised."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import torch
from torch import Tensor

from ugpnet_core.networks.restoration import restoration_module
from ugpnet_core.testing.differences import CLOSE, difference, percent
from ugpnet_core.testing.images import (
    called,
    has_own_forward,
    images,
    probe_size,
    takes_sizes,
)
from ugpnet_core.testing.kind import Size
from ugpnet_core.testing.report import CheckFailed, Outcome, in_words, passed
from ugpnet_core.testing.subject import Subject
from ugpnet_core.testing.surroundings import settings_kept

# Large networks are probed at as many sizes as this many seconds allow, and at three at least.
PATIENCE = 10.0


def check_feature_shape(subject: Subject) -> Outcome:
    """forward_features gives (N, feature_channels, H * scale, W * scale), head (N, 3, ...)."""
    network = subject.fresh()
    (x,) = subject.probe(network, 2)
    with torch.no_grad():
        features = called(network, "forward_features", x)
        _check_features(network, features, x)
        image = called(network, "head", features)
    expected = (len(x), 3, *features.shape[2:])
    if tuple(image.shape) != expected:
        raise CheckFailed(
            f"head returns {tuple(image.shape)} for features {tuple(features.shape)}; make it "
            f"return an image {expected}."
        )
    if image.dtype != x.dtype or features.dtype != x.dtype:
        types = [str(one.dtype).removeprefix("torch.") for one in (features, image)]
        raise CheckFailed(
            f"Images of float32 give features of {types[0]} and an image of {types[1]}; keep the "
            "type of the input."
        )
    return passed(f"{tuple(x.shape)} gives features {tuple(features.shape)}")


def _check_features(network: Any, features: Tensor, x: Tensor) -> None:
    """Name what is wrong with the shape of a feature map, and the value to declare instead."""
    channels, scale = network.feature_channels, network.scale
    expected = (x.shape[0], channels, x.shape[2] * scale, x.shape[3] * scale)
    shape = tuple(features.shape)
    if shape == expected:
        return
    said = f"forward_features returns {shape} for images {tuple(x.shape)}"
    if len(shape) != 4 or shape[0] != x.shape[0]:
        raise CheckFailed(f"{said}; make it return one map of each image, {expected}.")
    if shape[2:] == expected[2:]:
        raise CheckFailed(
            f"{said}, which has {shape[1]} channels where feature_channels={channels}; declare "
            f"feature_channels={shape[1]}, or return the map that enters the last layer."
        )
    factor = next((k for k in range(1, 65) if shape[2:] == (x.shape[2] * k, x.shape[3] * k)), None)
    hint = f"declare scale={factor}" if factor else "keep the size of the image"
    raise CheckFailed(
        f"{said}, where scale={scale} promises a map of {expected[2]}x{expected[3]}; {hint}, or "
        "bring the map to that size."
    )


def check_forward_agrees(subject: Subject) -> Outcome:
    """forward(x) is head(forward_features(x)), plus x for the residual kind."""
    network = subject.fresh()
    x = images(2, _round_size(network, subject), 0)
    features, image = subject.outputs(network, (x,))
    residual, formula = network.kind == "residual", "head(forward_features(x))"
    expected, formula = (x + image, f"x + {formula}") if residual else (image, formula)
    own, supervised = has_own_forward(network), hasattr(network, "forward_supervised")
    if not own and not supervised:
        return Outcome("not applicable", "the network defines no forward")
    if own:
        try:
            with torch.no_grad(), settings_kept():
                result = network(x.clone())
        except Exception as error:
            raise CheckFailed(
                f"forward fails where {formula} works: {in_words(error)}; derive from "
                "RegressionNetwork, which brings a forward."
            ) from error
        if not isinstance(result, Tensor):
            raise CheckFailed(f"forward returns a {type(result).__name__}; make it {formula}.")
        apart = difference([result], [expected])
        if apart > CLOSE:
            raise CheckFailed(
                f"forward(x) differs from {formula} by {percent(apart)}; make both compute the "
                f"same, as kind={network.kind!r} says."
            )
    if supervised:
        _check_supervised(network, x, features, image)
    return passed(f"forward(x) = {formula}")


def _round_size(network: Any, subject: Subject) -> Size:
    """A size that also networks which pad inside take without padding, where it is small.

    Padding inside reaches the last convolution in ``forward``, not what ``head`` sees of it.
    """
    multiple, size = network.size_multiple, subject.size or probe_size(network)
    if subject.size or not takes_sizes(network) or max(size) > 128:
        return size
    side = next(side for side in range(multiple, 64 * multiple + 1, multiple) if side % 32 == 0)
    return (side, side) if side <= 128 and 32 % multiple == 0 else size


@torch.no_grad()
def _check_supervised(network: Any, x: Tensor, features: Tensor, image: Tensor) -> None:
    supervised, intermediate = network.forward_supervised(x.clone())
    apart = difference([supervised], [features])
    if apart > CLOSE:
        raise CheckFailed(
            f"The features of forward_supervised differ from those of forward_features by "
            f"{percent(apart)}; make both compute the same."
        )
    for number, made in enumerate(intermediate, 1):
        if made.shape != image.shape:
            raise CheckFailed(
                f"Intermediate image {number} of forward_supervised is {tuple(made.shape)}; make "
                f"it {tuple(image.shape)}."
            )


def check_sizes(subject: Subject) -> Outcome:
    """Every multiple of size_multiple is taken, small and not square; or fixed_size is."""
    network = subject.fresh()
    fixed = getattr(network, "fixed_size", None)
    if fixed is not None:
        fault = fault_at(subject, network, (fixed, fixed))
        if fault:
            raise CheckFailed(f"fixed_size={fixed} is declared, but {fault}.")
        return passed(f"takes {fixed}x{fixed}")
    started = time.perf_counter()
    taken: list[str] = []
    for size in _sizes(network.size_multiple):
        if len(taken) >= 3 and time.perf_counter() - started > PATIENCE:
            break
        # A new network tells a size that is not taken from a trace of the size before.
        fault = fault_at(subject, network, size) and fault_at(subject, subject.fresh(), size)
        if fault:
            raise CheckFailed(f"{promise(network)}, but {fault}; {_remedy(subject, network)}.")
        taken.append(f"{size[0]}x{size[1]}")
    return passed(f"takes {', '.join(taken)}")


def promise(network: Any) -> str:
    """What a network says of sizes."""
    multiple = network.size_multiple
    sizes = "any size" if multiple == 1 else f"all multiples of {multiple}"
    return f"size_multiple={multiple} promises {sizes}"


def _sizes(multiple: int) -> list[Size]:
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


def fault_at(subject: Subject, network: Any, size: Size) -> str | None:
    """What is wrong with the result for an image of a size, or None."""
    height, width = size[0] * network.scale, size[1] * network.scale
    try:
        features, image = subject.outputs(network, (images(1, size),))
    except CheckFailed as failed:
        return str(failed)[:1].lower() + str(failed)[1:].rstrip(".")
    for what, result in (("features", features), ("an image", image)):
        if tuple(result.shape[2:]) != (height, width):
            shape = "x".join(map(str, result.shape[2:]))
            return f"an image of {size[0]}x{size[1]} gives {what} of {shape}, not {height}x{width}"
    if features.shape[1] != network.feature_channels:
        return (
            f"an image of {size[0]}x{size[1]} gives features of {features.shape[1]} channels, not "
            f"feature_channels={network.feature_channels}"
        )
    return None


def _remedy(subject: Subject, network: Any) -> str:
    """What to declare instead: tried out, unless that would take long."""
    started = time.perf_counter()

    def works(*sizes: Size) -> bool:
        return time.perf_counter() - started < PATIENCE and not any(
            fault_at(subject, network, size) for size in sizes
        )

    for multiple in (2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32, 48, 64, 128):
        if multiple % network.size_multiple == 0 and works(*_sizes(multiple)):
            return f"it takes multiples of {multiple}: declare size_multiple={multiple}"
    for side in (16, 24, 32, 48, 64, 96, 128, 224, 256):
        if works((side, side)):
            return (
                f"it takes {side}x{side}: declare fixed_size={side} if it can take that size only, "
                "or make it take the others"
            )
    return "declare the size_multiple or the fixed_size that it needs"


def working_size(subject: Subject) -> Size | None:
    """The first of some common sizes whose results have the size that they should have, or, where
    there is none, the first that does not raise; None where its usual probe size is either."""
    network = subject.fresh()
    usual = probe_size(network)
    sides = (16, 24, 32, 48, 64, 96, 128, 224, 256)
    raising = True
    for size in (usual, (32, 48), *((side, side) for side in sides)):
        if fault_at(subject, network, size) is None:
            return None if size == usual else size
        if raising:
            with contextlib.suppress(CheckFailed):
                subject.outputs(network, (images(1, size),))
                raising, first = False, size
    return None if raising or first == usual else first


def check_odd_sizes(subject: Subject) -> Outcome:
    """Through the core's padding, an image of any size gives one of exactly that size x scale."""
    network = subject.fresh()
    fixed, multiple = getattr(network, "fixed_size", None), network.size_multiple
    if fixed is not None:
        sizes = [(fixed - fixed // 3, max(fixed - 1, 1)), (1, fixed)]
    else:
        sizes = [(multiple + 1, max(2 * multiple - 1, 1)), (1, min(multiple, 5)), (3, 5)]
    for size in sizes:
        fault = _restoration_fault(network, size) and _restoration_fault(subject.fresh(), size)
        if fault:
            raise CheckFailed(fault)
    return passed(", ".join(f"{height}x{width}" for height, width in sizes) + " keep their size")


def _restoration_fault(network: Any, size: Size) -> str | None:
    """What is wrong with the regressed image of an image of a size, or None."""
    module = restoration_module(network, merging_channels=4).eval()
    expected = (size[0] * network.scale, size[1] * network.scale)
    try:
        with torch.no_grad(), settings_kept():
            output = module(images(1, size))
    except Exception as error:
        return (
            f"The restoration module fails on an image of {size[0]}x{size[1]}, which the core "
            f"pads: {in_words(error)}."
        )
    for what, result in (("image", output.image), ("feature map", output.features)):
        if tuple(result.shape[2:]) != expected:
            return (
                f"An image of {size[0]}x{size[1]} gives a regressed {what} of "
                f"{'x'.join(map(str, result.shape[2:]))}, not {expected[0]}x{expected[1]}; "
                "return maps of the padded size and leave the cropping to the core."
            )
    return None
