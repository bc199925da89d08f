"""The game of generator and discriminator: non-saturating loss, logistic loss, R1, path length.

As StyleGAN2 plays it (Karras et al., CVPR 2020, which supplement S.3 adopts). The supplement's
equation 1 has lost the inner sign: minimising -softplus(D(x)) would be unbounded.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Images of the published trainings span 2, from -1 to 1; ours span 1.
PUBLISHED_RANGE = 2.0


def generator_loss(fake_logits: Tensor) -> Tensor:
    """L_adv = mean softplus(-D(fake)); logits (N, 1) -> scalar."""
    return F.softplus(-fake_logits.float()).mean()


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Mean softplus(D(fake)) + mean softplus(-D(real)); logits (N, 1) -> scalar."""
    return F.softplus(fake_logits.float()).mean() + F.softplus(-real_logits.float()).mean()


def r1_penalty(real: Tensor, real_logits: Tensor, weight: float = 10.0, every: int = 1) -> Tensor:
    """(weight / 2) * E ||grad_real D(real)||^2 * every (Mescheder et al., ICML 2018).

    The norm is over all values of one image, the expectation over the batch. Published weights
    (10) count for images in [-1, 1]; with ours in [0, 1] a gradient is twice as large, which is
    undone here. Lazy regularisation (StyleGAN2, section 3.1) applies the penalty in one of
    ``every`` iterations only and so multiplies it by ``every``.

    Args:
        real: images (N, 3, r, r) on which ``requires_grad`` was set before D saw them.
        real_logits: D(real), (N, 1), with its graph.

    Raises:
        ValueError: ``real`` does not require a gradient.
    """
    if not real.requires_grad:
        raise ValueError("call real.requires_grad_() before the discriminator sees the images")
    (gradient,) = torch.autograd.grad(real_logits.float().sum(), real, create_graph=True)
    squared_norm = (gradient.float() / PUBLISHED_RANGE).square().sum(dim=(1, 2, 3))
    return squared_norm.mean() * (0.5 * weight * every)


def path_lengths(image: Tensor, styles: Tensor) -> Tensor:
    """||J_w^T y||_2 for each image, with y ~ N(0, I / (H W)) (StyleGAN2, section 3.2).

    Counted for images in [-1, 1], as published; drawn from torch's global generator.

    Args:
        image: (N, 3, H, W) in about [0, 1].
        styles: (N, L, style_dim), from which the image was made, with their graph.

    Returns:
        (N,): the root of the squared lengths' mean over the L layers; can be differentiated.
    """
    y = torch.randn(image.shape, device=image.device) / (image.shape[2] * image.shape[3]) ** 0.5
    (gradient,) = torch.autograd.grad((image.float() * y).sum(), styles, create_graph=True)
    return (PUBLISHED_RANGE * gradient.float()).square().sum(dim=2).mean(dim=1).sqrt()


def path_length_penalty(
    lengths: Tensor, mean: Tensor, weight: float = 2.0, every: int = 1
) -> Tensor:
    """weight * E (length - a)^2 * every, with a the running mean of the lengths (section 3.2).

    Args:
        lengths: (N,), from :func:`path_lengths`.
        mean: a, a scalar without graph.
        every: the penalty is applied in one of so many iterations.
    """
    return (lengths - mean).square().mean() * (weight * every)
