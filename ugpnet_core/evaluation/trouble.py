"""What goes wrong while methods are measured: gathered, each once, in the order it showed."""

from __future__ import annotations

import logging

from ugpnet_core.errors import UGPNetError
from ugpnet_core.evaluation.methods import Runner
from ugpnet_core.evaluation.results import Problem
from ugpnet_core.plugins.discovery import describe_error

logger = logging.getLogger(__name__)


class Trouble:
    """Files and methods that were left out, and what was found in methods.

    Attributes:
        problems: what was left out, and why.
        findings: what is wrong with methods that have figures.
    """

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.findings: list[Problem] = []

    def file(self, name: str, reason: str) -> None:
        """A photograph cannot be used."""
        _note(self.problems, Problem(name, reason))

    def method(self, runner: Runner, file: str, error: Exception) -> None:
        """A runner fails, on a photograph or (with an empty name) before."""
        reason = str(error) if isinstance(error, UGPNetError) else describe_error(error)
        logger.debug("%s failed on %s", names_of(runner), file, exc_info=error)
        for method in runner.methods:
            _note(self.problems, Problem(file, reason, method.name))

    def found(self, method: str, file: str, finding: str) -> None:
        """A method's figures need care; said once for each, with the first photograph."""
        if not any((each.method, each.reason) == (method, finding) for each in self.findings):
            self.findings.append(Problem(file, finding, method))

    def first_of(self, method: str) -> str:
        """Why a method has failed; empty where it has not."""
        return next((each.reason for each in self.problems if each.method == method), "")


def names_of(runner: Runner) -> str:
    """The names of a runner's methods, for people."""
    return ", ".join(method.name for method in runner.methods)


def _note(problems: list[Problem], problem: Problem) -> None:
    if problem not in problems:
        problems.append(problem)
