"""Checks that compare: the same input gives the same in other circumstances."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from ugpnet_core.testing.differences import SAME, difference, percent
from ugpnet_core.testing.kinds import Probe
from ugpnet_core.testing.report import CheckFailed, Outcome, failing, passed
from ugpnet_core.testing.subject import Subject


class Usual:
    """A new network, an input for it, and what it makes of that."""

    def __init__(self, subject: Subject) -> None:
        self.subject, self.network = subject, subject.fresh()
        self.probe = subject.probe(self.network)
        self.expected = self.of(self.network)

    def of(self, network: Any) -> Probe:
        """What another network makes of the same input."""
        return self.subject.outputs(network, self.probe)

    def twin(self) -> Any:
        """A new network with the same state dict."""
        network = self.subject.fresh()
        network.load_state_dict(self.network.state_dict(), strict=False)
        return network

    def trained(self) -> Any:
        """A new network that has seen a batch in training, as networks have that are copied."""
        network = self.subject.fresh()
        train_once(self.subject, network)
        return network


@dataclass(frozen=True)
class Circumstance:
    """In which a network has to give what it usually gives.

    Args:
        when: begins a sentence: ``Under torch.inference_mode``.
        run: what it gives.
        advice: what usually helps where it gives something else.
        tolerance: how far that may be apart, as :func:`difference` measures it.
        expected: what it should give, where that is not what it makes of the usual input.
    """

    when: str
    run: Callable[[], Probe]
    advice: str
    tolerance: float = SAME
    expected: Probe | None = None

    def check(self, subject: Subject, usual: Probe) -> None:
        """Raise what is wrong.

        Raises:
            CheckFailed: it fails, or gives something else.
        """
        with failing(f"{self.when} it fails", self.advice):
            made = self.run()
        apart = difference(made, usual if self.expected is None else self.expected)
        if apart > self.tolerance:
            raise CheckFailed(
                f"{self.when} the same {subject.kind.given} gives another {subject.kind.result} "
                f"({percent(apart)} apart); {self.advice}."
            )


Circumstances = Generator[Circumstance, None, None]
Vary = Callable[[Usual], Circumstances]


def alike(said: str) -> Callable[[Vary], Callable[[Subject], Outcome]]:
    """Make a check of a function that brings about circumstances, one after the other; what is
    said where all is as usual."""

    def made_of(vary: Vary) -> Callable[[Subject], Outcome]:
        @functools.wraps(vary)
        def check(subject: Subject) -> Outcome:
            usual = Usual(subject)
            with contextlib.closing(vary(usual)) as circumstances:
                for circumstance in circumstances:
                    circumstance.check(subject, usual.expected)
            return passed(said)

        return check

    return made_of


def train_once(subject: Subject, network: Any) -> None:
    """Show a network a batch in training, with a backward pass; it is in eval mode afterwards."""
    network.train()
    made = subject.kind.train(network, *subject.probe(network, 2, 1))
    if made[0].requires_grad:
        made[0].sum().backward()
    network.zero_grad()
    network.eval()
