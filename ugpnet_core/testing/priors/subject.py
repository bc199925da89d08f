"""What is checked of a prior: how to make fresh networks, what is declared, the codes to probe."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ugpnet_core.plugins import PriorEntry, resolve
from ugpnet_core.plugins.discovery import describe_error
from ugpnet_core.protocols import TrainablePrior
from ugpnet_core.testing.probing import Wording
from ugpnet_core.testing.report import CheckFailed, Outcome
from ugpnet_core.testing.subject import Declared, Subject, subject_from
from ugpnet_core.testing.surroundings import settings_kept

COUNTS = (
    "resolution",
    "base_size",
    "base_channels",
    "num_styles",
    "style_dim",
    "feature_channels",
)
Codes = tuple[Tensor, Tensor]
# Weights are drawn with seeds 0, 1, 2, ...; codes of the same seed would be the same numbers.
CODE_SEED = 1_000_003


@dataclass(frozen=True, kw_only=True)
class PriorSubject:
    """A prior under check.

    Args:
        name: what messages call it.
        make: gives a new generator, of the same architecture and options at each call.
        make_discriminator: likewise for the discriminator, where there is one.
        resolution: as declared; None says nothing.
        parameters: of the generator, as declared; None says nothing.
        fault: a sentence that says what is wrong with the plugin or its entry, if anything.
        has_file: whether its entry names weights, and the subject has the default options.
    """

    wording: ClassVar[Wording] = Wording(
        "prior", "image", " (noise maps, too), and lists of layers as nn.ModuleList"
    )

    name: str
    make: Callable[[], nn.Module]
    make_discriminator: Callable[[], nn.Module] | None = None
    resolution: int | None = None
    parameters: int | None = None
    fault: str | None = None
    has_file: bool = False

    @property
    def network(self) -> Subject:
        """The generator as what the checks take that any network must pass."""
        declared = Declared(parameters=self.parameters)
        return Subject(name=self.name, make=self.make, declared=declared, fault=self.fault)

    def fresh(self, seed: int = 0, everywhere: bool = False) -> Any:
        """A new generator in eval mode, moved away from its initial values; see
        :meth:`ugpnet_core.testing.Subject.fresh`."""
        return self.network.fresh(seed, everywhere)

    def raw(self) -> Any:
        """A new generator as its factory makes it."""
        return self.network.raw()

    def discriminator(self, seed: int = 0) -> Any:
        """A new discriminator in training mode, moved away from its initial values.

        Raises:
            CheckFailed: it cannot be made.
        """
        assert self.make_discriminator is not None
        subject = Subject(name=f"the discriminator of {self.name}", make=self.make_discriminator)
        return subject.fresh(seed).train()

    def probe(self, network: Any, count: int = 1, seed: int = 0) -> tuple[Tensor, ...]:
        """Codes, as :class:`ugpnet_core.testing.probing.Probed` wants them."""
        return codes_for(network, count, seed)

    def outputs(self, network: Any, probe: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Image and features of a probe, without gradients."""
        base, styles = probe
        return made_by(network, (base, styles))

    def training_image(self, network: Any, probe: tuple[Tensor, ...]) -> Tensor:
        """The image of a probe, with gradients."""
        return synthesized(network, *probe)[0]

    def as_call(self, network: Any) -> nn.Module:
        """synthesize as a call."""
        return _Call(network)


class _Call(nn.Module):
    """What a prior makes of codes."""

    def __init__(self, prior: Any) -> None:
        super().__init__()
        self.prior = prior

    def forward(self, base: Tensor, styles: Tensor) -> tuple[Tensor, Tensor]:
        """Map codes to image and features."""
        image, features = self.prior.synthesize(base, styles)
        return image, features


def codes_for(prior: Any, count: int = 1, seed: int = 0) -> Codes:
    """Random base codes (count, base_channels, base_size, base_size) and styles
    (count, num_styles, style_dim), standard normal, the same ones for a seed."""
    rng = torch.Generator().manual_seed(CODE_SEED + seed)
    side = prior.base_size
    # A network may have changed the default data type.
    base = torch.randn(count, prior.base_channels, side, side, generator=rng, dtype=torch.float32)
    styles = torch.randn(
        count, prior.num_styles, prior.style_dim, generator=rng, dtype=torch.float32
    )
    return base, styles


def random_codes(prior: Any, count: int, seed: int = 0) -> Tensor:
    """Random codes z (count, style_dim), standard normal, the same ones for a seed."""
    rng = torch.Generator().manual_seed(CODE_SEED + seed)
    return torch.randn(count, prior.style_dim, generator=rng, dtype=torch.float32)


def synthesized(prior: Any, base: Tensor, styles: Tensor) -> tuple[Tensor, Tensor]:
    """Image and features of copies of the codes, with gradients.

    Raises:
        CheckFailed: the prior raises, or gives something else.
    """
    copies = (each.clone(memory_format=torch.preserve_format) for each in (base, styles))
    return called(prior, "synthesize", *copies)


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
        raise CheckFailed(
            f"{name} fails{mode} on {_shown(given)}: {describe_error(error)}."
        ) from error
    image, features = getattr(result, "image", None), getattr(result, "features", None)
    if not isinstance(image, Tensor) or not isinstance(features, Tensor):
        raise CheckFailed(
            f"{name} returns a {type(result).__name__}; make it return "
            "ugpnet_core.protocols.PriorOutput(image, features) with two tensors."
        )
    return image, features


def made_by(prior: Any, codes: Codes) -> tuple[Tensor, Tensor]:
    """Image and features of codes, without gradients."""
    with torch.no_grad():
        return synthesized(prior, *codes)


def not_trainable(prior: Any) -> Outcome | None:
    """The outcome of a check of random codes for a prior that takes none."""
    if isinstance(prior, TrainablePrior):
        return None
    return Outcome("not applicable", "the prior does not generate from random codes")


def _shown(given: tuple[Any, ...]) -> str:
    tensors = [one for each in given for one in (each if isinstance(each, list) else [each])]
    return " and ".join(str(tuple(one.shape)) for one in tensors if isinstance(one, Tensor))


def prior_subject_of(what: Any, **options: Any) -> PriorSubject:
    """Make a subject of the name of an installed prior, of an entry, of a factory (a class or
    function that gives a generator), of a generator, or of a subject, which stays as it is.

    Raises:
        UnknownNameError: no such prior is installed. (One whose plugin is broken gives a subject
            that fails.)
        ConfigError: an option is unknown or impossible, or given where none can be.
    """
    subject: PriorSubject = subject_from(what, options, PriorEntry, PriorSubject, _subject_of_entry)
    return subject


def _subject_of_entry(entry: PriorEntry, given: dict[str, Any], is_default: bool) -> PriorSubject:
    def make(factory: str) -> nn.Module:
        network: nn.Module = resolve(factory)(**given)
        return network

    discriminator = entry.discriminator
    return PriorSubject(
        name=entry.name,
        make=functools.partial(make, entry.factory),
        make_discriminator=functools.partial(make, discriminator) if discriminator else None,
        resolution=entry.resolution if is_default else None,
        parameters=entry.parameters if is_default else None,
        has_file=entry.file is not None and is_default,
    )
