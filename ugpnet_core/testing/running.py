"""How checks are run one after the other."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ugpnet_core.errors import ConfigError
from ugpnet_core.near import did_you_mean
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

    def result(self, subject: Any) -> Result:
        """Run it; whatever it raises, except an interrupt, is a failure in one sentence."""
        started = time.perf_counter()
        try:
            status, message = self.function(subject)
        except CheckFailed as failure:
            status, message = "failed", str(failure)
        except (Exception, SystemExit) as error:
            status, message = "failed", f"The {subject.word} raises {in_words(error)}."
        return Result(self.name, status, message, time.perf_counter() - started)


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

    def names(self) -> tuple[str, ...]:
        """The names of all checks, in their order."""
        return tuple(check.name for check in self.checks)

    def require(self, name: str) -> None:
        """Make sure that there is a check of a name.

        Raises:
            ConfigError: there is none; the message names the near ones.
        """
        if name not in self.names():
            known = f"there are: {', '.join(self.names())}."
            hint = did_you_mean(name, self.names(), known, count=2)
            raise ConfigError(f"There is no check {name!r}; {hint}")

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
        small = subject if full or not subject.small else subject.small[0]
        until = math.inf if full else time.process_time() + PATIENCE
        results: dict[str, Result] = {}
        changed = ""
        for check in self.checks:
            if only and check.name not in only:
                continue
            on_start(check.name)
            result = _refused(check, results, until)
            if result is None:
                with untouched():
                    before = settings()
                    result = check.result(subject if check.whole else small)
                    # What importing a plugin changes happens once only, in the first check.
                    changed = changed or changed_setting(before)
            if check.name == SETTINGS_CHECK and result.status == "passed" and changed:
                said = f"Importing or using the {self.word} changes torch's {changed} for the whole"
                said = f"{said} process; leave that to the caller."
                result = dataclasses.replace(result, status="failed", message=said)
            results[check.name] = result
            on_result(result)
            if check.name == "builds" and result.status == "failed":
                break  # nothing else can be said
        return Report(subject.name, tuple(results.values()), word=self.word.capitalize())


def _refused(check: Check, results: Mapping[str, Result], until: float) -> Result | None:
    """Why a check is not run, if so: one before it tells all there is to tell, or time is over."""
    for name in check.requires:
        if name in results and results[name].status == "failed":
            return Result(check.name, "not run", f"because {name} failed")
    if time.process_time() > until:
        message = f"{PATIENCE:.0f} s are over; --full takes the time that all checks need"
        return Result(check.name, "not run", message)
    return None
