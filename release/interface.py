"""The public names, and that none of them disappears without a deprecation (docs/versions.md).

    python -m release.interface           # what is wrong, if anything
    python -m release.interface --write   # add what is new to interface.txt

``interface.txt`` has a line for each public name of ``ugpnet_core``, ``ugpnet_core.plugins`` and
``ugpnet_core.testing``, for each argument of it (``...create_backbone(name)``), and for each member
of a class (``...Restorer.scale``). Behind what is to go stands ``deprecated in`` and the version
that began to say so.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

from release.projects import CORE, project

MODULES = ("ugpnet_core", "ugpnet_core.plugins", "ugpnet_core.testing")
LISTED = Path(__file__).with_name("interface.txt")
_LINE = re.compile(r"(?P<name>\S+)(?: deprecated in (?P<version>\d+\.\d+))?")


def present(modules: tuple[str, ...] = MODULES) -> set[str]:
    """What there is, as lines of the list."""
    return {line for module in modules for line in _lines_of(module)}


def read(text: str) -> dict[str, str | None]:
    """The lines of a list, with the version that deprecated each.

    Raises:
        ValueError: a line is neither a name nor a deprecated name.
    """
    listed = {}
    for line in text.splitlines():
        found = _LINE.fullmatch(line)
        if found is None:
            raise ValueError(f"{line!r} should be a name, or a name and 'deprecated in 0.1'.")
        listed[found["name"]] = found["version"]
    return listed


def complaints(listed: Mapping[str, str | None], there: set[str], version: str) -> Iterator[str]:
    """A sentence for each promise that is broken.

    Args:
        listed: see :func:`read`.
        there: see :func:`present`.
        version: the one that is being made.
    """
    now = _minor(version)
    for name, deprecated in sorted(listed.items()):
        if name not in there and deprecated is None:
            yield f"{name} is gone; bring it back, and deprecate it first (docs/versions.md)."
        elif name not in there and deprecated is not None and _minor(deprecated) >= now:
            yield f"{name} is gone too early: this is {version}, which deprecated it."
        elif name in there and deprecated is not None and not _warns(name):
            yield f"{name} is deprecated and does not say so; let it give a DeprecationWarning."
    for name in sorted(there - set(listed)):
        yield f"{name} is new; add it with python -m release.interface --write."


def main() -> int:
    """Compare, or add what is new."""
    parser = argparse.ArgumentParser(description="Compare the public names with the list of them.")
    parser.add_argument("--write", action="store_true", help="add what is new")
    lines = LISTED.read_text(encoding="utf-8").splitlines() if LISTED.exists() else []
    listed, there = read("\n".join(lines)), present()
    if parser.parse_args().write:
        lines = sorted({*lines, *(there - set(listed))})
        LISTED.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        listed = read("\n".join(lines))
    wrong = list(complaints(listed, there, str(project(CORE)["version"])))
    print("".join(f"{line}\n" for line in wrong), end="")
    return int(bool(wrong))


def _lines_of(module: str) -> Iterator[str]:
    home = importlib.import_module(module)
    # A deprecated name need not be in __all__.
    for name in {*home.__all__, *getattr(home, "DEPRECATED", ())}:
        yield f"{module}.{name}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            value = getattr(home, name)
        if not callable(value) or not getattr(value, "__module__", "").startswith("ugpnet_core"):
            continue
        yield from (f"{module}.{name}({one})" for one in _arguments(value))
        if inspect.isclass(value):
            yield from (f"{module}.{name}.{one}" for one in _members(value))


def _arguments(value: object) -> list[str]:
    # A model without fields has a signature that depends on whether pydantic has built it yet.
    if getattr(value, "model_fields", None) == {}:
        return []
    try:
        return [n for n in inspect.signature(value).parameters if not n.startswith("_")]  # type: ignore[arg-type]
    except ValueError:
        return []


def _members(kind: type) -> set[str]:
    """Methods, properties and fields that are ours, not those of torch or pydantic."""
    ours = [one for one in kind.__mro__ if one.__module__.startswith("ugpnet_core")]
    names = {name for one in ours for name in (*vars(one), *vars(one).get("__annotations__", {}))}
    return {name for name in names if not name.startswith("_")} - {"model_config"}


def _warns(line: str) -> bool:
    """Whether getting a name gives a DeprecationWarning. Arguments and members warn in use."""
    module = max((one for one in MODULES if line.startswith(f"{one}.")), key=len)
    name = line.removeprefix(f"{module}.")
    if not name.isidentifier():
        return True
    home = importlib.import_module(module)
    # Loaded earlier, it would be got without asking the module's __getattr__.
    loaded = vars(home).pop(name, None)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        if getattr(home, name, None) is None:
            setattr(home, name, loaded)
    return any(issubclass(one.category, DeprecationWarning) for one in said)


def _minor(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


if __name__ == "__main__":
    sys.exit(main())
