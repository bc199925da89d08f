"""A table of checks, and how they are run one after the other."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, Protocol, TypeVar

from ugpnet_core.errors import ConfigError
from ugpnet_core.near import did_you_mean
from ugpnet_core.testing.report import CheckFailed, Outcome, Report, Result, in_words
from ugpnet_core.testing.surroundings import changed_setting, settings, untouched


class Named(Protocol):
    """What a report says of a subject."""

    @property
    def name(self) -> str:
        """What messages call it."""


S = TypeVar("S", bound=Named)


@dataclass(frozen=True)
class Check(Generic[S]):
    """A check by name. Where one that it requires has failed, it is not run: it would fail for
    the same reason and say it worse."""

    function: Callable[[S], Outcome]
    requires: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """``gradients`` for ``check_gradients``."""
        return self.function.__name__.removeprefix("check_")

    @property
    def promise(self) -> str:
        """What must hold, in one sentence."""
        return " ".join((self.function.__doc__ or "").split("\n\n")[0].split())


# The check that also fails where an earlier one has left settings of torch changed.
SETTINGS_CHECK = "global_settings"


@dataclass(frozen=True, kw_only=True)
class Suite(Generic[S]):
    """All checks of one kind of subject.

    Args:
        checks: in the order in which they run.
        subject_of: makes a subject of a name, an entry, a factory or a network, and options.
        kind: what is checked, ``backbone`` or ``prior``.
        raiser: what messages call that which raises an unexpected error.
        after: what the remaining checks run on once a check has not failed; takes the name of that
            check and its subject.
    """

    checks: tuple[Check[S], ...]
    subject_of: Callable[..., S]
    kind: str
    raiser: str
    after: Callable[[str, S], S] = lambda name, subject: subject

    @cached_property
    def by_name(self) -> dict[str, Check[S]]:
        """The checks by their names, in their order."""
        return {check.name: check for check in self.checks}

    def names(self) -> tuple[str, ...]:
        """The names of all checks, in their order."""
        return tuple(self.by_name)

    def require(self, name: str) -> Check[S]:
        """Find a check by name.

        Raises:
            ConfigError: there is none; the message names the near ones.
        """
        if name not in self.by_name:
            known = f"there are: {', '.join(self.by_name)}."
            hint = did_you_mean(name, self.by_name, known, count=2)
            raise ConfigError(f"There is no check {name!r}; {hint}")
        return self.by_name[name]

    def run(
        self,
        subject: S,
        only: Collection[str] = (),
        on_start: Callable[[str], None] = lambda name: None,
        on_result: Callable[[Result], None] = lambda result: None,
    ) -> Report:
        """Run checks one after the other, each on networks of its own.

        Args:
            only: names of the checks to run; all where empty.
            on_start: called with the name of each check before it runs.
            on_result: called with each result.

        Raises:
            ConfigError: there is no check of a name.
        """
        for name in only:
            self.require(name)
        results: list[Result] = []
        failed: set[str] = set()
        changed = ""
        for check in self.checks:
            if only and check.name not in only:
                continue
            on_start(check.name)
            cause = next((name for name in check.requires if name in failed), None)
            if cause is not None:
                result = Result(check.name, "not run", f"because {cause} failed")
            else:
                with untouched():
                    before = settings()
                    result = self._run(check, subject)
                    if not changed and check.name != SETTINGS_CHECK:
                        changed = changed_setting(before)
            if check.name == SETTINGS_CHECK and changed and result.status == "passed":
                # What importing a plugin changes happens once only, in the first check.
                message = (
                    f"Importing, making or running the network changes torch's {changed} for the "
                    "whole process; leave that to the caller."
                )
                result = dataclasses.replace(result, status="failed", message=message)
            if result.status == "failed":
                failed.add(check.name)
            else:
                subject = self.after(check.name, subject)
            results.append(result)
            on_result(result)
        return Report(subject.name, tuple(results), word=self.kind.capitalize())

    def run_one(self, name: str, subject: S) -> Result:
        """Run one check; whatever it raises, except an interrupt, is a failure in one sentence.

        Raises:
            ConfigError: there is no check of that name.
        """
        check = self.require(name)
        with untouched():
            return self._run(check, subject)

    def _run(self, check: Check[S], subject: S) -> Result:
        started = time.perf_counter()
        try:
            status, message = check.function(subject)
        except CheckFailed as failure:
            status, message = "failed", str(failure)
        except (Exception, SystemExit) as error:
            status, message = "failed", f"The {self.raiser} raises {in_words(error)}."
        return Result(check.name, status, message, time.perf_counter() - started)
