"""The discriminator that an entry names: logits, gradients, second derivatives."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ugpnet_core.losses.adversarial import discriminator_loss, r1_penalty
from ugpnet_core.plugins.discovery import describe_error
from ugpnet_core.testing.differences import SAME, difference
from ugpnet_core.testing.images import images
from ugpnet_core.testing.report import CheckFailed, Outcome, passed
from ugpnet_core.testing.subject import Subject

NONE = Outcome("not declared", "the prior brings no discriminator, so it cannot be trained here")


def check_logits(subject: Subject) -> Outcome:
    """The discriminator maps images (N, 3, r, r) to finite logits (N, 1), the same ones again."""
    if subject.make_discriminator is None:
        return NONE
    discriminator = subject.discriminator()
    side = subject.raw().resolution
    for count in (1, 2, 3, 8):
        x = images(count, (side, side), count)
        before = x.clone()
        logits = _logits(discriminator, x)
        if tuple(logits.shape) != (count, 1):
            raise CheckFailed(
                f"{count} images give logits of shape {tuple(logits.shape)}; return (N, 1)."
            )
        if not torch.isfinite(logits).all():
            raise CheckFailed("Logits are not finite; look for divisions and too large weights.")
        if not torch.equal(x, before):
            raise CheckFailed(
                "The discriminator changes the images that it is given; use operations that are "
                "not in place."
            )
    if difference([_logits(discriminator, x)], [logits]) > SAME:
        raise CheckFailed(
            "The same images give other logits the next time; draw no random numbers."
        )
    if difference([_logits(discriminator, 1 - x)], [logits]) < SAME:
        raise CheckFailed("All images get the same logits; compute them from the images.")
    return passed("logits (N, 1) for 1, 2, 3 and 8 images")


def check_discriminator_gradients(subject: Subject) -> Outcome:
    """Every parameter of the discriminator gets a gradient, and the R1 penalty one of its own."""
    if subject.make_discriminator is None:
        return NONE
    discriminator = subject.discriminator()
    side = subject.raw().resolution
    real, fake = images(4, (side, side), 1), images(4, (side, side), 2) ** 3
    real.requires_grad_()
    logits = _logits(discriminator, real)
    discriminator_loss(logits, _logits(discriminator, fake)).backward(retain_graph=True)
    lacking = [n for n, p in discriminator.named_parameters() if p.grad is None or not p.grad.any()]
    if lacking:
        raise CheckFailed(
            f"The discriminator's parameter {lacking[0]!r} gets no gradient; use it without "
            "detach() or no_grad(), or remove it."
        )
    if real.grad is None or not real.grad.any():
        raise CheckFailed("Images get no gradient from the discriminator, so G cannot learn.")
    discriminator.zero_grad()
    try:
        r1_penalty(real, logits).backward()
    except Exception as error:
        raise CheckFailed(
            f"The R1 penalty cannot be differentiated: {describe_error(error)}; use operations "
            "with second derivatives."
        ) from error
    gradients = [p.grad for p in discriminator.parameters() if p.grad is not None]
    if not any(bool(gradient.any()) for gradient in gradients):
        raise CheckFailed("The R1 penalty has no gradient: logits are linear in the images.")
    if not all(bool(torch.isfinite(gradient).all()) for gradient in gradients):
        raise CheckFailed(
            "The R1 penalty has a gradient that is not finite; add a small constant below square "
            "roots and in denominators."
        )
    return passed(f"{sum(1 for _ in discriminator.parameters())} parameters have gradients, twice")


def _logits(discriminator: Any, x: Tensor) -> Tensor:
    try:
        logits = discriminator(x)
    except Exception as error:
        raise CheckFailed(
            f"The discriminator fails on {len(x)} images of {x.shape[2]}x{x.shape[3]}: "
            f"{describe_error(error)}."
        ) from error
    if not isinstance(logits, Tensor):
        raise CheckFailed(
            f"The discriminator returns a {type(logits).__name__}; return logits (N, 1)."
        )
    return logits
