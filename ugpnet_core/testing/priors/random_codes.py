"""A prior that generates from random codes (TrainablePrior): what the prior stage trains."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ugpnet_core.losses.adversarial import path_lengths
from ugpnet_core.plugins.discovery import describe_error
from ugpnet_core.testing.codes import CODE_SEED, called, not_trainable, random_codes
from ugpnet_core.testing.differences import CLOSE, SAME, difference, percent
from ugpnet_core.testing.report import CheckFailed, Outcome, passed
from ugpnet_core.testing.subject import Subject
from ugpnet_core.testing.surroundings import random_states

MEAN_OF = 2000


def check_random_codes(subject: Subject) -> Outcome:
    """map_styles, generate and the call work on codes z, and the call is both one after the
    other."""
    prior = subject.fresh()
    if outcome := not_trainable(prior):
        return outcome
    side = prior.resolution
    for count in (1, 3):
        z = random_codes(prior, count)
        w = _styles(prior, z)
        image, features = _call(prior, z)
        if tuple(image.shape) != (count, 3, side, side) or tuple(features.shape) != (
            count,
            prior.feature_channels,
            side,
            side,
        ):
            raise CheckFailed(
                f"{count} codes z give an image {tuple(image.shape)} and features "
                f"{tuple(features.shape)}; make them as those of synthesize."
            )
        apart = difference((image, features), _generate(prior, _repeated(prior, w)))
        if apart > CLOSE:
            raise CheckFailed(
                f"A call with z differs by {percent(apart)} from generate with its styles, "
                "map_styles(z) for each of the num_latents layers; make the call do just that."
            )
    states = random_states()
    if difference(_call(prior, z), (image, features)) > SAME:
        raise CheckFailed(
            "The same z gives another image the next time; draw noise only where randomize_noise "
            "is asked for."
        )
    prior.mean_latent(8, torch.Generator().manual_seed(0))
    if random_states() != states:
        raise CheckFailed(
            "A call with z, or mean_latent, changes a global random state; draw from the generator "
            "that is given."
        )
    other = _call(prior, random_codes(prior, 3, 1))
    if difference(other, (image, features)) < SAME:
        raise CheckFailed("All codes z give the same image; let the styles change it.")
    with torch.no_grad():
        called(prior, "__call__", random_codes(prior, 2), randomize_noise=True)
        called(prior, "generate", _repeated(prior, w), randomize_noise=True)
    return passed(f"z and {prior.num_latents} styles give images")


def check_mixing(subject: Subject) -> Outcome:
    """Of two codes, layers from mixing_index on follow the second."""
    prior = subject.fresh()
    if outcome := not_trainable(prior):
        return outcome
    first, second = random_codes(prior, 2, 1), random_codes(prior, 2, 2)
    ws = [_repeated(prior, _styles(prior, z)) for z in (first, second)]
    for index in sorted({1, prior.num_latents // 2, prior.num_latents - 1}):
        mixed = torch.cat([ws[0][:, :index], ws[1][:, index:]], 1)
        apart = difference(
            _call(prior, [first, second], mixing_index=index), _generate(prior, mixed)
        )
        if apart > CLOSE:
            raise CheckFailed(
                f"Two codes with mixing_index={index} differ by {percent(apart)} from generate "
                "with the styles of the first below that layer and of the second from it on; mix "
                "so."
            )
    return passed("styles are mixed where mixing_index says")


def check_truncation(subject: Subject) -> Outcome:
    """Truncation moves styles towards truncation_latent: at 0 all images are that of the mean."""
    prior = subject.fresh()
    if outcome := not_trainable(prior):
        return outcome
    z = random_codes(prior, 3)
    w, centre = _styles(prior, z), _styles(prior, random_codes(prior, 1, 1))
    for psi in (0.0, 0.5, 1.0):
        made = _call(prior, z, truncation=psi, truncation_latent=centre)
        apart = difference(made, _generate(prior, _repeated(prior, centre + psi * (w - centre))))
        if apart > CLOSE:
            raise CheckFailed(
                f"With truncation={psi:g} images differ by {percent(apart)} from those of "
                "truncation_latent + truncation * (w - truncation_latent); compute that."
            )
    return passed("images of truncated codes are those of truncated styles")


def check_mean_latent(subject: Subject) -> Outcome:
    """mean_latent is the mean of w, drawn from the generator that is given."""
    prior = subject.fresh()
    if outcome := not_trainable(prior):
        return outcome
    drawn = []
    for seed in (0, 0, 1):
        rng = torch.Generator().manual_seed(2 * CODE_SEED + seed)
        try:
            mean = prior.mean_latent(MEAN_OF, rng)
        except Exception as error:
            raise CheckFailed(f"mean_latent fails: {describe_error(error)}.") from error
        if tuple(getattr(mean, "shape", ())) != (1, prior.style_dim):
            raise CheckFailed(
                f"mean_latent returns {tuple(getattr(mean, 'shape', ()))}, not (1, "
                f"{prior.style_dim}); return the mean over the codes."
            )
        drawn.append(mean)
    w = _styles(prior, random_codes(prior, MEAN_OF, 3))
    # A mean near zero has the rounding of what it was taken of.
    if bool(((drawn[0] - drawn[1]).abs() > CLOSE * w.abs().max()).any()):
        raise CheckFailed(
            "mean_latent gives another mean for the same generator; draw the codes from rng."
        )
    # Six standard errors of the difference of two means.
    allowed = 6 * w.std(0) * (2 / MEAN_OF) ** 0.5 + 1e-4 * w.abs().max()
    if bool(((drawn[0][0] - w.mean(0)).abs() > allowed).any()):
        raise CheckFailed(
            f"mean_latent is not the mean of map_styles over standard normal codes (of {MEAN_OF}, "
            "more than six standard errors away); compute that."
        )
    return passed(f"as the mean of {MEAN_OF} codes, and the same for the same generator")


def check_second_order(subject: Subject) -> Outcome:
    """Path lengths can be differentiated: the prior stage regularises them."""
    prior = subject.fresh().train()
    if outcome := not_trainable(prior):
        return outcome
    styles = _repeated(prior, prior.map_styles(random_codes(prior, 2)))
    if not styles.requires_grad:
        styles = styles.detach().requires_grad_()
    try:
        image, _ = called(prior, "generate", styles, randomize_noise=True)
        lengths = path_lengths(image, styles)
        lengths.square().mean().backward()
    except CheckFailed:
        raise
    except Exception as error:
        raise CheckFailed(
            f"The length of the path cannot be differentiated: {describe_error(error)}; use "
            "operations with second derivatives."
        ) from error
    for name, parameter in prior.named_parameters():
        if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
            raise CheckFailed(
                f"The second derivative for {name!r} is not finite; add a small constant below "
                "square roots and in denominators."
            )
    return passed(f"path lengths {float(lengths.detach().mean()):.3g} can be differentiated")


def _styles(prior: Any, z: Tensor) -> Tensor:
    try:
        with torch.no_grad():
            w = prior.map_styles(z)
    except Exception as error:
        raise CheckFailed(
            f"map_styles fails on {tuple(z.shape)}: {describe_error(error)}."
        ) from error
    if not isinstance(w, Tensor) or tuple(w.shape) != tuple(z.shape):
        raise CheckFailed(
            f"map_styles maps z {tuple(z.shape)} to {tuple(getattr(w, 'shape', ()))}; make it "
            "return styles of the same shape."
        )
    return w


def _repeated(prior: Any, w: Tensor) -> Tensor:
    return w[:, None].repeat(1, prior.num_latents, 1)


def _call(prior: Any, z: Tensor | list[Tensor], **settings: Any) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        return called(prior, "__call__", z, **settings)


def _generate(prior: Any, styles: Tensor) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        return called(prior, "generate", styles)
