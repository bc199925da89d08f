"""Methods: what turns degraded images into restored ones, and is a row of a table.

A :class:`Runner` runs one or several methods on a batch. A UGPNet is one runner with three
methods, since x_reg, x_syn and x_hat come from one pass.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from ugpnet_core.evaluation.photographs import Sample, enlarged
from ugpnet_core.evaluation.results import MethodKind
from ugpnet_core.inference.tiling import run_tiled
from ugpnet_core.metrics.complexity import count_parameters

if TYPE_CHECKING:
    from ugpnet_core.evaluation.store import Store
    from ugpnet_core.networks.ugpnet import UGPNet
    from ugpnet_core.testing.subject import Subject

DEGRADED, REGRESSION, SYNTHESIS, RESTORED = "degraded", "x_reg", "x_syn", "x_hat"
GROUPS: Mapping[MethodKind, str] = {
    "degraded": "input",
    "classical": "classical",
    "regression": "regression",
    "synthesis": "generative",
    "ugpnet": "ours",
    "network": "network",
}
"""The group of each kind: in Table 1 of the paper, the best of each class is marked."""

Samples = Callable[[], Iterator[Sample]]
"""Gives the samples of the set from the first on, anew at every call."""


@dataclass(frozen=True)
class Method:
    """A row of a table, before it was measured.

    Attributes:
        name: unique in its table.
        kind: what it is.
        group: see ``GROUPS``; empty: that of the kind.
        parameters: how many numbers are trained; None: not known, 0: nothing is.
        reference: paired differences are taken to the method of this name.
    """

    name: str
    kind: MethodKind
    group: str = ""
    parameters: int | None = None
    reference: str | None = None

    @property
    def shown_group(self) -> str:
        """The group, or that of the kind."""
        return self.group or GROUPS[self.kind]


class Batch(NamedTuple):
    """Samples that are restored together.

    Attributes:
        samples: N of them.
        degraded: their degraded images, (N, 3, r / scale, r / scale), on the CPU.
        resolution: r, the side of the restored images.
    """

    samples: Sequence[Sample]
    degraded: Tensor
    resolution: int

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Batch:
        """Stack the degraded images of some samples."""
        degraded = torch.stack([sample.degraded for sample in samples])
        return cls(samples, degraded, samples[0].clean.shape[-1])

    def only(self, index: int) -> Batch:
        """A batch of one of the samples, with an image that nobody else has."""
        return self._replace(
            samples=[self.samples[index]], degraded=self.degraded[index : index + 1].clone()
        )

    def fresh(self) -> Batch:
        """The same with images that nobody else has, and may so be changed."""
        return self._replace(degraded=self.degraded.clone())

    @property
    def scale(self) -> int:
        """How many times smaller the degraded images are."""
        return round(self.resolution / self.degraded.shape[-1])


class Runner(ABC):
    """Runs methods. Subclasses set ``methods`` and write ``__call__``.

    Attributes:
        methods: the rows that it makes.
        identity: stands for everything that decides its results: settings, weights, device. Where
            it is empty, that is not known, and no result is kept for a later run.
        is_foreign: whether it runs code that may do anything, and so is looked at first
            (:mod:`ugpnet_core.evaluation.findings`).
        is_timed: whether it has a cost that can be measured.
        posterior_mean: which of its methods is a model's x_reg; None: none is.
        one_by_one: whether it restores the images of a batch one after the other. These are kept
            one by one, too.
        findings: what is known to be wrong with its methods before they are run, a sentence each.
        plugins: the networks of plugins in it, as conformance checks make them, by what stands for
            their code and options.
    """

    methods: tuple[Method, ...]
    identity: str = ""
    is_foreign: bool = False
    is_timed: bool = True
    posterior_mean: str | None = None
    one_by_one: bool = False
    findings: tuple[str, ...] = ()
    plugins: Mapping[str, Subject] = MappingProxyType({})

    @abstractmethod
    def __call__(self, batch: Batch) -> Mapping[str, Tensor]:
        """Restore a batch: by the name of the method, images (N, 3, r, r) in about [0, 1]."""

    def tuned(self, samples: Samples, store: Store | None = None) -> Runner:
        """The runner with settings that are the best for a set; itself where it has none.

        Args:
            store: what is known there of settings is not tried again.
        """
        return self

    def alone(self, name: str) -> Callable[[Batch], object]:
        """What runs one of the methods without the others, for measuring what it costs."""
        return self

    def network(self) -> nn.Module | None:
        """The network whose multiply-accumulates count; None: there is none."""
        return None

    def settings(self) -> dict[str, float]:
        """What :meth:`tuned` found, by the name of the method."""
        return {}

    def protocol(self) -> dict[str, str]:
        """What a table says of how the methods were run, by subject."""
        return {}


class Degraded(Runner):
    """The degraded images, bicubically enlarged to the photographs' size."""

    def __init__(self, name: str = DEGRADED, group: str = "") -> None:
        self.methods = (Method(name, "degraded", group, 0),)

    def __call__(self, batch: Batch) -> Mapping[str, Tensor]:
        """Enlarge."""
        return {self.methods[0].name: enlarged(batch.degraded, batch.resolution)}


