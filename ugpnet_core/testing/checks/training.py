"""Training: gradients that arrive and are finite, a step of an optimiser."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ugpnet_core.losses.pixel import PIXEL_LOSSES
from ugpnet_core.networks.restoration import restoration_module
from ugpnet_core.networks.synthesis import SynthesisModule
from ugpnet_core.testing.kinds import Probe, images
from ugpnet_core.testing.report import CheckFailed, Outcome, failing, passed, require
from ugpnet_core.testing.subject import Subject
from ugpnet_core.testing.surroundings import settings_kept

# So many draws of weights and images may leave a parameter without gradient (a ReLU that is off).
DRAWS = 4
# A gradient that is smaller than the largest by this factor is a parameter multiplied by nothing.
NEGLIGIBLE = 1e-14
SMALL_CONSTANT = "add a small constant below square roots and in denominators"


def check_gradients(subject: Subject) -> Outcome:
    """In training every parameter and what goes in get a gradient, finite and not all zero.

    Parameters are first moved away from their initial values: a gate that starts at zero keeps
    every gradient behind it at zero, which is no fault. Neither is a gradient that is zero but for
    rounding (a bias before a normalisation): the layouts of published networks have such ones.
    """
    network = subject.fresh()
    for name, parameter in network.named_parameters():
        said = f"The parameter {name!r} has requires_grad=False, so it is never trained; leave it"
        require(parameter.requires_grad, f"{said} at True, or make it a buffer.")
    lacks = _lacks(subject, network, 0)
    missing = {name: lacks[name] for name in subject.kind.inputs if name in lacks}
    _require_all(subject, missing, "eval")
    missing = _lacks(subject, network.train(), 0)
    for draw in range(1, DRAWS):
        if missing:
            lacks = _lacks(subject, subject.fresh(draw, everywhere=True).train(), draw)
            missing = {name: lacks[name] for name in missing if name in lacks}
    _require_all(subject, missing, "training")
    return passed(f"all parameters and {' and '.join(subject.kind.inputs)} have gradients")


def _require_all(subject: Subject, missing: dict[str, str], mode: str) -> None:
    if missing:
        name, lack = next(iter(missing.items()))
        others = f" (and {len(missing) - 1} more like it)" if len(missing) > 1 else ""
        raise CheckFailed(
            f"The {name} gets {lack} in {mode}{others}; use it in "
            f"{' or '.join(subject.kind.methods)}, without detach() or no_grad(), or remove it."
        )


def _lacks(subject: Subject, network: Any, seed: int) -> dict[str, str]:
    """What the gradients of a random projection of all that training looks at lack, in each way of
    training.

    Raises:
        CheckFailed: the network or the backward pass fails, or a gradient is not finite.
    """
    probe = [one.requires_grad_() for one in subject.probe(network, 2, seed)]
    given = dict(zip(subject.kind.inputs, probe, strict=True))
    named = {f"parameter {n!r}": p for n, p in network.named_parameters() if p.numel()} | given
    lacks = dict.fromkeys(named, "")
    for made in (subject.kind.train(network, *probe), *subject.kind.train_otherwise(network, seed)):
        network.zero_grad()
        loss = projected(made)
        with failing("The backward pass fails", "avoid operations in place on what gradients need"):
            if loss.requires_grad:
                loss.backward()
        now = _lacks_of({name: one.grad for name, one in named.items()})
        lacks = {name: now[name] for name in lacks if name in now}
    if subject.word == "prior" and probe[1].grad is not None:
        styles = enumerate(probe[1].grad.unbind(1))
        lacks |= {f"style {n}": "a gradient of zero" for n, one in styles if not one.any()}
    return lacks


def _lacks_of(gradients: dict[str, Tensor | None]) -> dict[str, str]:
    """What gradients lack; one that training could never see counts as zero."""
    sizes = {n: 0.0 if g is None else float(g.abs().max()) for n, g in gradients.items()}
    for name, size in sizes.items():
        require(math.isfinite(size), f"The gradient of the {name} is not finite; {SMALL_CONSTANT}.")
    smallest = NEGLIGIBLE * max(sizes.values(), default=0.0)
    return {
        name: "no gradient" if gradients[name] is None else "a gradient of zero"
        for name, size in sizes.items()
        if size <= smallest
    }


def projected(made: Probe) -> Tensor:
    """A random projection of images, as a loss."""
    generator = torch.Generator().manual_seed(1)
    loss = made[0].new_zeros(())
    for one in made:
        weights = torch.rand(one.shape, generator=generator) - 0.3
        loss = loss + (one * weights.to(one.dtype)).mean()
    return loss


def check_training_step(subject: Subject) -> Outcome:
    """Inside the module of its stage, with its loss, two steps of training leave all finite."""
    network = subject.raw()
    with failing("A training step in the module of its stage fails"):
        if subject.word == "prior":
            module: Any = SynthesisModule(network)
            size = (network.resolution, network.resolution)
            x, target = images(2, size), images(2, size, 1)
        else:
            module = restoration_module(network, merging_channels=8)
            (x,) = subject.probe(network, 2)
            height, width = x.shape[2:]
            target = images(2, (height * network.scale, width * network.scale), 1)
        losses = [_step(module.train(), x, target, subject.loss) for _ in range(2)]
    finite = all(map(math.isfinite, losses))
    said = f"Two training steps lead to values that are not finite (losses {losses})"
    require(finite, f"{said}; {SMALL_CONSTANT}, or begin with smaller weights.")
    return passed(f"{subject.loss} loss {losses[0]:.4g}, then {losses[1]:.4g}")


def _step(module: Any, x: Tensor, target: Tensor, name: str) -> float:
    """A step as long as Adam's first one; importing torch.optim would take seconds. Gives the
    loss, or NaN where not all is finite afterwards."""
    module.zero_grad()
    with settings_kept():
        output = module(x)
    made = (output.image, *getattr(output, "intermediate", ()))
    loss = torch.stack([PIXEL_LOSSES[name](one, target) for one in made]).sum()
    loss.backward()
    finite = True
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.grad is not None:
                parameter.sub_(1e-4 * parameter.grad.sign())
                finite &= bool(torch.isfinite(parameter.grad + parameter).all())
    return float(loss.detach()) if finite else math.nan


def check_plain_images(subject: Subject) -> Outcome:
    """Black, white, grey and one-coloured images give finite results and finite gradients."""
    network = subject.fresh()
    (x,) = subject.probe(network, 2)
    red = torch.zeros_like(x)
    red[:, 0] = 1
    plain = {"black": 0 * x, "white": 0 * x + 1, "grey": 0 * x + 0.5, "red": red}
    for colour, image in plain.items():
        made = subject.outputs(network.eval(), (image,))
        finite = all(bool(one.isfinite().all()) for one in made)
        require(finite, f"A {colour} image gives a result that is not finite; {SMALL_CONSTANT}.")
        network.zero_grad()
        projected(subject.kind.train(network.train(), image)).backward()
        require_finite(network, f"A {colour} image in training gives a gradient that")
    return passed(f"finite for {', '.join(plain)}")


def require_finite(network: Any, what: str) -> None:
    """Fail unless the gradients of a network are finite."""
    for name, one in network.named_parameters():
        finite = one.grad is None or torch.isfinite(one.grad).all()
        require(finite, f"{what} is not finite, that of {name!r}; {SMALL_CONSTANT}.")
