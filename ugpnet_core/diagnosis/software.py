"""Libraries: which versions, whether they are what this version asks for, and which extras are
installed."""

from __future__ import annotations

import importlib
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from packaging.requirements import Requirement

from ugpnet_core.diagnosis.finding import Finding

DISTRIBUTION = "ugpnet-core"
# What is imported to see whether it works: libraries with compiled code, which can be installed and
# broken at once.
IMPORTED = {
    "numpy": "numpy",
    "opencv-python": "cv2",
    "pillow": "PIL.Image",
    "safetensors": "safetensors",
    "torch": "torch",
    "torchvision": "torchvision",
}
# The same library under another name.
ALSO = {"opencv-python": ("opencv-python-headless", "opencv-contrib-python")}
BRINGS = {
    "avif": "AVIF photographs",
    "heic": "HEIC photographs, as telephones take them",
    "jxl": "JPEG XL photographs",
    "train": "curves of trainings in TensorBoard",
    "samples": "the photograph that ugpnet demo degrades",
    "figures": "figures of comparisons",
    "metrics": "more figures of quality, MS-SSIM among them",
    "no-reference": "figures that need no original",
    "identity": "whether a face is still the same person's",
    "bm3d": "BM3D to compare with, for non-commercial use",
    "fid": "the Fréchet Inception distance",
    "export": "ugpnet export to ONNX, and restore --engine onnx",
    "ray": "restore --engine ray: a cluster's machines",
    "ui": "ugpnet ui: restoring in a browser",
    "check": "checks in other processes of what a script or notebook defines",
}
# For those who work on the toolkit itself.
NOT_FOR_USERS = ("dev", "docs", "test")


def libraries() -> Iterator[Finding]:
    """The toolkit, Python, and every library that the toolkit needs."""
    python = f"{platform.python_version()} at {sys.executable}, {platform.platform()}"
    yield Finding("software", "python", "ok", python)
    yield Finding("software", DISTRIBUTION, "ok", version(DISTRIBUTION))
    for requirement in _requirements(DISTRIBUTION):
        yield _library(requirement)


def extras() -> Iterator[Finding]:
    """Every extra: what it brings, and what of it is missing."""
    for extra in metadata(DISTRIBUTION).get_all("Provides-Extra") or []:
        if extra in NOT_FOR_USERS:
            continue
        needed = _requirements(DISTRIBUTION, extra)
        missing = [one.name for one in needed if not _satisfies(one, _installed(one))]
        brings = BRINGS.get(extra, "more")
        if missing:
            yield Finding(
                "extras",
                extra,
                "note",
                f"not installed ({', '.join(missing)}); it brings {brings}",
                f"if you want that: pip install '{DISTRIBUTION}[{extra}]'",
            )
        else:
            yield Finding("extras", extra, "ok", f"installed: {brings}")


def unmet(distribution: str) -> Iterator[str]:
    """What a distribution needs and has not, each in a few words."""
    for one in _requirements(distribution):
        found = _installed(one)
        if not _satisfies(one, found):
            there = "which is not installed" if found is None else f"and {found} is installed"
            yield f"needs {one}, {there}"


def _requirements(distribution: str, extra: str | None = None) -> list[Requirement]:
    """What is needed always, or by an extra alone."""

    def wanted(one: Requirement, extra: str) -> bool:
        return one.marker is None or one.marker.evaluate({"extra": extra})

    every = [Requirement(text) for text in requires(distribution) or []]
    always = [one for one in every if wanted(one, "")]
    if extra is None:
        return always
    return [one for one in every if one not in always and wanted(one, extra)]


def _installed(requirement: Requirement) -> str | None:
    for name in (requirement.name, *ALSO.get(requirement.name, ())):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def _satisfies(requirement: Requirement, found: str | None) -> bool:
    return found is not None and requirement.specifier.contains(found, prereleases=True)


def _library(requirement: Requirement) -> Finding:
    name, found = requirement.name, _installed(requirement)
    advice = f"pip install '{name}{requirement.specifier}'"
    if found is None:
        return Finding("software", name, "broken", "not installed", advice)
    if not _satisfies(requirement, found):
        words = f"{found}, and {requirement.specifier} is needed"
        return Finding("software", name, "broken", words, advice)
    module = IMPORTED.get(name)
    if module is not None:
        try:
            importlib.import_module(module)
        except Exception as error:
            words = f"{found} cannot be imported: {' '.join(str(error).split())}"
            return Finding("software", name, "broken", words, _repair(name, str(error)))
    return Finding("software", name, "ok", found)


def _repair(name: str, error: str) -> str:
    if name == "opencv-python" and "libGL" in error:
        return "pip uninstall -y opencv-python && pip install opencv-python-headless"
    return f"pip install --force-reinstall {name}"
