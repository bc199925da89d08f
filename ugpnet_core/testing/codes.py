"""Priors as the checks see them: codes, and what synthesize makes of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ugpnet_core.protocols import TrainablePrior
from ugpnet_core.testing.kind import Kind, Loss, Probe, Size
from ugpnet_core.testing.report import CheckFailed, Outcome, in_words
from ugpnet_core.testing.surroundings import settings_kept

# Weights are drawn with seeds 0, 1, 2, ...; codes of the same seed would be the same numbers.
CODE_SEED = 1_000_003


class Priors(Kind):
    """Generators that make images of codes."""

    word, given, result = "prior", "code", "image"
    parts = ("image", "feature map")
    inputs = ("base code", "styles")
    methods = ("synthesize",)

    def probe(self, network: Any, count: int, seed: int, size: Size | None) -> Probe:
        """Base codes (count, base_channels, base_size, base_size) and styles (count, num_styles,
        style_dim), standard normal."""
        rng = torch.Generator().manual_seed(CODE_SEED + seed)
        base = (count, network.base_channels, network.base_size, network.base_size)
        styles = (count, network.num_styles, network.style_dim)
        # A network may have changed the default data type.
        return tuple(
            torch.randn(*shape, generator=rng, dtype=torch.float32) for shape in (base, styles)
        )

    def others(self, network: Any, size: Size | None) -> list[Probe]:
        """Codes of zeros, and several at a time."""
        zeros = tuple(map(torch.zeros_like, self.probe(network, 1, 0, size)))
        return [self.probe(network, 3, 1, size), zeros, self.probe(network, 2, 2, size)]

    def run(self, network: Any, *probe: Tensor) -> tuple[Tensor, Tensor]:
        """Image and feature map."""
        copies = (each.clone(memory_format=torch.preserve_format) for each in probe)
        return called(network, "synthesize", *copies)

    def losses(self, network: Any, size: Size | None) -> list[Loss]:
        """From codes, as the synthesis stage does it, and from z, as the prior stage does it."""

        def generated(prior: Any, seed: int) -> tuple[Tensor, ...]:
            codes = [random_codes(prior, 2, 2 * seed), random_codes(prior, 2, 2 * seed + 1)]
            return called(prior, "__call__", codes, mixing_index=1, randomize_noise=True)[:1]

        more = [generated] if isinstance(network, TrainablePrior) else []
        return [*super().losses(network, size), *more]

    def plain(self, network: Any, *probe: Tensor) -> tuple[Tensor, ...]:
        """Image and feature map."""
        image, features = network.synthesize(*probe)
        return image, features


def random_codes(prior: Any, count: int, seed: int = 0) -> Tensor:
    """Random codes z (count, style_dim), standard normal, the same ones for a seed."""
    rng = torch.Generator().manual_seed(CODE_SEED + seed)
    return torch.randn(count, prior.style_dim, generator=rng, dtype=torch.float32)


def called(prior: Any, method: str, *given: Any, **settings: Any) -> tuple[Tensor, Tensor]:
    """Image and features that a method of the prior (or itself, for ``__call__``) gives.

    Raises:
        CheckFailed: it raises, or gives something else.
    """
    name = "The call" if method == "__call__" else method
    mode = " in training mode" if prior.training else ""
    try:
        with settings_kept():
            result = getattr(prior, method)(*given, **settings)
    except (Exception, SystemExit) as error:
        tensors = [one for each in given for one in (each if isinstance(each, list) else [each])]
        shapes = " and ".join(str(tuple(one.shape)) for one in tensors)
        raise CheckFailed(f"{name} fails{mode} on {shapes}: {in_words(error)}.") from error
    image, features = getattr(result, "image", None), getattr(result, "features", None)
    if not isinstance(image, Tensor) or not isinstance(features, Tensor):
        raise CheckFailed(
            f"{name} returns a {type(result).__name__}; make it return "
            "ugpnet_core.protocols.PriorOutput(image, features) with two tensors."
        )
    return image, features


def not_trainable(prior: Any) -> Outcome | None:
    """The outcome of a check of random codes for a prior that takes none."""
    if isinstance(prior, TrainablePrior):
        return None
    return Outcome("not applicable", "the prior does not generate from random codes")
