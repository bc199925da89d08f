"""What the checks need of a kind of network: how it is probed and run, and the words for it."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ugpnet_core.protocols import TrainablePrior
from ugpnet_core.testing.report import failing, require
from ugpnet_core.testing.surroundings import settings_kept

Probe = tuple[Tensor, ...]
Size = tuple[int, int]
Shape = tuple[int, ...]

# Networks that need larger multiples are shown no sizes of many multiples.
COARSE = 16
# Weights are drawn with seeds 0, 1, 2, ...; codes of the same seed would be the same numbers.
CODE_SEED = 1_000_003


class Kind(ABC):
    """Backbones, or priors.

    ``given`` is what messages call what goes in, ``result`` all that comes out; ``inputs`` and
    ``parts`` are what they call each tensor of these, ``methods`` what is called with an input.
    """

    given: ClassVar[str]
    result: ClassVar[str]
    inputs: ClassVar[tuple[str, ...]]
    parts: ClassVar[tuple[str, str]]
    methods: ClassVar[tuple[str, ...]]

    @abstractmethod
    def probe(self, network: Any, count: int, seed: int, size: Size | None) -> Probe:
        """So many random inputs, the same ones for a seed; of a size, or of the usual one."""

    @abstractmethod
    def shapes(self, network: Any, probe: Probe) -> tuple[Shape, Shape]:
        """The shapes that all which a network makes of a probe should have."""

    def sizes(self, network: Any, rare: bool = False) -> list[Size]:
        """Sizes besides the usual one; rare ones no other check has shown to this class."""
        return []

    @abstractmethod
    def plain(self, network: Any, *probe: Tensor) -> Probe:
        """All that a network makes of a probe."""

    @abstractmethod
    def run(self, network: Any, *probe: Tensor) -> Probe:
        """All that a network makes of copies of a probe.

        Raises:
            CheckFailed: it raises, or gives something else than tensors.
        """

    def train(self, network: Any, *probe: Tensor) -> Probe:
        """The images that losses look at in training; errors as :meth:`run`."""
        return self.run(network, *probe)[:1]

    def train_otherwise(self, network: Any, seed: int) -> Iterator[Probe]:
        """Those of other ways in which it is trained."""
        yield from ()


class Backbones(Kind):
    """Networks that restore images."""

    given, result = "image", "result"
    inputs, parts = ("image",), ("features", "image")
    methods = ("forward_features", "head")

    def probe(self, network: Any, count: int, seed: int, size: Size | None) -> Probe:
        """Images (count, 3, H, W)."""
        return (images(count, size or probe_size(network), seed),)

    def shapes(self, network: Any, probe: Probe) -> tuple[Shape, Shape]:
        """Those of a feature map and of an image."""
        count, _, height, width = probe[0].shape
        size = (height * network.scale, width * network.scale)
        return (count, network.feature_channels, *size), (count, 3, *size)

    def sizes(self, network: Any, rare: bool = False) -> list[Size]:
        """Tall, wide and long ones; none where one size is taken only."""
        multiple, (height, width) = network.size_multiple, probe_size(network)
        if not takes_sizes(network):
            return []
        long = [(height, 5 * width)] if multiple <= COARSE else []
        if rare:
            return [(9 * multiple, 2 * multiple), (5 * multiple, 3 * multiple)] if long else []
        return [(2 * height, width), (height, 2 * width), *long]

    def plain(self, network: Any, *probe: Tensor) -> Probe:
        """Features and what head makes of them."""
        features = network.forward_features(*probe)
        return features, network.head(features)

    def run(self, network: Any, *probe: Tensor) -> Probe:
        """Features and what head makes of them."""
        features = tensor_of(network, "forward_features", *probe)
        return features, tensor_of(network, "head", features)

    def train(self, network: Any, *probe: Tensor) -> Probe:
        """What head gives, and the intermediate images."""
        if not hasattr(network, "forward_supervised"):
            return self.run(network, *probe)[1:]
        made = called(network, "forward_supervised", *probe)
        pair = isinstance(made, tuple) and len(made) == 2 and isinstance(made[1], (tuple, list))
        require(
            pair and all(isinstance(one, Tensor) for one in (made[0], *made[1])),
            "forward_supervised returns something else than the features and a tuple of images; "
            "make it return these.",
        )
        return (tensor_of(network, "head", made[0]), *made[1])


class Priors(Kind):
    """Generators that make images of codes."""

    given, result = "code", "image"
    inputs, parts = ("base code", "styles"), ("image", "feature map")
    methods = ("synthesize",)

    def probe(self, network: Any, count: int, seed: int, size: Size | None) -> Probe:
        """Base codes (count, base_channels, base_size, base_size) and styles (count, num_styles,
        style_dim), standard normal."""
        base = (count, network.base_channels, network.base_size, network.base_size)
        styles = (count, network.num_styles, network.style_dim)
        return _normal(seed, *base), _normal(seed + CODE_SEED, *styles)

    def shapes(self, network: Any, probe: Probe) -> tuple[Shape, Shape]:
        """Those of an image of the resolution, and of a feature map as large."""
        count, side = len(probe[0]), network.resolution
        return (count, 3, side, side), (count, network.feature_channels, side, side)

    def plain(self, network: Any, *probe: Tensor) -> Probe:
        """Image and feature map."""
        image, features = network.synthesize(*probe)
        return image, features

    def run(self, network: Any, *probe: Tensor) -> Probe:
        """Image and feature map."""
        return output_of(network, "synthesize", *probe)

    def train_otherwise(self, network: Any, seed: int) -> Iterator[Probe]:
        """From z, as the prior stage does it."""
        if isinstance(network, TrainablePrior):
            codes = [random_codes(network, 2, 2 * seed), random_codes(network, 2, 2 * seed + 1)]
            yield output_of(network, "__call__", codes, mixing_index=1, randomize_noise=True)[:1]


def takes_sizes(network: Any) -> bool:
    """Whether a network takes images of more than one size."""
    return getattr(network, "fixed_size", None) is None


def probe_size(network: Any) -> Size:
    """Height and width of most probe images: small, not square where that stays small."""
    if not takes_sizes(network):
        return network.fixed_size, network.fixed_size
    multiple: int = network.size_multiple
    if multiple > 32:
        return multiple, multiple
    return -(-16 // multiple) * multiple, -(-24 // multiple) * multiple


def images(count: int, size: Size, seed: int = 0) -> Tensor:
    """Random images (count, 3, H, W), RGB in [0.2, 0.8], the same ones for a seed."""
    generator = torch.Generator().manual_seed(seed)
    # A network may have changed the default data type.
    drawn = torch.rand(count, 3, *size, generator=generator, dtype=torch.float32)
    return 0.2 + 0.6 * drawn


def random_codes(prior: Any, count: int, seed: int = 0) -> Tensor:
    """Random codes z (count, style_dim), standard normal, the same ones for a seed."""
    return _normal(seed + 2 * CODE_SEED, count, prior.style_dim)


def _normal(seed: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(CODE_SEED + seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float32)


def called(network: Any, method: str, *given: Any, **settings: Any) -> Any:
    """What a method gives for copies of tensors, or of lists of them.

    Raises:
        CheckFailed: it raises.
    """
    copies = [_copied(one) for one in given]
    mode = " in training mode" if network.training else ""
    with failing(f"{method} fails{mode} on {shown(*given)}"), settings_kept():
        return getattr(network, method)(*copies, **settings)


def _copied(value: Any) -> Any:
    if isinstance(value, list):
        return [_copied(one) for one in value]
    return value.clone(memory_format=torch.preserve_format)


def shown(*given: Any) -> str:
    """Tensors in words: ``2 images of 16x24``."""
    return " and ".join(shown(*x) if isinstance(x, list) else _shown(x) for x in given)


def _shown(x: Tensor) -> str:
    count, channels = x.shape[:2]
    if x.dim() != 4:
        return str(tuple(x.shape))
    what = "image" if channels == 3 else f"{channels}-channel map"
    return f"{count} {what}{'s' if count > 1 else ''} of {x.shape[2]}x{x.shape[3]}"


def tensor_of(network: Any, method: str, given: Tensor) -> Tensor:
    """The one tensor that a method gives for a copy of another; errors as :meth:`Kind.run`."""
    made: Tensor = called(network, method, given)
    what = "None" if made is None else f"a {type(made).__name__}"
    said = f"{method} returns {what}; make it return one tensor (N, C, H, W)."
    require(isinstance(made, Tensor), said)
    return made


def output_of(prior: Any, method: str, *given: Any, **settings: Any) -> Probe:
    """Image and features that a method of a prior (or itself, for ``__call__``) gives; errors as
    :meth:`Kind.run`."""
    made = called(prior, method, *given, **settings)
    fields = (getattr(made, "image", None), getattr(made, "features", None))
    require(
        all(isinstance(one, Tensor) for one in fields),
        f"{method} returns a {type(made).__name__}; make it return "
        "ugpnet_core.protocols.PriorOutput(image, features) with two tensors.",
    )
    return fields  # type: ignore[return-value]


def has_own_forward(network: nn.Module) -> bool:
    """Whether a module defines ``forward``."""
    return "forward_unimplemented" not in getattr(inspect.unwrap(network.forward), "__name__", "")
