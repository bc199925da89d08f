"""Training: modes, gradients that arrive, a step of an optimiser."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ugpnet_core.losses.pixel import PIXEL_LOSSES
from ugpnet_core.networks.restoration import restoration_module
from ugpnet_core.networks.synthesis import SynthesisModule
from ugpnet_core.testing.differences import SAME, difference, percent
from ugpnet_core.testing.images import images
from ugpnet_core.testing.report import CheckFailed, Outcome, in_words, passed
from ugpnet_core.testing.subject import Subject
from ugpnet_core.testing.surroundings import settings_kept

# So many draws of weights and images may leave a parameter without gradient (a ReLU that is off).
DRAWS = 4
# A gradient that is smaller than the largest by this factor is a parameter multiplied by nothing.
NEGLIGIBLE = 1e-14
SMALL_CONSTANT = "add a small constant below square roots and in denominators"
Gradients = dict[str, Tensor | None]


def check_train_and_eval(subject: Subject) -> Outcome:
    """eval() reaches every layer, train() and back changes nothing, eval mode writes nothing."""
    network = subject.fresh()
    probe = subject.probe(network)
    before = _state(network)
    first = subject.outputs(network, probe)
    _check_state(network, before, "A call in eval mode")
    network.train()
    network.eval()
    _check_state(network, before, "train() followed by eval()")
    training = [name or "the network" for name, one in network.named_modules() if one.training]
    if training:
        raise CheckFailed(
            f"eval() leaves {training[0]} in training mode; call super().train(mode)."
        )
    apart = difference(subject.outputs(network, probe), first)
    if apart > SAME:
        raise CheckFailed(
            f"train() followed by eval() changes the {subject.kind.result} by {percent(apart)}; "
            "make train(mode) undo what it does."
        )
    return passed("eval mode writes nothing, train() and back changes nothing")


def _state(network: Any) -> dict[str, Tensor]:
    named = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    return {name: value.detach().clone() for name, value in named.items()}


def _check_state(network: Any, before: dict[str, Tensor], what: str) -> None:
    after = _state(network)
    changed = sorted(before.keys() ^ after.keys())
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
    networks have such parameters. Parameters of a prior that serve random codes alone are for
    its check of random codes.
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
    losses = subject.kind.losses(network, subject.size)
    gradients: list[Gradients] = []
    missing: dict[str, str] = dict.fromkeys(names, "")
    for draw in range(DRAWS):
        network = subject.fresh(draw, everywhere=draw > 0).train()
        gradients = [_gradients(network, loss, draw) for loss in losses]
        lacks = [_lacks(one) for one in gradients]
        missing = {n: lacks[-1][n] for n in missing if all(lack[n] for lack in lacks)}
        if not missing:
            break
    if missing:
        name, lack = next(iter(missing.items()))
        others = f" (and {len(missing) - 1} more like it)" if len(missing) > 1 else ""
        raise CheckFailed(
            f"The parameter {name!r} gets {lack} in training{others}; use it in "
            f"{' or '.join(subject.kind.methods)}, without detach() or no_grad(), or remove it."
        )
    idle = _zero_but_for_rounding(subject, gradients[0])
    said = f"{len(names)} parameters have gradients"
    if idle:
        others = f" and {len(idle) - 1} more" if len(idle) > 1 else ""
        said += f"; that of {idle[0]!r}{others} is zero but for rounding (before a normalisation?)"
    return passed(said)


def _gradients(network: Any, images_of: Callable[[Any, int], Any], seed: int) -> Gradients:
    """Gradients of a random projection of all that training looks at.

    Raises:
        CheckFailed: the network or the backward pass fails, or a gradient is not finite.
    """
    network.zero_grad()
    loss = projected(images_of(network, seed))
    try:
        if loss.requires_grad:
            loss.backward()
    except Exception as error:
        raise CheckFailed(
            f"The backward pass fails: {in_words(error)}; avoid operations in place on what "
            "gradients need."
        ) from error
    gradients: Gradients = {
        name: None if parameter.grad is None else parameter.grad.clone()
        for name, parameter in network.named_parameters()
    }
    for name, gradient in gradients.items():
        if gradient is not None and not torch.isfinite(gradient).all():
            raise CheckFailed(f"The gradient of {name!r} is not finite; {SMALL_CONSTANT}.")
    return gradients


def projected(made: tuple[Tensor, ...]) -> Tensor:
    """A random projection of images, as a loss."""
    generator = torch.Generator().manual_seed(1)
    loss = made[0].new_zeros(())
    for one in made:
        weights = torch.rand(one.shape, generator=generator) - 0.3
        loss = loss + (one * weights.to(one.dtype)).mean()
    return loss


def _lack(gradient: Tensor | None) -> str:
    if gradient is None:
        return "no gradient"
    return "" if gradient.numel() == 0 or gradient.any() else "a gradient of zero"


def _lacks(gradients: Mapping[str, Tensor | None]) -> dict[str, str]:
    """What each gradient lacks; one that training could never see counts as zero."""
    sizes = _sizes(gradients)
    smallest = NEGLIGIBLE * max(sizes.values(), default=0.0)
    lacks = {name: _lack(gradient) for name, gradient in gradients.items()}
    return lacks | {n: "a gradient of zero" for n, size in sizes.items() if size <= smallest}


def _sizes(gradients: Mapping[str, Tensor | None]) -> dict[str, float]:
    return {n: float(g.abs().max()) for n, g in gradients.items() if g is not None and g.numel()}


def _zero_but_for_rounding(subject: Subject, gradients: Gradients) -> list[str]:
    """Names of gradients that shrink with the precision: what is real stays in float64."""
    sizes = _sizes(gradients)
    limit = 1e-5 * max(sizes.values(), default=0.0)
    if all(size > limit for size in sizes.values()):
        return []
    network = subject.fresh().double().train()
    probe = tuple(one.double() for one in subject.probe(network, 2))
    try:
        exact = _gradients(network, lambda one, seed: subject.kind.train(one, *probe), 0)
    except CheckFailed:
        return []  # whether float64 works is said by another check
    found = _sizes(exact)
    return [name for name, s in sizes.items() if s < limit and found.get(name, s) < 1e-4 * s]


def check_input_gradient(subject: Subject) -> Outcome:
    """The result has gradients with respect to the input, finite and nowhere all zero."""
    network, kind = subject.fresh(), subject.kind
    probe = tuple(one.requires_grad_() for one in subject.probe(network, 2))
    image = kind.run(network, *probe)[kind.parts.index("image")]
    if image.requires_grad:
        (image * torch.randn_like(image)).sum().backward()
    for name, one in zip(kind.inputs, probe, strict=True):
        if lack := _lack(one.grad):
            raise CheckFailed(
                f"The {name} gets {lack}; compute the result from it with operations that have "
                "gradients."
            )
        if one.grad is not None and not torch.isfinite(one.grad).all():
            raise CheckFailed(f"The gradient of the {name} is not finite; {SMALL_CONSTANT}.")
    if subject.word == "prior":
        gradient = probe[1].grad
        assert gradient is not None
        idle = [index for index in range(network.num_styles) if not gradient[:, index].any()]
        if idle:
            raise CheckFailed(
                f"Style {idle[0]} of {network.num_styles} changes nothing in the image; use every "
                f"style, or declare num_styles={network.num_styles - len(idle)}."
            )
    return passed(f"gradients reach {' and '.join(kind.inputs)}")


def check_training_step(subject: Subject) -> Outcome:
    """Inside the module of its stage, with its loss, two steps of training leave all finite."""
    network, loss_function = subject.raw(), PIXEL_LOSSES[subject.loss]
    values = []
    try:
        if subject.word == "prior":
            module: Any = SynthesisModule(network)
            x, scale = images(2, (network.resolution, network.resolution)), 1
        else:
            module = restoration_module(network, merging_channels=8)
            x, scale = subject.probe(network, 2)[0], network.scale
        module.train()
        target = images(2, (x.shape[2] * scale, x.shape[3] * scale), 1)
        for _ in range(2):
            module.zero_grad()
            with settings_kept():
                output = module(x)
            made = (output.image, *getattr(output, "intermediate", ()))
            loss = torch.stack([loss_function(one, target) for one in made]).sum()
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
            f"A training step in the module of its stage fails: {in_words(error)}."
        ) from error
    infinite = [n for n, p in module.named_parameters() if not torch.isfinite(p).all()]
    if infinite or not torch.isfinite(torch.tensor(values)).all():
        raise CheckFailed(
            f"Two training steps lead to values that are not finite (losses {values}); look for "
            "divisions and square roots without a small constant, or too large initial weights."
        )
    return passed(f"{subject.loss} loss {values[0]:.4g}, then {values[1]:.4g}")
