"""What ``make setup`` says, with a Python that only pretends to install."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WARNING = "WARNING: Location 'somewhere' is ignored"
# Makes an environment that is itself, warns whenever pip is called, and fails at what is in FAILS.
PRETENDS = f"""#!/bin/sh
case "$*" in
    --version) echo "Python 3.11.0" ;;
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    *"-m pip --version"*) ;;
    *"import cv2"*) [ ! -e no-libgl ] || {{ rm no-libgl; exit 1; }} ;;
    *"-m pip "*)
        echo "{WARNING}" >&2
        case "$*" in *"${{FAILS:-nothing}}"*) echo "ERROR: no $FAILS" >&2; exit 1 ;; esac ;;
esac
"""


def make(folder: Path, fails: str = "") -> subprocess.CompletedProcess[str]:
    for name in ("Makefile", "constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    python = folder / "python"
    python.write_text(PRETENDS)
    python.chmod(0o755)
    # The make that runs the tests has nothing to say to this one.
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    return subprocess.run(
        ["make", "setup", f"PYTHON={python}"],
        cwd=folder,
        env={**environment, "FAILS": fails},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("headless", [False, True])
def test_an_installation_that_works_says_what_it_does_and_no_more(
    tmp_path: Path, headless: bool
) -> None:
    if headless:
        (tmp_path / "no-libgl").touch()
    done = make(tmp_path)
    assert done.returncode == 0
    assert done.stderr == ""
    *steps, last = done.stdout.splitlines()
    assert len(steps) == 4 + headless
    assert all(step.startswith("== ") for step in steps)
    assert last == "The environment in .venv is ready."
    # Nothing is lost: who wonders can look.
    assert WARNING in (tmp_path / ".venv/install.log").read_text()


@pytest.mark.parametrize("step", ["setuptools", "torchvision", "[dev]", "opencv-python-headless"])
def test_an_installation_that_fails_shows_everything_and_starts_again(
    tmp_path: Path, step: str
) -> None:
    (tmp_path / "no-libgl").touch()
    done = make(tmp_path, fails=step)
    assert done.returncode != 0
    assert WARNING in done.stderr
    assert f"ERROR: no {step}" in done.stderr
    assert "is ready" not in done.stdout
    again = make(tmp_path)
    assert again.returncode == 0
    assert "== Making a virtual environment" in again.stdout
