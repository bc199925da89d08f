"""The checks as pytest classes, to be subclassed by the authors of plugins. Needs pytest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest

from ugpnet_core.testing.subject import Subject, subject_of
from ugpnet_core.testing.suites import BACKBONES, PRIORS, run_checks


class _Conformance:
    """What both classes share. With ``full = True`` all checks take the network itself, also where
    its entry has a small form. A check that does not apply passes, and the report of the test run
    (``--junitxml``) holds why, as properties."""

    expected_failures: ClassVar[Mapping[str, str]] = {}
    full: ClassVar[bool] = False

    def test_check(
        self, check: str, subject: Subject, record_property: Callable[[str, object], None]
    ) -> None:
        """One check."""
        (result,) = run_checks(subject, only=[check], full=self.full).results
        record_property("status", result.status)
        record_property("message", result.message)
        reason = self.expected_failures.get(check)
        if result.status == "failed":
            if reason is not None:
                pytest.xfail(reason)
            pytest.fail(f"{check}: {result.message}", pytrace=False)
        if reason is not None:
            pytest.fail(
                f"{check} passes; take it out of expected_failures ({reason}).", pytrace=False
            )


def _subject(given: Any, word: Any) -> Subject:
    what, options = given if isinstance(given, tuple) else (given, {})
    return subject_of(what, word, **options)


class BackboneConformance(_Conformance):
    """Every check of ``ugpnet check-backbone`` as a test of its own::

        class TestMine(BackboneConformance):
            @pytest.fixture
            def backbone(self):
                return "mine", {"width": 8}

    The fixture returns what :func:`ugpnet_core.testing.check_backbone` takes: a name, an entry, a
    factory or a network; with options as (what, options). ``expected_failures`` maps names of
    checks to the reason why they fail; one that passes after all is a failure that says so.
    """

    @pytest.fixture
    def backbone(self) -> Any:
        """What is checked; to be overridden."""
        raise NotImplementedError("Override the fixture 'backbone': return a name or a factory.")

    @pytest.fixture
    def subject(self, backbone: Any) -> Subject:
        """What the checks take, made of ``backbone``."""
        return _subject(backbone, "backbone")

    @pytest.mark.parametrize("check", BACKBONES.names())
    def test_check(
        self, check: str, subject: Subject, record_property: Callable[[str, object], None]
    ) -> None:
        """One check."""
        super().test_check(check, subject, record_property)


class PriorConformance(_Conformance):
    """Every check of ``ugpnet check-prior`` as a test of its own; as :class:`BackboneConformance`,
    with a fixture ``prior``."""

    @pytest.fixture
    def prior(self) -> Any:
        """What is checked; to be overridden."""
        raise NotImplementedError("Override the fixture 'prior': return a name or a factory.")

    @pytest.fixture
    def subject(self, prior: Any) -> Subject:
        """What the checks take, made of ``prior``."""
        return _subject(prior, "prior")

    @pytest.mark.parametrize("check", PRIORS.names())
    def test_check(
        self, check: str, subject: Subject, record_property: Callable[[str, object], None]
    ) -> None:
        """One check."""
        super().test_check(check, subject, record_property)
