"""Files that other people's packages carry, found without importing these."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ugpnet_core.errors import DependencyError


def package_file(package: str, name: str, what: str, distribution: str) -> Path:
    """Find a file inside an installed package.

    Args:
        name: below the package's folder, with "/".
        what: needs the file, for the error.
        distribution: what to install.

    Raises:
        DependencyError: the package is not installed, or has no such file.
    """
    spec = importlib.util.find_spec(package)
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    for folder in folders:
        if (Path(folder) / name).is_file():
            return Path(folder) / name
    raise DependencyError(
        f"{what} needs a file of the package {distribution}, which is not installed; pip install "
        f"{distribution}"
    )
