"""Exported files that are made once for each model file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from os import PathLike
from pathlib import Path

from ugpnet_core.engines.export import export_model
from ugpnet_core.engines.parts import FORMAT, Part
from ugpnet_core.model_files.finding import find_model_file

_DIGITS = 16
_BLOCK = 2**20


def exported(
    model: str | PathLike[str], part: Part, say: Callable[[str], None] = lambda text: None
) -> Path:
    """The ONNX file of a part of a model, made where it is not there yet.

    Args:
        model: a name or a path.
        say: gets a line before one is made, which takes a minute.

    Raises: as :func:`ugpnet_core.engines.export.export_model`.
    """
    digest = digest_of(find_model_file(model))[:_DIGITS]
    path = cache_folder() / "onnx" / f"{Path(model).stem}-{digest}-{FORMAT[-1]}-{part}.onnx"
    if not path.is_file():
        say(f"Exporting {Path(model).name} ({part}) to {path}; this is done once.")
        export_model(model, path, part=part)
    return path


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def cache_folder() -> Path:
    """Where files are kept that can be made again: ``UGPNET_CACHE``, or ``ugpnet`` in the user's
    folder for such files."""
    named = os.environ.get("UGPNET_CACHE")
    if named:
        return Path(named)
    general = os.environ.get("XDG_CACHE_HOME")
    return (Path(general) if general else Path.home() / ".cache") / "ugpnet"
