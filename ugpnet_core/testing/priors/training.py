"""Training and inversion: gradients to codes and weights, modes, a step of the synthesis stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ugpnet_core.networks.synthesis import SynthesisModule
from ugpnet_core.plugins.discovery import describe_error
from ugpnet_core.protocols import TrainablePrior
from ugpnet_core.testing.differences import SAME, difference, percent
from ugpnet_core.testing.priors.subject import (
    PriorSubject,
    called,
    codes_for,
    made_by,
    random_codes,
    synthesized,
)
from ugpnet_core.testing.report import CheckFailed, Outcome, passed
from ugpnet_core.testing.state import lost_parameters
from ugpnet_core.testing.subject import images
from ugpnet_core.testing.surroundings import settings_kept

DRAWS = 4


def check_code_gradients(subject: PriorSubject) -> Outcome:
    """The image has gradients with respect to the base code and to every style."""
    prior = subject.fresh()
    base, styles = (each.requires_grad_() for each in codes_for(prior, 2))
    # Without a copy in between, so that what is cut off is seen.
    image, _ = called(prior, "synthesize", base, styles)
    if image.requires_grad:
        (image * torch.randn_like(image)).sum().backward()
    for name, code in (("base code", base), ("styles", styles)):
        if code.grad is None:
            raise CheckFailed(f"The {name} gets no gradient; use it without detach() or no_grad().")
        if not torch.isfinite(code.grad).all():
            raise CheckFailed(
                f"The gradient of the {name} is not finite; add a small constant below square "
                "roots and in denominators."
            )
    assert base.grad is not None
    assert styles.grad is not None
    if not base.grad.any():
        raise CheckFailed("The base code changes nothing in the image; let generation start there.")
    idle = [index for index in range(prior.num_styles) if not styles.grad[:, index].any()]
    if idle:
        raise CheckFailed(
            f"Style {idle[0]} of {prior.num_styles} changes nothing in the image; use every style, "
            f"or declare num_styles={prior.num_styles - len(idle)}."
        )
    return passed(f"the base code and all {prior.num_styles} styles have gradients")


def check_gradients(subject: PriorSubject) -> Outcome:
    """Every parameter gets a gradient, from codes or from z; what synthesize uses, from codes."""
    prior = subject.fresh().train()
    names = [name for name, _ in prior.named_parameters()]
    if not names:
        return Outcome("not applicable", "the prior has no parameters")
    fixed = [name for name, parameter in prior.named_parameters() if not parameter.requires_grad]
    if fixed:
        raise CheckFailed(
            f"The parameter {fixed[0]!r} has requires_grad=False, so it is never trained; leave it "
            "at True, or make it a buffer."
        )
    lost = lost_parameters(prior)
    if lost:
        raise CheckFailed(
            f"The attribute {lost[0]!r} holds parameters that parameters() does not list, so they "
            "are never trained; use nn.ModuleList, nn.ParameterList or nn.ModuleDict."
        )
    unused, untrained = set(names), set(names)
    for draw in range(DRAWS):
        before = set(unused)
        prior = subject.fresh(draw, everywhere=draw > 0).train()
        unused &= _without_gradient(prior, _synthesis_loss(prior, draw))
        untrained &= unused
        if isinstance(prior, TrainablePrior):
            untrained &= _without_gradient(prior, _generation_loss(prior, draw))
        if not unused or (not untrained and unused == before):
            break
    _require_unused(subject, sorted(unused - untrained))
    if untrained:
        name = sorted(untrained)[0]
        others = f" (and {len(untrained) - 1} more like it)" if len(untrained) > 1 else ""
        raise CheckFailed(
            f"The parameter {name!r} gets no gradient in training{others}; use it without detach() "
            "or no_grad(), or remove it."
        )
    only = f", {len(unused)} of them from z only" if unused else ""
    return passed(f"{len(names)} parameters have gradients{only}")


def _synthesis_loss(prior: Any, seed: int) -> Tensor:
    return _projected(synthesized(prior, *codes_for(prior, 2, seed)))


def _generation_loss(prior: Any, seed: int) -> Tensor:
    codes = [random_codes(prior, 2, 2 * seed), random_codes(prior, 2, 2 * seed + 1)]
    made = called(prior, "__call__", codes, mixing_index=1, randomize_noise=True)
    return _projected(made)


def _projected(made: tuple[Tensor, Tensor]) -> Tensor:
    """A random projection of the image: the feature map alone trains nothing after it."""
    image = made[0]
    rng = torch.Generator().manual_seed(1)
    weights = torch.rand(image.shape, generator=rng).to(image.dtype) - 0.3
    return (image * weights).mean()


def _without_gradient(prior: Any, loss: Tensor) -> set[str]:
    prior.zero_grad()
    if not loss.requires_grad:
        return {name for name, _ in prior.named_parameters()}
    try:
        loss.backward()
    except Exception as error:
        raise CheckFailed(
            f"The backward pass fails: {describe_error(error)}; avoid operations in place on what "
            "gradients need."
        ) from error
    for name, parameter in prior.named_parameters():
        if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
            raise CheckFailed(
                f"The gradient of {name!r} is not finite; add a small constant below square roots "
                "and in denominators."
            )
    return {
        name
        for name, parameter in prior.named_parameters()
        if parameter.grad is None or (parameter.numel() and not parameter.grad.any())
    }


def _require_unused(subject: PriorSubject, names: Sequence[str]) -> None:
    """Parameters without gradient from codes must not count for what codes give."""
    prior = subject.fresh()
    codes = codes_for(prior)
    before = made_by(prior, codes)
    parameters = dict(prior.named_parameters())

    def changed(name: str) -> bool:
        with torch.no_grad():
            parameters[name].add_(torch.randn_like(parameters[name]))
        return difference(made_by(prior, codes), before) > SAME

    with torch.no_grad():
        kept = {name: parameters[name].clone() for name in names}
        for name in names:
            parameters[name].add_(torch.randn_like(parameters[name]))
        if difference(made_by(prior, codes), before) <= SAME:
            return
        for name, value in kept.items():
            parameters[name].copy_(value)
    # All together count, so that one of them does.
    name = next((name for name in names if changed(name)), names[0])
    raise CheckFailed(
        f"synthesize uses the parameter {name!r}, which gets no gradient from it; use it without "
        "detach() or no_grad()."
    )


def check_train_and_eval(subject: PriorSubject) -> Outcome:
    """eval() reaches every layer, train() and back changes nothing, eval mode writes nothing."""
    prior = subject.fresh()
    codes = codes_for(prior)
    before = {name: value.clone() for name, value in prior.state_dict().items()}
    first = made_by(prior, codes)
    for what in ("A call in eval mode", "train() followed by eval()"):
        for name, value in prior.state_dict().items():
            if name not in before or not torch.equal(value, before[name]):
                raise CheckFailed(
                    f"{what} changes {name!r} of the state dict; change parameters and buffers in "
                    "training mode only."
                )
        prior.train()
        prior.eval()
    training = [name or "the prior" for name, one in prior.named_modules() if one.training]
    if training:
        raise CheckFailed(
            f"eval() leaves {training[0]} in training mode; call super().train(mode)."
        )
    apart = difference(made_by(prior, codes), first)
    if apart > SAME:
        raise CheckFailed(
            f"train() followed by eval() changes the image by {percent(apart)}; make train(mode) "
            "undo what it does."
        )
    return passed("eval mode writes nothing, train() and back changes nothing")


def check_training_step(subject: PriorSubject) -> Outcome:
    """Inside the synthesis module, behind an encoder, two steps of training leave all finite."""
    prior = subject.raw()
    try:
        module = SynthesisModule(prior).train()
        side = prior.resolution
        x, target = images(2, (side, side)), images(2, (side, side), 1)
        values = []
        for _ in range(2):
            module.zero_grad()
            with settings_kept():
                loss = (module(x).image - target).abs().mean()
                loss.backward()
            values.append(float(loss.detach()))
            gradients = [p.grad for p in module.parameters() if p.grad is not None]
            if not all(bool(torch.isfinite(gradient).all()) for gradient in gradients):
                values.append(float("nan"))
            with torch.no_grad():
                for parameter in module.parameters():
                    if parameter.grad is not None:
                        # As long as Adam's first step; importing torch.optim would take seconds.
                        parameter.sub_(1e-4 * parameter.grad.sign())
    except Exception as error:
        raise CheckFailed(
            f"A training step in the synthesis module fails: {describe_error(error)}."
        ) from error
    if not torch.isfinite(torch.tensor(values)).all():
        raise CheckFailed(
            "Two training steps in the synthesis module lead to losses or gradients that are not "
            "finite; look for divisions and square roots without a small constant, or too large "
            "initial weights."
        )
    return passed(f"l1 loss {values[0]:.4g}, then {values[1]:.4g}")
