"""What the checks need of a kind of network: how it is probed and run, and the words for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

Probe = tuple[Tensor, ...]
Size = tuple[int, int]
Loss = Callable[[Any, int], tuple[Tensor, ...]]


class Kind(ABC):
    """Backbones, or priors.

    ``word`` is what is checked, ``given`` what goes into it, ``result`` what messages call all
    that comes out; ``inputs`` and ``parts`` are what each tensor of these is called, ``methods``
    what is called with an input.
    """

    word: ClassVar[str]
    given: ClassVar[str]
    result: ClassVar[str]
    parts: ClassVar[tuple[str, str]]
    inputs: ClassVar[tuple[str, ...]]
    methods: ClassVar[tuple[str, ...]]

    @abstractmethod
    def probe(self, network: Any, count: int, seed: int, size: Size | None) -> Probe:
        """So many random inputs for a network, the same ones for a seed; of its usual size, or of
        one that is known to work."""

    @abstractmethod
    def others(self, network: Any, size: Size | None) -> list[Probe]:
        """Inputs of other values, counts and, where no one size is required, of other sizes."""

    def unseen(self, network: Any, size: Size | None) -> list[Probe]:
        """Inputs of a size that :meth:`others` does not have, where there are sizes."""
        return []

    @abstractmethod
    def run(self, network: Any, *probe: Tensor) -> tuple[Tensor, Tensor]:
        """All that a network makes of copies of a probe.

        Raises:
            CheckFailed: it raises, or gives something else than tensors.
        """

    def train(self, network: Any, *probe: Tensor) -> tuple[Tensor, ...]:
        """The images that losses look at in training."""
        return self.run(network, *probe)[:1]

    def losses(self, network: Any, size: Size | None) -> list[Loss]:
        """The ways in which a network is trained: functions of network and seed to the images of
        a batch."""
        return [lambda one, seed: self.train(one, *self.probe(one, 2, seed, size))]

    @abstractmethod
    def plain(self, network: Any, *probe: Tensor) -> tuple[Tensor, ...]:
        """As :meth:`run`, on the tensors themselves, and without words for what is raised."""


class Whole(nn.Module):
    """A network as one call, as compilers and exporters want it."""

    def __init__(self, kind: Kind, network: Any) -> None:
        super().__init__()
        self.kind, self.network = kind, network
        self.training = network.training  # exporters look at the outermost module

    def forward(self, *probe: Tensor) -> tuple[Tensor, ...]:
        """Map the tensors of a probe to all that the network makes of them."""
        return self.kind.plain(self.network, *probe)
