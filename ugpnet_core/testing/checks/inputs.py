"""What a network is given stays as it was, and unusual images give usable results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ugpnet_core.testing.report import CheckFailed, Outcome, in_words, passed
from ugpnet_core.testing.subject import (
    Subject,
    features_of,
    has_own_forward,
    images,
    outputs_of,
    training_outputs_of,
)


def check_input_unchanged(subject: Subject) -> Outcome:
    """The image that is given to a network stays as it was, in both modes."""
    network = subject.fresh()
    x = _wide(subject.images(network, 2))
    methods = ["forward_features"]
    methods += ["forward"] if has_own_forward(network) else []
    methods += ["forward_supervised"] if hasattr(network, "forward_supervised") else []
    for training in (False, True):
        network.train(training)
        for method in methods:
            _check_unchanged(network, method, x, "image")
    multiple = network.size_multiple
    if getattr(network, "fixed_size", None) is None and subject.size is None and multiple <= 16:
        network = subject.fresh()
        other = _wide(images(1, (5 * multiple, 3 * multiple)))
        if _is_taken(network, other):
            _check_unchanged(network, "forward_features", other, "image")
    return passed(f"not changed by {', '.join(methods)}")


def _is_taken(network: Any, x: Tensor) -> bool:
    """Whether an image goes through; if not, the check of sizes says so."""
    try:
        features_of(network, x)
    except CheckFailed:
        return False
    return True


def _wide(x: Tensor) -> Tensor:
    """Values far out of [0, 1] among the others, so that a clamp changes something."""
    wide = x.clone()
    wide[..., ::2] = 4 * wide[..., ::2] - 1.5
    return wide


def check_features_unchanged(subject: Subject) -> Outcome:
    """The feature map that is given to head stays as it was: the fusion network needs it."""
    network = subject.fresh()
    with torch.no_grad():
        features = features_of(network, subject.images(network, 2))
    for training in (False, True):
        network.train(training)
        _check_unchanged(network, "head", features, "feature map")
    return passed("not changed by head")


def _check_unchanged(network: Any, method: str, given: Tensor, what: str) -> None:
    """Call a method on copies of a tensor in the usual memory layouts."""
    mode = "training" if network.training else "eval"
    seen: list[tuple[Tensor, Tensor, int]] = []
    # A network may copy in one layout and not in the other, and look whether gradients are on.
    ways = [(torch.contiguous_format, gradients) for gradients in (False, True)]
    for layout, gradients in (*ways, (torch.channels_last, False)):
        own = given.clone(memory_format=layout)
        seen.append((own, own.clone(), own._version))
        with torch.set_grad_enabled(gradients):
            _call(getattr(network, method), own, method, mode)
        # The version counts changes that happen to keep the values (a ReLU of an image).
        for earlier, before, version in seen:
            if earlier._version != version or not torch.equal(earlier, before):
                raise CheckFailed(
                    f"{method} changes the {what} that it is given, in {mode} mode; use "
                    "operations that are not in place (x = x * 2, not x *= 2; ReLU without "
                    "inplace=True), or clone it first."
                )
        if own.requires_grad:
            raise CheckFailed(
                f"{method} switches on the gradients of the {what} that it is given; use "
                "x.detach().requires_grad_(), which leaves that of the caller alone."
            )


def _call(function: Callable[[Tensor], object], x: Tensor, method: str, mode: str) -> None:
    try:
        function(x)
    except Exception as error:
        layout = " in channels_last" if not x.is_contiguous() else ""
        if layout:
            return  # whether that layout works is said by another check
        raise CheckFailed(f"{method} fails in {mode} mode: {in_words(error)}.") from error


def check_plain_images(subject: Subject) -> Outcome:
    """Black, white, grey and one-coloured images give finite results and finite gradients."""
    network = subject.fresh()
    x = torch.zeros_like(subject.images(network))
    red = x.clone()
    red[:, 0] = 1
    plain = {"black": x, "white": x + 1, "grey": x + 0.5, "red": red}
    for colour, image in plain.items():
        for what, result in zip(("features", "image"), outputs_of(network, image), strict=True):
            if not torch.isfinite(result).all():
                raise CheckFailed(
                    f"A {colour} image gives {what} that are not finite; add a small constant "
                    "where a deviation or a range is divided by."
                )
    network.train()
    for colour in ("black", "white"):
        _, made, intermediate = training_outputs_of(network, plain[colour].repeat(2, 1, 1, 1))
        sum((one.square().mean() for one in (made, *intermediate)), made.new_zeros(())).backward()
        for name, parameter in network.named_parameters():
            if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
                raise CheckFailed(
                    f"A {colour} image in training gives {name} a gradient that is not finite; add "
                    "a small constant below square roots and in denominators."
                )
    return passed(f"finite for {', '.join(plain)}")
