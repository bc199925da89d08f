"""Wheels unpacked into a folder of their own, on a machine without an index. Needs nothing but
Python."""

from __future__ import annotations

import sysconfig
import zipfile
from collections.abc import Iterable
from pathlib import Path

from examples.gpu_slice.archive import SliceError


def install(wheels: Iterable[Path], site: Path) -> None:
    """Unpack wheels, so that ``site`` in PYTHONPATH is what they would have installed; without
    their scripts.

    Raises:
        SliceError: a wheel is damaged, or was built for another Python.
    """
    for wheel in wheels:
        _check(wheel)
        try:
            with zipfile.ZipFile(wheel) as file:
                for entry in file.infolist():
                    target = _target(entry.filename)
                    if target is not None and not entry.is_dir():
                        entry.filename = target
                        file.extract(entry, site)
        except (zipfile.BadZipFile, OSError) as error:
            raise SliceError(f"{wheel} cannot be unpacked: {error}.") from error


def _target(name: str) -> str | None:
    """Where a file of a wheel goes: packages may lie in NAME.data/purelib and platlib."""
    first, _, rest = name.partition("/")
    if not first.endswith(".data"):
        return name
    kind, _, inner = rest.partition("/")
    return inner if kind in ("purelib", "platlib") else None


def _check(wheel: Path) -> None:
    """Refuse a wheel whose compiled code this Python cannot load."""
    python, abi = wheel.stem.split("-")[-3:-1]
    mine = "cp" + sysconfig.get_config_var("py_version_nodot")
    if abi not in ("none", "abi3") and mine not in python.split("."):
        raise SliceError(
            f"{wheel.name} is for another Python than this one ({mine}); pack again with --python."
        )
