"""What only priors promise: a range, images of random codes, and a discriminator that teaches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ugpnet_core.degradations.held import changed_states, random_states
from ugpnet_core.losses.adversarial import discriminator_loss, path_lengths, r1_penalty
from ugpnet_core.protocols import TrainablePrior
from ugpnet_core.testing.checks.training import SMALL_CONSTANT, require_finite
from ugpnet_core.testing.differences import CLOSE, SAME, difference, percent
from ugpnet_core.testing.kinds import Probe, called, images, output_of, random_codes, shown
from ugpnet_core.testing.report import Outcome, failing, passed, require
from ugpnet_core.testing.subject import Subject

# Far beyond what an untrained network makes of ordinary codes where images are in [0, 1].
LARGEST = 20.0
MEAN_OF = 2000
NO_CODES = Outcome("not applicable", "the prior does not generate from random codes")
NO_DISCRIMINATOR = Outcome("not declared", "the prior brings none, so it cannot be trained here")


def check_range(subject: Subject) -> Outcome:
    """Images are finite, vary from pixel to pixel, and are meant for [0, 1]."""
    prior = subject.fresh()
    few = 4 if prior.resolution <= 64 else 1
    image = subject.outputs(prior, subject.probe(prior, few))[0]
    finite = torch.isfinite(image).all()
    require(finite, f"The image has values that are not finite; {SMALL_CONSTANT}.")
    said = "All pixels of all images are the same; look for a last layer that saturates."
    require(float(image.std()) >= 1e-6, said)
    # Most values, as a few may be far out: a root mean square would follow those.
    largest = float((image - 0.5).abs().flatten()[:: 1 + image.numel() // 2**20].quantile(0.9))
    said = f"Values of the image lie about {largest:.3g} from 0.5; return images in about [0, 1]"
    require(largest <= LARGEST, f"{said} (not 0 to 255), and start from smaller weights.")
    lowest, highest = _limits(subject, prior, few)
    said = "The image fills [-1, 1] and never leaves it; return images in [0, 1]: (x + 1) / 2."
    require(not (-1.001 <= lowest < -0.9 and 0.9 < highest <= 1.001), said)
    return passed(f"finite, from {float(image.min()):.2g} to {float(image.max()):.2g}")


def _limits(subject: Subject, prior: Any, count: int) -> tuple[float, float]:
    """What images reach for codes that drive a bounded last layer to its bounds."""
    base, styles = subject.probe(prior, count, 7)
    made = [
        subject.outputs(prior, (factor * base, changed))[0]
        for factor in (1.0, 1e2, 1e4)
        for changed in (styles, factor * styles)
    ]
    values = torch.cat([one[torch.isfinite(one)] for one in made])
    return float(values.min()), float(values.max())


def check_random_codes(subject: Subject) -> Outcome:
    """Of codes z the call makes what generate makes of their styles: mixed, and truncated, too."""
    prior = subject.fresh()
    if not isinstance(prior, TrainablePrior):
        return NO_CODES
    z, other = random_codes(prior, 3), random_codes(prior, 3, 1)
    w, states = _styles(prior, z), random_states()
    made = _call(prior, z)
    shapes = tuple(tuple(one.shape) for one in made)
    require(shapes == subject.kind.shapes(prior, (z,)), f"A call with 3 z gives {shapes}.")
    for what, called_so, styles, formula in _calls(prior, z, other):
        apart = difference(called_so, _generate(prior, styles))
        said = f"A call with {what} differs by {percent(apart)} from generate with {formula}"
        require(apart <= CLOSE, f"{said}; compute that.")
    same = difference(_call(prior, z), made) <= SAME and not changed_states(states)
    said = "The same z gives another image the next time, or a global random state is another"
    require(same, f"{said}; draw noise only where randomize_noise is asked for.")
    different = difference(_call(prior, other), made) >= SAME
    require(different, "All codes z give the same image; let the styles change it.")
    _call(prior, z, randomize_noise=True)
    _generate(prior, w, randomize_noise=True)
    return passed(f"z and {prior.num_latents} styles give images")


def _calls(prior: Any, z: Tensor, other: Tensor) -> Iterator[tuple[str, Probe, Tensor, str]]:
    """Calls in words, what they give, and the styles that should give it, in words, too."""
    w, v = _styles(prior, z), _styles(prior, other)
    for count in (1, 3):
        formula = "map_styles(z) for each of the num_latents layers"
        yield f"{count} z", _call(prior, z[:count]), w[:count], formula
    for index in sorted({1, prior.num_latents // 2, prior.num_latents - 1}):
        formula = "the styles of the first below that layer, of the second from it on"
        made = _call(prior, [z, other], mixing_index=index)
        yield f"mixing_index={index}", made, torch.cat([w[:, :index], v[:, index:]], 1), formula
    for psi in (0.0, 0.5, 1.0):
        formula = "truncation_latent + truncation * (w - truncation_latent)"
        made = _call(prior, z, truncation=psi, truncation_latent=v[:1, 0])
        yield f"truncation={psi:g}", made, v[:1] + psi * (w - v[:1]), formula


def check_mean_latent(subject: Subject) -> Outcome:
    """mean_latent is the mean of w, drawn from the generator that is given."""
    prior = subject.fresh()
    if not isinstance(prior, TrainablePrior):
        return NO_CODES
    states = random_states()
    first, again = (_mean(prior) for _ in range(2))
    w = _styles(prior, random_codes(prior, MEAN_OF, 3))[:, 0]
    # A mean near zero has the rounding of what it was taken of.
    same = not changed_states(states) and ((first - again).abs() <= CLOSE * w.abs().max()).all()
    said = "mean_latent gives another mean for the same generator, or draws from another one"
    require(same, f"{said}; draw the codes from rng.")
    # Six standard errors of the difference of two means.
    allowed = 6 * w.std(0) * (2 / MEAN_OF) ** 0.5 + 1e-4 * w.abs().max()
    said = f"mean_latent is not the mean of map_styles over {MEAN_OF} standard normal codes (more"
    near = ((first[0] - w.mean(0)).abs() <= allowed).all()
    require(near, f"{said} than six standard errors away); compute that.")
    return passed(f"as the mean of {MEAN_OF} codes, and the same for the same generator")


def check_second_order(subject: Subject) -> Outcome:
    """Path lengths can be differentiated: the prior stage regularises them."""
    prior: Any = subject.fresh().train()
    if not isinstance(prior, TrainablePrior):
        return NO_CODES
    styles = prior.map_styles(random_codes(prior, 2))[:, None].repeat(1, prior.num_latents, 1)
    styles = styles if styles.requires_grad else styles.detach().requires_grad_()
    with failing("Path lengths cannot be differentiated", "use what has second derivatives"):
        image = output_of(prior, "generate", styles, randomize_noise=True)[0]
        lengths = path_lengths(image, styles)
        lengths.square().mean().backward()
    require_finite(prior, "The second derivative")
    return passed(f"path lengths {float(lengths.detach().mean()):.3g} can be differentiated")


def check_discriminator(subject: Subject) -> Outcome:
    """The discriminator maps images (N, 3, r, r) to finite logits (N, 1), the same ones again;
    every parameter gets a gradient, and the R1 penalty one of its own."""
    if subject.make_discriminator is None:
        return NO_DISCRIMINATOR
    discriminator, side = subject.discriminator(), subject.raw().resolution
    for count in (1, 2, 3, 8):
        x = images(count, (side, side), count)
        logits = _logits(discriminator, x)
    apart = difference([_logits(discriminator, x)], [logits])
    require(apart <= SAME, "The same images give other logits next time; draw no random numbers.")
    apart = difference([_logits(discriminator, 1 - x)], [logits])
    require(apart >= SAME, "All images get the same logits; compute them from the images.")
    real, fake = images(4, (side, side), 1), images(4, (side, side), 2) ** 3
    logits = _logits(discriminator, real.requires_grad_())
    discriminator_loss(logits, _logits(discriminator, fake)).backward(retain_graph=True)
    for name, one in {"images": real, **dict(discriminator.named_parameters())}.items():
        said = f"From the discriminator {name!r} get no gradient; use all without detach() or"
        require(one.grad is not None and one.grad.any(), f"{said} no_grad(), or remove it.")
    discriminator.zero_grad()
    with failing("The R1 penalty cannot be differentiated", "use what has second derivatives"):
        r1_penalty(real, logits).backward()
    gradients = [p.grad for p in discriminator.parameters() if p.grad is not None]
    there = any(bool(gradient.any()) for gradient in gradients)
    require(there, "The R1 penalty has no gradient: logits are linear in the images.")
    require_finite(discriminator, "The gradient of the R1 penalty")
    return passed("logits (N, 1) for 1, 2, 3 and 8 images, and gradients twice")


def _logits(discriminator: Any, x: Tensor) -> Tensor:
    before = x.detach().clone()
    with failing(f"The discriminator fails on {shown(x)}"):
        logits: Tensor = discriminator(x)
    require(torch.equal(x, before), "The discriminator changes images in place; compute new ones.")
    shape, kind = tuple(getattr(logits, "shape", ())), type(logits).__name__
    require(shape == (len(x), 1), f"{shown(x)} give a {kind} {shape}; return logits (N, 1).")
    require(logits.isfinite().all(), "Logits are not finite; look for divisions.")
    return logits


def _mean(prior: Any) -> Tensor:
    with failing("mean_latent fails"):
        mean: Tensor = prior.mean_latent(MEAN_OF, torch.Generator().manual_seed(11))
    shape, wanted = tuple(getattr(mean, "shape", ())), (1, prior.style_dim)
    require(shape == wanted, f"mean_latent gives {shape}, not {wanted}; return the mean of codes.")
    return mean


@torch.no_grad()
def _styles(prior: Any, z: Tensor) -> Tensor:
    """w of codes, (N, num_latents, style_dim): the same for all layers."""
    w: Tensor = called(prior, "map_styles", z)
    shape = tuple(getattr(w, "shape", ()))
    said = f"map_styles maps z {tuple(z.shape)} to {shape}; make it return styles of its shape."
    require(shape == tuple(z.shape), said)
    return w[:, None].repeat(1, prior.num_latents, 1)


@torch.no_grad()
def _call(prior: Any, z: Tensor | list[Tensor], **settings: Any) -> Probe:
    return output_of(prior, "__call__", z, **settings)


@torch.no_grad()
def _generate(prior: Any, w: Tensor, **settings: Any) -> Probe:
    return output_of(prior, "generate", w, **settings)
