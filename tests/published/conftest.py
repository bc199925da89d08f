"""Tests with published weights, which ``make test-published`` gets first: not part of the rest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOLDER = "UGPNET_PUBLISHED"
collect_ignore_glob = [] if FOLDER in os.environ else ["test_*.py"]


@pytest.fixture(scope="session")
def downloads() -> Path:
    """Where pip put the packages with the weights."""
    return Path(os.environ[FOLDER]).absolute()