class Function(Runner):
    """One method that is a function, or a network without anything around it.

    It may draw random numbers from the generators of torch, numpy and random: these are seeded for
    each image.

    Args:
        restore: (N, 3, r / scale, r / scale) on ``device`` to (N, 3, r, r).
        words: how it is run, for the protocol.
        network: what the function runs, to count its multiply-accumulates.
    """

    is_foreign = True

    def __init__(
        self,
        method: Method,
        restore: Callable[[Tensor], Tensor],
        device: str | torch.device = "cpu",
        words: str = "",
        network: nn.Module | None = None,
    ) -> None:
        self.methods = (method,)
        self.restore = restore
        self.device = device
        self.words = words
        self._network = network

    def __call__(self, batch: Batch) -> Mapping[str, Tensor]:
        """Call the function."""
        return {self.methods[0].name: self.restore(batch.degraded.to(self.device))}

    def network(self) -> nn.Module | None:
        """The network that was given."""
        return self._network

    def protocol(self) -> dict[str, str]:
        """How it is run."""
        return {self.methods[0].name: self.words} if self.words else {}


@dataclass(frozen=True)
class PartNames:
    """Which images of a UGPNet are methods, and what they are called.

    Attributes:
        regression: of x_reg; None: it is not measured.
        synthesis: of x_syn; likewise.
        restored: of x_hat, once for each fidelity: (1 - fidelity) x_hat + fidelity x_reg.
        groups: by name, where it is not that of the kind.
    """

    regression: str | None = REGRESSION
    synthesis: str | None = SYNTHESIS
    restored: Mapping[str, float] | None = None
    groups: Mapping[str, str] | None = None

    def fidelities(self) -> Mapping[str, float]:
        """``restored``, by default {"x_hat": 0}."""
        return {RESTORED: 0.0} if self.restored is None else self.restored


class UGPNetRunner(Runner):
    """x_reg, x_syn and x_hat of a UGPNet, in one pass.

    Images of another size than the model's go through overlapping tiles, as ``ugpnet restore``
    does it.
    """

    is_foreign = True

    def __init__(
        self,
        model: UGPNet,
        names: PartNames | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.model = model.eval().to(device)
        self.names = names or PartNames()
        self.device = device
        self.methods = tuple(self._methods())
        self.posterior_mean = self.names.regression

    def _methods(self) -> Iterator[Method]:
        names, model = self.names, self.model
        groups = names.groups or {}
        restoration = _parameters(model, "restoration")
        if names.regression is not None:
            group = groups.get(names.regression, "")
            yield Method(names.regression, "regression", group, restoration)
        if names.synthesis is not None:
            synthesis = _parameters(model, "synthesis")
            both = None if restoration is None or synthesis is None else restoration + synthesis
            group = groups.get(names.synthesis, "")
            yield Method(names.synthesis, "synthesis", group, both, names.regression)
        for name in names.fidelities():
            group = groups.get(name, "")
            yield Method(name, "ugpnet", group, count_parameters(model), names.regression)

    def __call__(self, batch: Batch) -> Mapping[str, Tensor]:
        """Run the network once."""
        image, regression, synthesis = self._run(self.model, batch)
        images = {}
        if self.names.regression is not None:
            images[self.names.regression] = regression
        if self.names.synthesis is not None:
            images[self.names.synthesis] = synthesis
        # Blended as a Restorer does it: before anything is clamped.
        for name, fidelity in self.names.fidelities().items():
            images[name] = torch.lerp(image, regression, fidelity) if fidelity else image
        return images

    def _run(
        self, network: Callable[[Tensor], tuple[Tensor, ...]], batch: Batch
    ) -> tuple[Tensor, ...]:
        side = self.model.resolution // self.model.scale
        if batch.degraded.shape[-2:] == (side, side):
            return network(batch.degraded.to(self.device))
        return run_tiled(
            network, batch.degraded, tile=side, scale=self.model.scale, device=self.device
        )

    def alone(self, name: str) -> Callable[[Batch], object]:
        """x_reg needs the restoration module only, and x_syn no fusion."""
        model = self.model
        if name == self.names.regression:
            return lambda batch: self._run(lambda x: (model.restoration(x).image,), batch)
        if name == self.names.synthesis:
            return lambda batch: self._run(
                lambda x: (model.synthesis(model.restoration(x).image).image,), batch
            )
        return lambda batch: self._run(model, batch)

    def network(self) -> nn.Module | None:
        """The UGPNet."""
        return self.model

    def protocol(self) -> dict[str, str]:
        """Say which fidelities were used."""
        blended = {name: value for name, value in self.names.fidelities().items() if value}
        return {name: f"(1 - {value:g}) x_hat + {value:g} x_reg" for name, value in blended.items()}


def _parameters(model: nn.Module, part: str) -> int | None:
    module = getattr(model, part, None)
    return count_parameters(module) if isinstance(module, nn.Module) else None
