"""Which code a network runs, as far as it is not that of well-known libraries."""

from __future__ import annotations

import ast
import importlib.util
import sys
import warnings
from collections.abc import Collection, Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ugpnet_core.evaluation.store import digest

# What many compute with, and is too large to be read: by package, the distributions whose versions
# stand for it.
LIBRARIES = {
    "ugpnet_core": ("ugpnet-core",),
    "torch": ("torch",),
    "torchvision": ("torchvision",),
    "numpy": ("numpy",),
    "scipy": ("scipy",),
    "cv2": ("opencv-python", "opencv-python-headless"),
    "bm3d": ("bm3d",),
    "timm": ("timm",),
    "pydantic": ("pydantic",),
    "spandrel": ("spandrel",),
    "spandrel_extra_arches": ("spandrel_extra_arches",),
}
INSTALLED = frozenset({"site-packages", "dist-packages"})
ENDINGS = frozenset({".py", ".so", ".pyd", ".c", ".cpp", ".cu"})


def library_versions() -> dict[str, str]:
    """The versions of those libraries that are installed."""
    found = {}
    for name in (each for names in LIBRARIES.values() for each in names):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def code_digest(modules: Collection[str]) -> str:
    """A name for the files of modules, of the packages that these belong to, and of what they
    import; libraries are left out, and what is not there. Of what was installed, sizes and times of
    files stand for what is in them."""
    found: dict[str, Path] = {}
    waiting, seen = list(modules), set[str]()
    known = LIBRARIES.keys() | sys.stdlib_module_names
    while waiting:
        name = waiting.pop()
        if name in seen or name.partition(".")[0] in known:
            continue
        seen.add(name)
        owner, place = _place(name)
        if place is None or owner in found:
            continue
        found[owner] = place
        if not _is_installed(place):  # what is being worked on may be several packages
            waiting += {each for file in _files(place) for each in _imports(file)}
    parts: list[str | bytes] = []
    for owner, place in sorted(found.items()):
        for file in _files(place):
            parts += [owner, file.relative_to(place).as_posix(), _content(file)]
    return digest(*parts)


def _is_installed(place: Path) -> bool:
    return not INSTALLED.isdisjoint(place.parts)


def _content(file: Path) -> str | bytes:
    if not _is_installed(file):
        return file.read_bytes()
    facts = file.stat()
    return f"{facts.st_size} {facts.st_mtime_ns}"


def _place(name: str) -> tuple[str, Path | None]:
    """The outermost package of a module that is no namespace, and its folder; or the module itself,
    and its file."""
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        owner = ".".join(parts[:count])
        file = _file_of(owner)
        if file is not None:
            return owner, file.parent if file.name == "__init__.py" else file
    return name, None


def _file_of(name: str) -> Path | None:
    """The file of a module, which may not have been imported yet; None where there is none."""
    file = getattr(sys.modules.get(name), "__file__", None)
    with suppress(ImportError, ValueError):  # nothing of that name, or a script
        spec = importlib.util.find_spec(name)
        file = spec.origin if spec is not None and spec.has_location else file
    return Path(file) if file is not None and Path(file).is_file() else None


def _files(place: Path) -> list[Path]:
    files = place.rglob("*") if place.is_dir() else [place]
    return sorted(file for file in files if file.suffix in ENDINGS and file.is_file())


def _imports(file: Path) -> Iterator[str]:
    """What a file imports by its whole name; the rest is in its own package."""
    if file.suffix != ".py":
        return
    # A file that nobody imports may be no Python, or old.
    with suppress(SyntaxError, ValueError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Import):
                yield from (each.name for each in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module
                yield from (f"{node.module}.{each.name}" for each in node.names)
