"""Gradients that say what happens: as steep as the loss is when weights are moved a little."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from ugpnet_core.testing.checks.training import projected
from ugpnet_core.testing.differences import SAME, difference
from ugpnet_core.testing.meter import Meter
from ugpnet_core.testing.report import Outcome, passed, require
from ugpnet_core.testing.subject import Subject

# The first is best in float64; the others suit networks that take some norms in float32.
STEPS = (1e-6, 1e-4, 1e-3)
TOLERANCE = 2e-3
# Parameters are moved one by one for so many seconds.
PATIENCE = 2.0
# What such operations round has gradients by agreement (straight through) and not by calculus.
ROUNDING = {"round", "floor", "ceil", "trunc", "argmin", "argmax", "sign", "bernoulli"}


def check_true_gradients(subject: Subject) -> Outcome:
    """Gradients are those of a finite difference: of no path only a part."""
    said = ""
    for training in (False, True):
        slopes = _Slopes(subject, subject.fresh().double().train(training))
        name = slopes.wrong() if slopes.are_steady() else ""
        if name:
            mode = "training" if training else "eval"
            said = f"The gradient of {name} is not the slope of the loss in {mode} mode (a finite "
            said = f"{said}difference is another)"
            advice = "leave out detach(), .data and no_grad() on its way"
            require(slopes.are_rounded(), f"{said}; {advice}.")
    if said:
        return passed("", f"{said}, which is right only if rounding passes gradients on purpose")
    return passed("gradients agree with finite differences")


class _Slopes:
    """How a loss changes with the parameters of a network, and with what it is given."""

    def __init__(self, subject: Subject, network: Any) -> None:
        self.subject, self.network = subject, network
        self.probe = [one.double().requires_grad_() for one in subject.probe(network, 2)]
        given = zip((f"the {name}" for name in subject.kind.inputs), self.probe, strict=True)
        trained = {repr(name): p for name, p in network.named_parameters() if p.numel()}
        self.variables: dict[str, Tensor] = {**trained, **dict(given)}
        # Every weight moves by about as much as its gradient can tell from rounding.
        generator = torch.Generator().manual_seed(5)
        self.ways = {
            name: torch.randn(value.shape, generator=generator, dtype=value.dtype)
            * value.detach().square().mean().sqrt().clamp(min=1e-3)
            for name, value in self.variables.items()
        }

    def loss(self) -> Tensor:
        """A loss, with the same dropout every time."""
        torch.manual_seed(0)
        return projected(self.subject.kind.train(self.network, *self.probe))

    def are_steady(self) -> bool:
        """Whether there is a loss to compare: power iterations of a spectral norm move with every
        call."""
        first = self.loss()
        return first.requires_grad and difference([self.loss()], [first]) <= SAME**2

    def are_rounded(self) -> bool:
        """Whether values are rounded on the way."""
        with Meter() as meter:
            self.loss()
        return bool(meter.operations & ROUNDING)

    def wrong(self) -> str:
        """The first variable along which the loss is steeper or flatter than its gradient says."""
        values = list(self.variables.values())
        gradients = torch.autograd.grad(self.loss(), values, allow_unused=True)
        expected = {
            name: 0.0 if gradient is None else float((gradient * self.ways[name]).sum())
            for name, gradient in zip(self.variables, gradients, strict=True)
        }
        whole = self._disagree(expected, expected)
        started = time.perf_counter()
        for name in expected:
            if not whole and time.perf_counter() - started > PATIENCE:
                break
            if self._disagree([name], expected):
                return name
        return "all parameters together" if whole else ""

    def _disagree(self, names: Collection[str], expected: Mapping[str, float]) -> bool:
        """Whether moving some variables changes the loss otherwise than their gradients say."""
        said = sum(expected[name] for name in names)
        least = 1e-4 * max(map(abs, expected.values()))
        for step in STEPS:
            slope = (self._moved(names, step) - self._moved(names, -step)) / (2 * step)
            if abs(slope - said) <= TOLERANCE * max(abs(slope), abs(said), least):
                return False
        return True

    @torch.no_grad()
    def _moved(self, names: Collection[str], step: float) -> float:
        kept = {name: self.variables[name].clone() for name in names}
        for name in names:
            self.variables[name].add_(step * self.ways[name])
        value = float(self.loss())
        for name, one in kept.items():
            self.variables[name].copy_(one)
        return value
