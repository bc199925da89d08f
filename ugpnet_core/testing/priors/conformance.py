"""The checks as a pytest class, to be subclassed by the authors of priors. Needs pytest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest

from ugpnet_core.testing.priors.subject import PriorSubject, prior_subject_of
from ugpnet_core.testing.priors.suite import PRIOR_CHECKS_BY_NAME, run_prior_check


class PriorConformance:
    """Every check of ``ugpnet check-prior`` as a test of its own::

        class TestMine(PriorConformance):
            @pytest.fixture
            def prior(self):
                return "mine", {"resolution": 32}

    The fixture returns what :func:`ugpnet_core.testing.check_prior` takes: a name, an entry, a
    factory or a network; with options as (what, options). ``expected_failures`` maps names of
    checks to the reason why they fail; one that passes after all is a failure that says so.
    """

    expected_failures: ClassVar[Mapping[str, str]] = {}

    @pytest.fixture
    def prior(self) -> Any:
        """What is checked; to be overridden."""
        raise NotImplementedError("Override the fixture 'prior': return a name or a factory.")

    @pytest.fixture
    def subject(self, prior: Any) -> PriorSubject:
        """What the checks take, made of ``prior``."""
        what, options = prior if isinstance(prior, tuple) else (prior, {})
        return prior_subject_of(what, **options)

    @pytest.mark.parametrize("check", PRIOR_CHECKS_BY_NAME)
    def test_check(
        self, check: str, subject: PriorSubject, record_property: Callable[[str, object], None]
    ) -> None:
        """One check."""
        result = run_prior_check(PRIOR_CHECKS_BY_NAME[check], subject)
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
