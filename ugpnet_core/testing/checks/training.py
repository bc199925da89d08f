"""Training: modes, gradients, a step of an optimiser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ugpnet_core.losses.pixel import PIXEL_LOSSES
from ugpnet_core.networks.restoration import restoration_module
from ugpnet_core.testing.differences import SAME, difference, percent
from ugpnet_core.testing.report import CheckFailed, Outcome, in_words, passed
from ugpnet_core.testing.subject import (
    Subject,
    features_of,
    head_of,
    images,
    outputs_of,
    training_outputs_of,
)
from ugpnet_core.testing.surroundings import settings_kept

# So many draws of weights and images may leave a parameter without gradient (a ReLU that is off).
DRAWS = 4
# A gradient that is smaller than the largest by this factor is a parameter multiplied by nothing.
NEGLIGIBLE = 1e-14


def check_train_and_eval(subject: Subject) -> Outcome:
    """eval() reaches every layer, train() and back changes nothing, eval mode writes nothing."""
    network = subject.fresh()
    x = subject.images(network)
    before = _state(network)
    first = outputs_of(network, x)
    _check_state(network, before, "A call in eval mode")
    network.train()
    network.eval()
    _check_state(network, before, "train() followed by eval()")
    training = [name or "the network" for name, one in network.named_modules() if one.training]
    if training:
        raise CheckFailed(
            f"eval() leaves {training[0]} in training mode; call super().train(mode)."
        )
    apart = difference(outputs_of(network, x), first)
    if apart > SAME:
        raise CheckFailed(
            f"train() followed by eval() changes the result by {percent(apart)}; make train(mode) "
            "undo what it does."
        )
    return passed("eval mode writes nothing, train() and back changes nothing")


def _state(network: Any) -> dict[str, Tensor]:
    named = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    return {name: value.detach().clone() for name, value in named.items()}


def _check_state(network: Any, before: dict[str, Tensor], what: str) -> None:
    after = _state(network)
    changed = [name for name in before if name not in after]
    changed += [name for name in after if name not in before]
    changed = changed or [name for name in before if not _equal(before[name], after[name])]
    if changed:
        raise CheckFailed(
            f"{what} changes {changed[0]!r} of the state dict; change parameters and buffers in "
            "training mode only."
        )


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool(torch.equal(a.nan_to_num(), b.nan_to_num()))


def check_gradients(subject: Subject) -> Outcome:
    """In training every parameter gets a gradient, finite and not all zero.

    Parameters are first moved away from their initial values: a gate that starts at zero keeps
    every gradient behind it at zero, which is no fault. A gradient that is zero but for rounding
    (a bias before a normalisation) is mentioned, and no failure: the layouts of published
    networks have such parameters.
    """
    network = subject.fresh().train()
    names = [name for name, _ in network.named_parameters()]
    if not names:
        return Outcome("not applicable", "the network has no parameters")
    fixed = [name for name, parameter in network.named_parameters() if not parameter.requires_grad]
    if fixed:
        raise CheckFailed(
            f"The parameter {fixed[0]!r} has requires_grad=False, so it is never trained; leave it "
            "at True, or make it a buffer."
        )
    missing: dict[str, str] = dict.fromkeys(names, "")
    for draw in range(DRAWS):
        network = subject.fresh(draw, everywhere=draw > 0).train()
        gradients = _gradients(network, subject.images(network, 2, draw))
        lacks = _lacks(gradients)
        missing = {name: lacks[name] for name in missing if lacks[name]}
        if not missing:
            break
    if missing:
        name, lack = next(iter(missing.items()))
        others = f" (and {len(missing) - 1} more like it)" if len(missing) > 1 else ""
        raise CheckFailed(
            f"The parameter {name!r} gets {lack} in training{others}; use it in "
            "forward_features or head, without detach() or no_grad(), or remove it."
        )
    idle = _zero_but_for_rounding(subject, gradients)
    if idle:
        return passed(
            f"{len(names)} parameters have gradients; that of {idle[0]!r}"
            + (f" and {len(idle) - 1} more" if len(idle) > 1 else "")
            + " is zero but for rounding (a bias before a normalisation?)"
        )
    return passed(f"{len(names)} parameters have gradients")


def _gradients(network: Any, x: Tensor) -> dict[str, Tensor | None]:
    """Gradients of a random projection of all that training looks at.

    Raises:
        CheckFailed: the network or the backward pass fails, or a gradient is not finite.
    """
    _, image, intermediate = training_outputs_of(network, x)
    generator = torch.Generator().manual_seed(1)
    loss = image.new_zeros(())
    for made in (image, *intermediate):
        weights = torch.rand(made.shape, generator=generator) - 0.3
        loss = loss + (made * weights.to(made.dtype)).mean()
    if not loss.requires_grad:
        return dict.fromkeys(name for name, _ in network.named_parameters())
    try:
        loss.backward()
    except Exception as error:
        raise CheckFailed(
            f"The backward pass fails: {in_words(error)}; avoid operations in place on what "
            "gradients need."
        ) from error
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    for name, gradient in gradients.items():
        if gradient is not None and not torch.isfinite(gradient).all():
            raise CheckFailed(
                f"The gradient of {name!r} is not finite; add a small constant below square roots "
                "and in denominators."
            )
    return gradients


def _lack(gradient: Tensor | None) -> str:
    if gradient is None:
        return "no gradient"
    return "" if gradient.numel() == 0 or gradient.any() else "a gradient of zero"


def _lacks(gradients: Mapping[str, Tensor | None]) -> dict[str, str]:
    """What each gradient lacks; one that training could never see counts as zero."""
    sizes = {n: float(g.abs().max()) for n, g in gradients.items() if g is not None and g.numel()}
    smallest = NEGLIGIBLE * max(sizes.values(), default=0.0)
    lacks = {name: _lack(gradient) for name, gradient in gradients.items()}
    return lacks | {n: "a gradient of zero" for n, size in sizes.items() if size <= smallest}


def _zero_but_for_rounding(subject: Subject, gradients: dict[str, Tensor | None]) -> list[str]:
    """Names of gradients that shrink with the precision: what is real stays in float64."""
    sizes = {n: float(g.abs().max()) for n, g in gradients.items() if g is not None and g.numel()}
    largest = max(sizes.values(), default=0.0)
    if all(size > 1e-5 * largest for size in sizes.values()):
        return []
    try:
        network = subject.fresh().double().train()
        exact = _gradients(network, subject.images(network, 2).double())
    except CheckFailed:
        return []  # whether float64 works is said by another check
    return [
        name
        for name, size in sizes.items()
        if (gradient := exact[name]) is not None
        and size < 1e-5 * largest
        and float(gradient.abs().max()) < 1e-4 * size
    ]


def check_input_gradient(subject: Subject) -> Outcome:
    """The result has a gradient with respect to the image, finite and not all zero."""
    network = subject.fresh()
    x = subject.images(network).requires_grad_()
    image = head_of(network, features_of(network, x))
    if image.requires_grad:
        image.square().sum().backward()
    if _lack(x.grad):
        raise CheckFailed(
            f"The image gets {_lack(x.grad)}; compute the features from it with operations that "
            "have gradients."
        )
    if x.grad is not None and not torch.isfinite(x.grad).all():
        raise CheckFailed(
            "The gradient of the image is not finite; add a small constant below square roots and "
            "in denominators."
        )
    return passed("the image has a gradient")


def check_training_step(subject: Subject) -> Outcome:
    """Inside the restoration module, with its own loss, two steps of training leave all finite."""
    network = subject.raw()
    module = restoration_module(network, merging_channels=8).train()
    x = subject.images(network, 2)
    height, width = x.shape[2:]
    target = images(2, (height * network.scale, width * network.scale), 1)
    loss_function = PIXEL_LOSSES[subject.loss]
    values = []
    for _ in range(2):
        module.zero_grad()
        try:
            with settings_kept():
                output = module(x)
            made = (output.image, *output.intermediate)
            loss = torch.stack([loss_function(one, target) for one in made]).sum()
            loss.backward()
        except Exception as error:
            raise CheckFailed(
                f"A training step in the restoration module fails: {in_words(error)}."
            ) from error
        with torch.no_grad():
            for parameter in module.parameters():
                if parameter.grad is not None:
                    # As long as Adam's first step; importing torch.optim would take seconds.
                    parameter.sub_(1e-4 * parameter.grad.sign())
        values.append(float(loss.detach()))
    infinite = [n for n, p in module.named_parameters() if not torch.isfinite(p).all()]
    if infinite or not torch.isfinite(torch.tensor(values)).all():
        raise CheckFailed(
            f"Two training steps lead to values that are not finite (losses {values}); look for "
            "divisions and square roots without a small constant, or too large initial weights."
        )
    return passed(f"{subject.loss} loss {values[0]:.4g}, then {values[1]:.4g}")
