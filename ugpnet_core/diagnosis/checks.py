"""Every check in its order; one that fails itself is a finding."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ugpnet_core.diagnosis.finding import Finding
from ugpnet_core.diagnosis.machine import devices, memory, places
from ugpnet_core.diagnosis.plugins import models, plugins
from ugpnet_core.diagnosis.self_test import self_test
from ugpnet_core.diagnosis.software import extras, libraries

CHECKS: dict[str, Callable[[], Iterable[Finding]]] = {
    "software": libraries,
    "extras": extras,
    "plugins": plugins,
    "models": models,
    "devices": devices,
    "memory": memory,
    "disk": places,
    "self-test": self_test,
}


def diagnose() -> Iterator[Finding]:
    """Look at everything, in some ten seconds, and yield what is found as it is found."""
    for section, check in CHECKS.items():
        try:
            yield from check()
        except Exception as error:  # a broken library breaks in ways of its own
            words = " ".join(f"{type(error).__name__}: {error}".split())
            yield Finding(
                section,
                section,
                "broken",
                words,
                "see what this error is about; where it names a library, install that again.",
            )
