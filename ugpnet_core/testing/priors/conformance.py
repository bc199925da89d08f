"""The checks as a pytest class, to be subclassed by the authors of priors. Needs pytest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest

from ugpnet_core.testing.conformance import judge
from ugpnet_core.testing.priors.subject import PriorSubject, prior_subject_of
from ugpnet_core.testing.priors.suite import PRIOR_SUITE


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

    @pytest.mark.parametrize("check", PRIOR_SUITE.names())
    def test_check(
        self, check: str, subject: PriorSubject, record_property: Callable[[str, object], None]
    ) -> None:
        """One check."""
        judge(PRIOR_SUITE.run_one(check, subject), self.expected_failures, record_property)
