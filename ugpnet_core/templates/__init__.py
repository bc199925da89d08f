"""Write a new backbone distribution from the templates that lie in ``backbone/``."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import keyword
import os
import re
import shutil
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Literal

from ugpnet_core.errors import ConfigError, UGPNetError
from ugpnet_core.plugins import GROUP, registry
from ugpnet_core.templates.bounds import interface_bounds

# Where each template goes; the names of targets hold placeholders, too.
TARGETS: Mapping[str, str] = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "gitignore": ".gitignore",
    "test.yml": ".github/workflows/test.yml",
    "hook.py": "$package/__init__.py",
    "network.py": "$package/network.py",
    "py.typed": "$package/py.typed",
    "test.py": "tests/$test_file",
}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*([._-]+[A-Za-z0-9]+)*")
_LONGEST = 40  # longer names would break the lines of the templates
# Folders of the distribution, and our namespaces, which a package of that name would hide.
_RESERVED = {"tests", "build", "dist", "conftest", "ugpnet"} | {
    f"ugpnet_{part}" for part in ("core", "backbones", "priors")
}
# What the templates import.
_IMPORTED = {"Tensor", "RegressionNetwork", "Block", "BackboneEntry", "Field", "Options"}


def write_backbone(name: str, kind: Literal["direct", "residual"], folder: Path) -> None:
    """Write a complete distribution for a backbone: whole or not at all, and the same each time.

    Args:
        name: of the backbone; the names of distribution, package and class follow from it.
        kind: see :class:`ugpnet_core.protocols.Backbone`.
        folder: must not exist yet.

    Raises:
        ConfigError: the name cannot be used, or the folder exists.
        UGPNetError: the folder cannot be written.
    """
    words = _placeholders(name, kind)
    if os.path.lexists(folder):
        raise ConfigError(f"{folder} exists already; name another folder with -o.")
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        for source, target in TARGETS.items():
            path = partial / Template(target).substitute(words)
            path.parent.mkdir(parents=True, exist_ok=True)
            template = files(__name__) / "backbone" / f"{source}.template"
            text = Template(template.read_text(encoding="utf-8")).substitute(words)
            path.write_text(text, encoding="utf-8", newline="\n")
        partial.rename(folder)
    except OSError as error:
        raise UGPNetError(
            f"{folder} cannot be written ({error.strerror}); name another folder with -o."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def package_of(name: str) -> str:
    """The Python package for a backbone: ``my_net`` for ``My-Net``.

    Raises:
        ConfigError: the name gives no package, or one that would hide another.
    """
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        digits, rest = re.fullmatch(r"([\d._-]*)(.*)", name, flags=re.S).groups()  # type: ignore[union-attr]
        near = re.sub(r"[^A-Za-z0-9]+", "-", rest + digits).strip("-")[:_LONGEST].rstrip("-")
        hint = f", for instance {near}" if _NAME.fullmatch(near) else ""
        raise ConfigError(
            f"{name!r} cannot be the name of a Python package; use up to {_LONGEST} letters, "
            f"digits and single hyphens, a letter first{hint}."
        )
    package = re.sub(r"[._-]+", "_", name).lower()
    if keyword.iskeyword(package):
        raise ConfigError(f"{name!r} is a word of Python; choose another name, say {name}-net.")
    if package in _RESERVED or package in sys.stdlib_module_names or _is_importable(package):
        raise ConfigError(
            f"A package {package!r} would hide the one that is installed already; choose another "
            f"name, say {name}-net."
        )
    return package


def _placeholders(name: str, kind: str) -> dict[str, str]:
    _refuse_taken(name)
    package = package_of(name)
    camel = "".join(part[0].upper() + part[1:] for part in re.split(r"[._-]+", name))
    clashes = camel in _IMPORTED or keyword.iskeyword(camel)
    residual = kind == "residual"
    return {
        "name": name,
        "kind": kind,
        "core": f"ugpnet-core{interface_bounds(importlib.metadata.version('ugpnet-core'))}",
        "distribution": package.replace("_", "-"),
        "package": package,
        "class_name": f"{camel}Net" if clashes else camel,
        "options_class": f"{camel}Options",
        "test_file": f"test_{package}.py",
        "head_gives": "residual" if residual else "restored image",
        "head_meaning": ", what to add to the input" if residual else "",
    }


def _refuse_taken(name: str) -> None:
    """Two installed plugins must not share a name; names that differ in case alone confuse."""
    plugins = registry()
    for installed in (*plugins.backbones.values(), *plugins.presets.values()):
        if _same(installed.entry.name, name):
            raise ConfigError(_taken(name, f"a backbone of {installed.distribution}"))
    for point in importlib.metadata.entry_points(group=GROUP):
        if _same(point.name, name):
            owner = point.dist.name if point.dist is not None else "an installed distribution"
            raise ConfigError(_taken(name, f"a plugin of {owner}"))
    for distribution in importlib.metadata.distributions():
        if _same(distribution.name or "", name):
            raise ConfigError(
                f"A distribution {distribution.name} is installed already; choose another name, "
                f"say {name}-net."
            )


def _taken(name: str, owner: str) -> str:
    return f"The name {name!r} is taken by {owner}; choose another, or uninstall that first."


def _same(one: str, other: str) -> bool:
    return re.sub(r"[._-]+", "-", one).lower() == re.sub(r"[._-]+", "-", other).lower()


def _is_importable(package: str) -> bool:
    try:
        found = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return False
    # A folder without __init__.py hides nothing: it may be any folder where ugpnet was started.
    return found is not None and found.origin is not None
