"""What a network is given stays as it was, and unusual images give usable results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ugpnet_core.testing.differences import SAME, difference, percent
from ugpnet_core.testing.images import called, has_own_forward
from ugpnet_core.testing.kind import Probe
from ugpnet_core.testing.report import CheckFailed, Outcome, in_words, passed
from ugpnet_core.testing.subject import Subject


def check_input_unchanged(subject: Subject) -> Outcome:
    """What is given to a network stays as it was, in both modes, and is not what comes back."""
    network, kind = subject.fresh(), subject.kind
    methods = [kind.methods[0]]
    if kind.word == "backbone":
        methods += ["forward"] if has_own_forward(network) else []
        methods += ["forward_supervised"] if hasattr(network, "forward_supervised") else []
    view = ""
    for training in (False, True):
        network.train(training)
        for method in methods:
            probe = _wide(subject.probe(network, 2))
            view = view or _check_unchanged(network, method, probe, kind.inputs)
    for probe in kind.unseen(network, subject.size):
        network = subject.fresh()
        try:
            subject.outputs(network, probe)
        except CheckFailed:
            continue  # the check of sizes says so
        _check_unchanged(network, methods[0], _wide(probe), kind.inputs)
    return passed(f"not changed by {', '.join(methods)}", view)


def _wide(probe: Probe) -> Probe:
    """Values far out of [0, 1] among the others, so that a clamp changes something."""
    wide = tuple(one.clone() for one in probe)
    for one in wide:
        one[..., ::2] = 4 * one[..., ::2] - 1.5
    return wide


def check_features_unchanged(subject: Subject) -> Outcome:
    """head depends on its feature map alone and leaves it as it was: the fusion needs it."""
    network = subject.fresh()
    view = ""
    with torch.no_grad():
        features, image = subject.outputs(network, subject.probe(network, 2))
        called(network, "forward_features", *subject.probe(network, 2, 1))
        apart = difference([called(network, "head", features)], [image])
    if apart > SAME:
        raise CheckFailed(
            f"head gives another result for the same features once forward_features has seen "
            f"another image ({percent(apart)} apart); compute it from the features alone. What "
            "the network adds to the image belongs into forward, as kind='residual' says, or into "
            "the features."
        )
    for training in (False, True):
        network.train(training)
        view = view or _check_unchanged(network, "head", (features,), ("feature map",))
    return passed("not changed by head", view)


def _check_unchanged(network: Any, method: str, probe: Probe, names: tuple[str, ...]) -> str:
    """Call a method on copies of tensors in the usual memory layouts; say where what it returns
    shares memory with them."""
    mode = "training" if network.training else "eval"
    seen: list[tuple[str, Tensor, Tensor, int]] = []
    view = ""
    # A network may copy in one layout and not in the other, and look whether gradients are on.
    ways = [(torch.contiguous_format, gradients) for gradients in (False, True)]
    for layout, gradients in (*ways, (torch.channels_last, False)):
        own = [one.clone(memory_format=layout) if one.dim() == 4 else one.clone() for one in probe]
        seen += [(n, one, one.clone(), one._version) for n, one in zip(names, own, strict=True)]
        with torch.set_grad_enabled(gradients):
            result = _call(getattr(network, method), own, method, mode)
        # The version counts changes that happen to keep the values (a ReLU of an image).
        for name, earlier, before, version in seen:
            if earlier._version != version or not torch.equal(earlier, before):
                raise CheckFailed(
                    f"{method} changes the {name} that it is given, in {mode} mode; use "
                    "operations that are not in place (x = x * 2, not x *= 2; ReLU without "
                    "inplace=True), or clone it first."
                )
        what = " or the ".join(names)
        if any(one.requires_grad for one in own):
            raise CheckFailed(
                f"{method} switches on the gradients of the {what} that it is given; use "
                "x.detach().requires_grad_(), which leaves that of the caller alone."
            )
        if _memory(own) & _memory(result):
            view = (
                f"{method} returns a view of the {what} that it is given, so that a change of the "
                "one in place changes the other; return a clone"
            )
    return view


def _memory(value: Any) -> set[int]:
    if isinstance(value, Tensor):
        return {value.untyped_storage().data_ptr()}
    members = value if isinstance(value, (tuple, list)) else ()
    return {place for one in members for place in _memory(one)}


def _call(function: Callable[..., object], given: list[Tensor], method: str, mode: str) -> object:
    try:
        return function(*given)
    except Exception as error:
        if not all(one.is_contiguous() for one in given):
            return None  # whether that layout works is said by another check
        raise CheckFailed(f"{method} fails in {mode} mode: {in_words(error)}.") from error


def check_plain_images(subject: Subject) -> Outcome:
    """Black, white, grey and one-coloured images give finite results and finite gradients."""
    network = subject.fresh()
    x = torch.zeros_like(subject.probe(network)[0])
    red = x.clone()
    red[:, 0] = 1
    plain = {"black": x, "white": x + 1, "grey": x + 0.5, "red": red}
    for colour, image in plain.items():
        for what, result in zip(
            subject.kind.parts, subject.outputs(network, (image,)), strict=True
        ):
            if not torch.isfinite(result).all():
                raise CheckFailed(
                    f"A {colour} image gives {what} that are not finite; add a small constant "
                    "where a deviation or a range is divided by."
                )
    network.train()
    for colour in ("black", "white"):
        made = subject.kind.train(network, plain[colour].repeat(2, 1, 1, 1))
        sum((one.square().mean() for one in made), made[0].new_zeros(())).backward()
        for name, parameter in network.named_parameters():
            if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
                raise CheckFailed(
                    f"A {colour} image in training gives {name} a gradient that is not finite; add "
                    "a small constant below square roots and in denominators."
                )
    return passed(f"finite for {', '.join(plain)}")
