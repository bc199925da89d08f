"""The packages that another machine lacks, as wheels: our own are built, others are fetched."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from examples.gpu_slice.archive import SliceError

ROOT = Path(__file__).parents[2]
# What one package brings another one brings, too.
SAME = {"opencv-python": "opencv-python-headless", "opencv-python-headless": "opencv-python"}
# pip matches the number exactly: the tags that wheels of these years carry.
MANYLINUX = ("2_39", "2_35", "2_34", "2_31", "2_28", "2_27", "2_24", "2_17", "2014", "1")


def read_present(path: Path) -> set[str]:
    """Names in a list of packages: the output of ``pip list`` or ``pip freeze``, or one a line.

    Raises:
        SliceError: the file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SliceError(
            f"{path} cannot be read ({error}); give the output of 'pip list'."
        ) from error
    names = (re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line.strip()) for line in lines)
    return {canonicalize_name(name.group()) for name in names if name}


def missing(own: Iterable[str], present: set[str], more: Iterable[str] = ()) -> list[str]:
    """What distributions need and a machine lacks, as NAME==VERSION of what is installed here.

    Args:
        own: names of distributions that travel as wheels of their own.
        more: names of further packages.

    Raises:
        SliceError: something that is needed is not installed here, so its version is not known.
    """
    mine = {canonicalize_name(name) for name in own}
    waiting = [*mine, *map(canonicalize_name, more)]
    met: set[str] = set()
    found = []
    while waiting:
        name = waiting.pop()
        if name in met or (name not in mine and _is_there(name, present)):
            continue
        met.add(name)
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            raise SliceError(
                f"{name} is needed and not installed here; install it, or name it in --present if "
                "the other machine has it."
            ) from None
        if name not in mine:
            found.append(f"{name}=={installed.version}")
        waiting += _needs(installed)
    return sorted(found)


def _is_there(name: str, present: set[str]) -> bool:
    return name in present or SAME.get(name, name) in present


def _needs(installed: Distribution) -> list[str]:
    needed: list[str] = []
    for text in installed.requires or []:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            needed.append(canonicalize_name(requirement.name))
    return needed


def projects(wanted: Iterable[str]) -> dict[str, Path]:
    """The folders of this checkout that hold the distributions of these names."""
    folders = [ROOT, *ROOT.glob("ugpnet_backbones/*"), *ROOT.glob("ugpnet_priors/*")]
    names = {}
    for folder in folders:
        project = folder / "pyproject.toml"
        if project.is_file():
            name = re.search(r'^name = "(.+)"', project.read_text(encoding="utf-8"), re.MULTILINE)
            names[canonicalize_name(name.group(1)) if name else ""] = folder
    return {name: names[name] for name in map(canonicalize_name, wanted) if name in names}


def build(folders: Sequence[Path], out: Path, scratch: Path) -> None:
    """Build wheels of projects, from copies, so that nothing is left in their folders.

    Raises:
        SliceError: building fails; the message has pip's last line.
    """
    copies: list[str] = []
    for folder in folders:
        copy = scratch / f"project-{len(copies)}"
        names = None if folder != ROOT else {"pyproject.toml", "README.md", "LICENSE"}
        copy.mkdir(parents=True)
        for item in folder.iterdir():
            if item.is_file() and (names is None or item.name in names):
                shutil.copy(item, copy / item.name)
        if folder == ROOT:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(folder / "ugpnet_core", copy / "ugpnet_core", ignore=ignored)
        copies.append(str(copy))
    _pip("wheel", "--no-deps", "--no-build-isolation", "-w", str(out), *copies)


def fetch(wanted: Sequence[str], python: str, out: Path) -> None:
    """Download wheels for another machine: Linux on x86-64 with this version of Python.

    Raises:
        SliceError: there is none; the message has pip's last line.
    """
    if wanted:
        platforms = [f"--platform=manylinux{_tag(tag)}_x86_64" for tag in MANYLINUX]
        _pip(
            *("download", "--no-deps", "--only-binary=:all:", "--implementation=cp"),
            *(f"--python-version={python}", *platforms, "-d", str(out), *wanted),
        )


def _tag(number: str) -> str:
    return f"_{number}" if "_" in number else number


def _pip(*words: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise SliceError(f"pip {words[0]} failed: {lines[-1] if lines else 'it says nothing'}")
