"""How checks are run one after the other."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ugpnet_core.errors import ConfigError
from ugpnet_core.near import did_you_mean
from ugpnet_core.testing.checks.shapes import working_size
from ugpnet_core.testing.report import CheckFailed, Outcome, Report, Result, in_words
from ugpnet_core.testing.surroundings import changed_setting, settings, untouched

# The check that also fails where an earlier one has left settings of torch changed.
SETTINGS_CHECK = "global_settings"
# Seconds of computing after which no more checks begin, unless --full asks for all of them.
PATIENCE = 300.0


@dataclass(frozen=True)
class Check:
    """A check by name. Where one that it requires has failed, it is not run: it would fail for
    the same reason and say it worse. One for the whole takes no small form of a network."""

    function: Callable[[Any], Outcome]
    requires: tuple[str, ...] = ()
    whole: bool = False

    @property
    def name(self) -> str:
        """``gradients`` for ``check_gradients``."""
        return self.function.__name__.removeprefix("check_")

    @property
    def promise(self) -> str:
        """What must hold, in one sentence."""
        return " ".join((self.function.__doc__ or "").split("\n\n")[0].split())


@dataclass(frozen=True)
class Suite:
    """All checks of one kind of plugin, in their order.

    Args:
        word: of what is checked: backbone, prior, task or model.
        subject_of: makes a subject of a name and options.
    """

    word: str
    checks: tuple[Check, ...]
    subject_of: Callable[..., Any]

    @cached_property
    def by_name(self) -> dict[str, Check]:
        """The checks by their names, in their order."""
        return {check.name: check for check in self.checks}

    def names(self) -> tuple[str, ...]:
        """The names of all checks, in their order."""
        return tuple(self.by_name)

    def require(self, name: str) -> Check:
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
        subject: Any,
        only: Collection[str] = (),
        full: bool = False,
        on_start: Callable[[str], None] = lambda name: None,
        on_result: Callable[[Result], None] = lambda result: None,
    ) -> Report:
        """Run checks one after the other, each on networks of its own.

        Args:
            only: names of the checks to run; all where empty.
            full: take the network itself also where it has a small form, however long it takes.
            on_start: called with the name of each check before it runs.
            on_result: called with each result.

        Raises:
            ConfigError: there is no check of a name.
        """
        for name in only:
            self.require(name)
        run = _Run(subject, full)
        for check in self.checks:
            if not only or check.name in only:
                on_start(check.name)
                result = run.next(check)
                on_result(result)
                if result.name == "builds" and result.status == "failed":
                    break  # nothing else can be said
        return Report(subject.name, tuple(run.results), word=self.word.capitalize())

    def run_one(self, name: str, subject: Any, full: bool = False) -> Result:
        """Run one check; whatever it raises, except an interrupt, is a failure in one sentence.

        Raises:
            ConfigError: there is no check of that name.
        """
        return _Run(subject, full).next(self.require(name))


class _Run:
    """Checks of one subject, and what has come out so far."""

    def __init__(self, subject: Any, full: bool) -> None:
        self.subject, self.full = subject, full
        self.small = subject.small[0] if subject.small and not full else subject
        self.results: list[Result] = []
        self.changed = ""
        self.started = time.process_time()  # a busy machine is no reason

    def next(self, check: Check) -> Result:
        """Run a check, unless one before it tells all there is to tell."""
        failed = {result.name for result in self.results if result.status == "failed"}
        cause = next((name for name in check.requires if name in failed), None)
        if cause is not None:
            result = Result(check.name, "not run", f"because {cause} failed")
        elif not self.full and time.process_time() - self.started > PATIENCE:
            message = f"{PATIENCE:.0f} s are over; --full takes the time that all checks need"
            result = Result(check.name, "not run", message)
        else:
            with untouched():
                before = settings()
                result = self._judged(check)
                if not self.changed and check.name != SETTINGS_CHECK:
                    self.changed = changed_setting(before)
        if check.name == SETTINGS_CHECK and self.changed and result.status == "passed":
            # What importing a plugin changes happens once only, in the first check.
            message = (
                f"Importing, making or running the network changes torch's {self.changed} for the "
                "whole process; leave that to the caller."
            )
            result = dataclasses.replace(result, status="failed", message=message)
        self.results.append(result)
        if check.name == "protocol" and result.status == "passed":
            self._take_a_working_size()
        return result

    def _judged(self, check: Check) -> Result:
        started = time.perf_counter()
        try:
            status, message = check.function(self.subject if check.whole else self.small)
        except CheckFailed as failure:
            status, message = "failed", str(failure)
        except (Exception, SystemExit) as error:
            status, message = "failed", f"The {self._raiser} raises {in_words(error)}."
        return Result(check.name, status, message, time.perf_counter() - started)

    @property
    def _raiser(self) -> str:
        word: str = self.subject.word
        return "network" if word in ("backbone", "prior") else word

    def _take_a_working_size(self) -> None:
        """Where the usual probe size does not work, let the other checks use one that does, so
        that they say something of their own; the check of sizes says what is wrong."""
        if self.subject.word == "backbone" and self.subject.size is None:
            try:
                with untouched():
                    size = working_size(self.small)
            except Exception:
                return
            self.subject, self.small = (
                dataclasses.replace(one, size=size) for one in (self.subject, self.small)
            )
