"""The tests that an sdist carries, so that whoever builds from it can run them:

    pip install '.[test]'
    python -m pytest tests

Those of a plugin are its own; those of the core are all that need nothing else of the repository.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator

from release.projects import CORE, META, folders

FIXTURES = "tests/conftest.py"
OF_CORE = (
    FIXTURES,
    "tests/cli/*.py",
    "tests/core/*.py",
    "tests/cases/*",
    "tests/golden/*",
)
# Of the core's, those that read the repository's documentation and examples, or look at its files.
LEFT_OUT = (
    "tests/cli/test_ablate.py",
    "tests/cli/test_doctor.py",
    "tests/cli/test_listing.py",
    "tests/cli/test_train.py",
    "tests/core/test_architecture.py",
    "tests/core/test_compare_files.py",
    "tests/core/test_degradations_photo.py",
    "tests/core/test_generative_baselines.py",
    "tests/core/test_image_formats.py",
    "tests/core/test_out_of_domain.py",
    "tests/core/test_plugin_interface.py",
    "tests/core/test_training_paper.py",
    "tests/core/test_training_processes.py",
    "tests/core/test_training_weights.py",
    "tests/core/test_wrapping_example.py",
)


def carried(distribution: str, tracked: Iterable[str]) -> Iterator[str]:
    """The files of tests, out of all that git tracks, that go with a distribution."""
    patterns = _patterns(distribution)
    for name in tracked:
        if name not in LEFT_OUT and any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
            yield name


def _patterns(distribution: str) -> tuple[str, ...]:
    """Of a plugin: its tests, and the golden numbers of its networks, by the name of its folder."""
    folder = folders()[distribution]
    if folder == META:
        return ()
    if folder == CORE:
        return OF_CORE
    family = folder.parent.name.removeprefix("ugpnet_")
    name = folder.name
    return (FIXTURES, f"tests/{family}/test_{name}*.py", f"tests/golden/{name}_*")
