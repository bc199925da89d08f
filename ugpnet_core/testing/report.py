"""What a check found: the outcome of one, the report of all, and the error of a standalone one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from ugpnet_core.errors import UGPNetError
from ugpnet_core.plugins.discovery import describe_error

Status = Literal["passed", "warning", "failed", "not declared", "not applicable", "not run"]


class CheckFailed(AssertionError):  # noqa: N818 - reads as a test outcome, which it is
    """A plugin breaks a promise; the message is one sentence: what is wrong and what to do."""


def in_words(error: BaseException) -> str:
    """What was raised as part of a sentence: the words of an error of ours, or the type of any
    other and how its message begins."""
    ours = isinstance(error, (CheckFailed, UGPNetError))
    text = (str(error) if ours else describe_error(error)).rstrip(".")
    return text if ours or len(text) <= 300 else text[:297] + "..."


def require(holds: object, message: str) -> None:
    """Fail with a message unless something holds.

    Raises:
        CheckFailed: it does not.
    """
    if not holds:
        raise CheckFailed(message)


@contextmanager
def failing(what: str, advice: str = "") -> Iterator[None]:
    """Make a failure of whatever is raised: ``what: how it was raised; advice.``

    Raises:
        CheckFailed: anything was raised that is no interrupt.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        advice = f"; {advice}" if advice else ""
        raise CheckFailed(f"{what}: {in_words(error)}{advice}.") from error


class Outcome(NamedTuple):
    """What a check says that did not fail.

    ``passed``; ``warning``: no promise is broken, and users will not like it; ``not declared``:
    the entry makes no claim that could be checked; ``not applicable``: the claim means nothing for
    this network; ``not run``: something is missing that the check needs, and the message says what.
    """

    status: Status
    message: str


def passed(message: str, *warnings: str) -> Outcome:
    """The outcome of a check that looked and found all in order; the message says at what. With
    warnings that are not empty it is those."""
    said = [warning for warning in warnings if warning]
    return Outcome("warning", "; ".join(said)) if said else Outcome("passed", message)


@dataclass(frozen=True)
class Result:
    """One check of a report. ``message`` is one sentence; ``seconds`` is how long it took."""

    name: str
    status: Status
    message: str
    seconds: float = 0.0


@dataclass(frozen=True)
class Report:
    """What :func:`ugpnet_core.testing.check_backbone` or ``check_prior`` found, check by check, in
    their order; ``word`` is what was checked."""

    name: str
    results: tuple[Result, ...]
    word: str = "Backbone"

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return not self.failed

    @property
    def failed(self) -> tuple[Result, ...]:
        """The checks that failed."""
        return tuple(result for result in self.results if result.status == "failed")

    @property
    def speed(self) -> str:
        """The speed and memory line; empty where it was not measured."""
        return next(
            (r.message for r in self.results if (r.name, r.status) == ("speed", "passed")), ""
        )

    def __getitem__(self, name: str) -> Result:
        """The result of one check."""
        return next(result for result in self.results if result.name == name)

    def raise_if_failed(self) -> None:
        """Raise what failed as one error.

        Raises:
            CheckFailed: at least one check failed; the message has a line for each.
        """
        if not self.ok:
            lines = [f"{result.name}: {result.message}" for result in self.failed]
            raise CheckFailed("\n".join([f"{self.word} {self.name!r}: {self.summary}", *lines]))

    @property
    def summary(self) -> str:
        """One line that counts: ``24 passed, 2 failed, 2 not declared (3.1 s).``"""
        seconds = sum(result.seconds for result in self.results)
        counts = {word: sum(r.status == word for r in self.results) for word in get_args(Status)}
        parts = [f"{count} {word}" for word, count in counts.items() if count]
        return f"{', '.join(parts) or 'nothing checked'} ({seconds:.1f} s)."

    def __str__(self) -> str:
        width = max((len(result.name) for result in self.results), default=0)
        lines = [f"{r.name:{width}}  {r.status:14}  {r.message}" for r in self.results]
        return "\n".join([*lines, self.summary])
