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
    outputs_of,
    training_outputs_of,
)


def check_input_unchanged(subject: Subject) -> Outcome:
    """The image that is given to a network stays as it was, in both modes."""
    network = subject.fresh()
    x = subject.images(network, 2)
    methods = ["forward_features"]
    methods += ["forward"] if has_own_forward(network) else []
    methods += ["forward_supervised"] if hasattr(network, "forward_supervised") else []
    for training in (False, True):
        network.train(training)
        for method in methods:
            _check_unchanged(network, method, x, "image")
    return passed(f"not changed by {', '.join(methods)}")


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
    # A network may copy in one layout and not in the other.
    for layout in (torch.contiguous_format, torch.channels_last):
        own = given.clone(memory_format=layout)
        before, version = own.clone(), own._version
        with torch.no_grad():
            _call(getattr(network, method), own, method, mode)
        # The version counts changes that happen to keep the values (a ReLU of an image).
        if own._version != version or not torch.equal(own, before):
            raise CheckFailed(
                f"{method} changes the {what} that it is given, in {mode} mode; use operations "
                "that are not in place (x = x * 2, not x *= 2; ReLU without inplace=True), or "
                "clone it first."
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
