"""Pictures that a prior makes of random codes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn

from ugpnet_core.errors import ConfigError
from ugpnet_core.protocols import Prior, TrainablePrior
from ugpnet_core.seeding import rng_for

# Codes that the mean of w is taken over where it is not stored.
MEAN_CODES = 4096
MEAN_SEED = 0
BATCH_PIXELS = 4 * 256 * 256


def mean_style(prior: Prior) -> Tensor:
    """The centre for truncation, (1, style_dim): the mean of w that is stored with the prior
    (``w_avg``), else over codes of a fixed seed.

    Raises:
        ConfigError: the prior does not generate from random codes.
    """
    trainable = generates(prior)
    stored: object = getattr(prior, "w_avg", None)
    # Zeros are what a network has that no mean was loaded into.
    if isinstance(stored, Tensor) and stored.numel() == trainable.style_dim and stored.any():
        return stored.detach().reshape(1, -1)
    return trainable.mean_latent(MEAN_CODES, code_generator(MEAN_SEED, "mean"))


def code_generator(seed: int, purpose: str) -> torch.Generator:
    """A generator for codes. Not simply of that seed: weights that were first drawn with the same
    one would be the same numbers, and codes that follow the weights make pictures of their own."""
    return torch.Generator().manual_seed(int(rng_for(seed, purpose).integers(2**62)))


@torch.no_grad()
def sample(
    prior: Prior, count: int, *, seed: int = 0, truncation: float = 1.0, device: str = "cpu"
) -> Iterator[Tensor]:
    """Make pictures of random codes, one after the other.

    The codes are drawn one by one, so that the first pictures of a seed are the same for any
    ``count``.

    Args:
        truncation: psi; 1 for none. Smaller is less varied and mostly better.
        device: where the prior is.

    Yields:
        RGB (3, r, r) in [0, 1], on the CPU.

    Raises:
        ConfigError: the prior does not generate from random codes.
    """
    trainable = generates(prior)
    centre = mean_style(prior) if truncation != 1.0 else None
    rng = code_generator(seed, "sample")
    size = max(1, min(16, BATCH_PIXELS // prior.resolution**2))
    for start in range(0, count, size):
        codes = torch.cat(
            [
                torch.randn(1, prior.style_dim, generator=rng)
                for _ in range(min(size, count - start))
            ]
        )
        made = trainable(codes.to(device), truncation=truncation, truncation_latent=centre)
        yield from made.image.float().clamp(0, 1).cpu()


def generates(prior: Prior) -> TrainablePrior:
    """The prior as one that generates from random codes.

    Raises:
        ConfigError: it does not.
    """
    if not isinstance(prior, TrainablePrior):
        raise ConfigError(
            f"{type(prior).__name__} does not generate from random codes "
            "(ugpnet_core.protocols.TrainablePrior); look at it with ugpnet invert."
        )
    return prior


def moved(prior: Prior, device: torch.device) -> Prior:
    """The same prior on a device."""
    cast(nn.Module, prior).to(device)
    return prior
