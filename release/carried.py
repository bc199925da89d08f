"""The tests that an sdist carries, so that whoever builds from it can run them:

    pip install '.[test]'
    python -m pytest tests

Those of a plugin are its own; those of the core are all that need nothing else of the repository.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Mapping

SHARED = ("tests/conftest.py", "tests/cli/conftest.py")
# Patterns of what git tracks, by distribution; a golden file goes with the network that it is of.
CARRIED: Mapping[str, tuple[str, ...]] = {
    "ugpnet-core": (
        *SHARED,
        "tests/core/test_*.py",
        "tests/cli/test_*.py",
        "tests/cases/*",
        "tests/golden/*",
    ),
    "ugpnet-backbones-hinet": (SHARED[0], "tests/backbones/test_hinet.py", "tests/golden/hinet_*"),
    "ugpnet-backbones-nafnet": (
        SHARED[0],
        "tests/backbones/test_nafnet.py",
        "tests/golden/nafnet_*",
    ),
    "ugpnet-backbones-rrdbnet": (
        SHARED[0],
        "tests/backbones/test_rrdbnet.py",
        "tests/golden/rrdbnet_*",
    ),
    "ugpnet-backbones-spandrel": (SHARED[0], "tests/backbones/test_spandrel.py"),
    "ugpnet-backbones-timm-unet": (SHARED[0], "tests/backbones/test_timm_unet.py"),
    "ugpnet-backbones-uformer": (
        SHARED[0],
        "tests/backbones/test_uformer.py",
        "tests/golden/uformer_*",
    ),
    "ugpnet-backbones-unet": (SHARED[0], "tests/backbones/test_unet.py"),
    "ugpnet-priors-portraits": (SHARED[0], "tests/priors/test_portraits.py"),
    "ugpnet-priors-stylegan2": (
        SHARED[0],
        "tests/priors/test_stylegan2*.py",
        "tests/golden/stylegan2_*",
    ),
}
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
    patterns = CARRIED.get(distribution, ())
    for name in tracked:
        if name not in LEFT_OUT and any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
            yield name
