"""Our distributions, and what all of them say alike: the core's pyproject.toml is the one place.

    python -m release.projects           # what differs from the core's, if anything
    python -m release.projects --write   # make it equal
    python -m release.projects --write 0.2.0   # the same, after giving the core this version

Alike are version, authors, classifiers, links and Python, and which versions of each other the
distributions take: those with the same plugin interface (docs/versions.md). CITATION.cff names the
version, too.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ugpnet_core.templates.bounds import interface_bounds

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT
META = ROOT / "release" / "ugpnet"
CITATION = ROOT / "CITATION.cff"
PLUGINS = sorted(
    project.parent
    for family in ("ugpnet_backbones", "ugpnet_priors")
    for project in (ROOT / family).glob("*/pyproject.toml")
)
# Each stands in a pyproject.toml as it does in the core's, line for line.
_ALIKE = (
    r"^version = .*\n",
    r"^license = .*\n",
    r"^requires-python = .*\n",
    r"^authors = .*\n",
    r"^classifiers = \[\n(?: .*\n)*\]\n",
    r"^\[project\.urls\]\n(?:\w+ = .*\n)*",
)
_OURS = re.compile(r'"(ugpnet-[a-z0-9-]+(?:\[[\w,-]+\])?)[<>=!~][^"]*"')
_CITED = re.compile(r"^version: .*\n", re.MULTILINE)


def folders() -> dict[str, Path]:
    """The folder of each distribution by its name: the core first, the meta distribution last."""
    return {str(project(folder)["name"]): folder for folder in (CORE, *PLUGINS, META)}


def project(folder: Path) -> Mapping[str, Any]:
    """The table ``[project]`` of a folder's pyproject.toml."""
    text = (folder / "pyproject.toml").read_text(encoding="utf-8")
    table: Mapping[str, Any] = tomllib.loads(text)["project"]
    return table


def expected() -> dict[Path, str]:
    """What each file should hold, given the core's pyproject.toml.

    Raises:
        ValueError: a file lacks a part that all have.
    """
    core = (CORE / "pyproject.toml").read_text(encoding="utf-8")
    version = str(project(CORE)["version"])
    bounds = interface_bounds(version)
    texts = {}
    for folder in (*PLUGINS, META):
        path = folder / "pyproject.toml"
        text = path.read_text(encoding="utf-8")
        for pattern in _ALIKE:
            part = _only(pattern, core, CORE / "pyproject.toml")
            text = text.replace(_only(pattern, text, path), part, 1)
        texts[path] = _OURS.sub(rf'"\g<1>{bounds}"', text)
    cited = CITATION.read_text(encoding="utf-8")
    texts[CITATION] = _CITED.sub(f"version: {version}\n", cited)
    return texts


def differing() -> list[Path]:
    """The files that differ from what they should hold."""
    return [path for path, text in expected().items() if path.read_text(encoding="utf-8") != text]


def set_version(version: str) -> None:
    """Give the core a version; :func:`expected` brings it everywhere else.

    Raises:
        ValueError: it is not three numbers.
    """
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise ValueError(f"{version!r} is not a version; give three numbers, for instance 0.2.0.")
    path = CORE / "pyproject.toml"
    text = path.read_text(encoding="utf-8")
    line = _only(_ALIKE[0], text, path)
    path.write_text(text.replace(line, f'version = "{version}"\n', 1), encoding="utf-8")


def main() -> int:
    """Compare, or write."""
    parser = argparse.ArgumentParser(description="Keep what all distributions say alike equal.")
    parser.add_argument("--write", nargs="?", const="", metavar="VERSION")
    arguments = parser.parse_args()
    if arguments.write:
        try:
            set_version(arguments.write)
        except ValueError as error:
            parser.error(str(error))
    files = differing()
    for path in files:
        if arguments.write is None:
            print(f"{path.relative_to(ROOT)} differs; run python -m release.projects --write")
        else:
            path.write_text(expected()[path], encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    return int(bool(files) and arguments.write is None)


def _only(pattern: str, text: str, path: Path) -> str:
    found = re.findall(pattern, text, re.MULTILINE)
    if len(found) != 1:
        raise ValueError(f"{path} should have one {pattern}, and has {len(found)}.")
    return str(found[0])


if __name__ == "__main__":
    sys.exit(main())
