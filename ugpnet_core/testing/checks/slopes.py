"""Gradients that say what happens: as steep as the loss is when weights are moved a little."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from ugpnet_core.testing.checks.training import projected
from ugpnet_core.testing.differences import SAME, difference
from ugpnet_core.testing.meters import Meter
from ugpnet_core.testing.report import CheckFailed, Outcome, passed
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
        network = subject.fresh().double().train(training)
        probe = tuple(one.double() for one in subject.probe(network, 2))
        slope = _Slope(subject, network, probe)
        try:
            steady = slope.is_steady()
        except CheckFailed:
            return Outcome("not run", "needs float64, which does not work")
        if not steady:
            continue  # power iterations of a spectral norm, which move with every call
        name = slope.wrong()
        if not name:
            continue
        mode = "training" if training else "eval"
        said = (
            f"The gradient of {name} is not the slope of the loss in {mode} mode (a finite "
            "difference is another)"
        )
        if not slope.rounds():
            raise CheckFailed(f"{said}; leave out detach(), .data and no_grad() on its way.")
    if said:
        return passed("", f"{said}, which is right only if rounding passes gradients on purpose")
    return passed("gradients agree with finite differences")


class _Slope:
    """A loss as a function of the parameters of a network and of what it is given."""

    def __init__(self, subject: Subject, network: Any, probe: tuple[Tensor, ...]) -> None:
        self.subject, self.network, self.probe = subject, network, probe
        self.variables: dict[str, Tensor] = {
            repr(name): parameter
            for name, parameter in network.named_parameters()
            if parameter.requires_grad and parameter.is_floating_point()
        }
        for name, one in zip(subject.kind.inputs, probe, strict=True):
            self.variables[f"the {name}"] = one.requires_grad_()

    def loss(self) -> Tensor:
        torch.manual_seed(0)  # dropout
        return projected(self.subject.kind.train(self.network, *self.probe))

    def is_steady(self) -> bool:
        """Whether the loss has a gradient and is the same again."""
        first = self.loss()
        if first.dtype != torch.float64 or not torch.isfinite(first):
            raise CheckFailed("not in float64")
        return first.requires_grad and difference([self.loss()], [first]) <= SAME**2

    def rounds(self) -> bool:
        """Whether values are rounded on the way."""
        with Meter() as meter:
            self.loss()
        return bool(meter.operations & ROUNDING)

    def wrong(self) -> str:
        """The first variable along which the loss is steeper or flatter than its gradient says."""
        names, values = list(self.variables), list(self.variables.values())
        found = torch.autograd.grad(self.loss(), values, allow_unused=True)
        gradients = {
            name: torch.zeros_like(value) if gradient is None else gradient
            for name, value, gradient in zip(names, values, found, strict=True)
        }
        generator = torch.Generator().manual_seed(5)
        # Every weight moves by about as much as its gradient can tell from rounding.
        ways = {
            name: torch.randn(value.shape, generator=generator, dtype=value.dtype)
            * value.detach().square().mean().sqrt().clamp(min=1e-3)
            for name, value in self.variables.items()
            if value.numel()
        }
        steepest = max(float((gradients[n] * way).sum().abs()) for n, way in ways.items())
        whole = self._disagree(list(ways), gradients, ways, steepest)
        started = time.perf_counter()
        for name in ways:
            if not whole and time.perf_counter() - started > PATIENCE:
                break
            if self._disagree([name], gradients, ways, steepest):
                return name
        return "all parameters together" if whole else ""

    def _disagree(
        self, names: list[str], gradients: dict[str, Tensor], ways: dict[str, Tensor], scale: float
    ) -> bool:
        expected = sum(float((gradients[name] * ways[name]).sum()) for name in names)
        for step in STEPS:
            slope = (self._moved(names, ways, step) - self._moved(names, ways, -step)) / (2 * step)
            allowed = TOLERANCE * max(abs(slope), abs(expected), 1e-4 * scale)
            if abs(slope - expected) <= allowed:
                return False
        return True

    @torch.no_grad()
    def _moved(self, names: list[str], ways: dict[str, Tensor], step: float) -> float:
        kept = {name: self.variables[name].clone() for name in names}
        for name in names:
            self.variables[name].add_(step * ways[name])
        value = float(self.loss())
        for name, one in kept.items():
            self.variables[name].copy_(one)
        return value
