"""The checks as a pytest class, to be subclassed by the authors of plugins. Needs pytest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest

from ugpnet_core.testing.report import Result
from ugpnet_core.testing.subject import Subject, subject_of
from ugpnet_core.testing.suite import SUITE


class BackboneConformance:
    """Every check of ``ugpnet check-backbone`` as a test of its own::

        class TestMine(BackboneConformance):
            @pytest.fixture
            def backbone(self):
                return "mine", {"width": 8}

    The fixture returns what :func:`ugpnet_core.testing.check_backbone` takes: a name, an entry, a
    factory or a network; with options as (what, options). A check that does not apply passes, and
    the report of the test run (``--junitxml``) holds why, as properties.

    ``expected_failures`` maps names of checks to the reason why they fail; one that passes after
    all is a failure that says so.
    """

    expected_failures: ClassVar[Mapping[str, str]] = {}

    @pytest.fixture
    def backbone(self) -> Any:
        """What is checked; to be overridden."""
        raise NotImplementedError("Override the fixture 'backbone': return a name or a factory.")

    @pytest.fixture
    def subject(self, backbone: Any) -> Subject:
        """What the checks take, made of ``backbone``."""
        what, options = backbone if isinstance(backbone, tuple) else (backbone, {})
        return subject_of(what, **options)

    @pytest.mark.parametrize("check", SUITE.names())
    def test_check(
        self, check: str, subject: Subject, record_property: Callable[[str, object], None]
    ) -> None:
        """One check."""
        judge(SUITE.run_one(check, subject), self.expected_failures, record_property)


def judge(
    result: Result,
    expected_failures: Mapping[str, str],
    record_property: Callable[[str, object], None],
) -> None:
    """Make the result of a check that of a test."""
    record_property("status", result.status)
    record_property("message", result.message)
    check, reason = result.name, expected_failures.get(result.name)
    if result.status == "failed":
        if reason is not None:
            pytest.xfail(reason)
        pytest.fail(f"{check}: {result.message}", pytrace=False)
    if reason is not None:
        pytest.fail(f"{check} passes; take it out of expected_failures ({reason}).", pytrace=False)
