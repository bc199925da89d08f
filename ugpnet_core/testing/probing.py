"""What the checks that any network must pass need of their subject, a backbone or a prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn


@dataclass(frozen=True)
class Wording:
    """The words of messages: for a network, for what it makes, and ``advice``, what else to keep
    in mind when tensors are registered."""

    network: str
    result: str
    advice: str = ""


class Probed(Protocol):
    """A subject whose networks can be made, and run on a probe without knowing what that is."""

    wording: ClassVar[Wording]

    def fresh(self, seed: int = 0, everywhere: bool = False) -> Any:
        """A new network in eval mode, away from its initial values."""

    def probe(self, network: Any, count: int = 1, seed: int = 0) -> tuple[Tensor, ...]:
        """So many random inputs for a network, the same ones for a seed."""

    def outputs(self, network: Any, probe: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """All that a network makes of copies of a probe, without gradients."""

    def training_image(self, network: Any, probe: tuple[Tensor, ...]) -> Tensor:
        """The image that training gets of a probe, with gradients."""

    def as_call(self, network: Any) -> nn.Module:
        """A network as a module that maps the tensors of a probe to a tuple of all it makes."""
