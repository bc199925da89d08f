"""Real distributions for the packaging tests: built into wheels, installed outside the checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from sysconfig import get_path

import pytest

from release import projects

ROOT = Path(__file__).resolve().parents[2]
OWN = projects.folders()
Files = Mapping[str, str]
Plugin = tuple[str, str, Files]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def make_wheel(folder: Path, distribution: str, entry_points: str, files: Files) -> Path:
    """Write a wheel, version 1.0, from file contents; quicker than a build back end."""
    stem = f"{distribution.replace('-', '_')}-1.0"
    contents = {
        **files,
        f"{stem}.dist-info/METADATA": (
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n"
        ),
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{stem}.dist-info/entry_points.txt": entry_points,
    }
    record = f"{stem}.dist-info/RECORD"
    contents[record] = "".join(f"{name},,\n" for name in [*contents, record])
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in contents.items():
            wheel.writestr(name, text)
    return path


def install(target: Path, *wheels: Path) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-q"]
    command += ["--no-deps", "--no-index", "--target", str(target), *map(str, wheels)]
    subprocess.run(command, check=True)


@pytest.fixture(scope="session")
def install_plugins(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[Plugin]], Path]:
    """Build (distribution, entry points, files) into wheels and install them into a new folder."""

    def build_and_install(plugins: list[Plugin]) -> Path:
        target = tmp_path_factory.mktemp("plugins") / "site"
        install(target, *(make_wheel(target.parent, *plugin) for plugin in plugins))
        return target

    return build_and_install


@pytest.fixture(scope="session")
def run_in(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run Python with a target folder on its path, in an empty folder outside the checkout."""
    nowhere = tmp_path_factory.mktemp("nowhere")

    def run(target: Path, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(target), "COLUMNS": "80"}
        done = subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            env=environment,
            cwd=nowhere,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done

    return run


@pytest.fixture(scope="session")
def own_wheels(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Wheels of our distributions, by name, built from copies that hold no earlier build."""
    sources = tmp_path_factory.mktemp("sources")
    wheels = tmp_path_factory.mktemp("wheels")
    junk = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    for name, folder in OWN.items():
        if folder != ROOT:
            shutil.copytree(folder, sources / name, ignore=junk)
            continue
        shutil.copytree(ROOT / "ugpnet_core", sources / name / "ugpnet_core", ignore=junk)
        shutil.copytree(ROOT / "release" / "core", sources / name / "release" / "core")
        for file in ("pyproject.toml", "LICENSE"):
            shutil.copy(ROOT / file, sources / name)
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "-q"]
    command += ["--no-deps", "--no-index", "--no-build-isolation", "-w", str(wheels)]
    subprocess.run([*command, *(str(sources / name) for name in OWN)], check=True)
    return {name: next(wheels.glob(f"{name.replace('-', '_')}-*.whl")) for name in OWN}


@pytest.fixture(scope="session")
def own_target(own_wheels: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with our distributions installed as wheels."""
    target = tmp_path_factory.mktemp("own") / "site"
    install(target, *own_wheels.values())
    return target


@pytest.fixture(scope="session")
def third_party(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with links to all that is installed here, but none of it ours and no plugin."""
    folder = tmp_path_factory.mktemp("third-party")
    plugins = {point.dist.name for point in entry_points(group="ugpnet") if point.dist}
    stems = tuple(re.sub(r"[-_.]+", "_", name).lower() + "-" for name in plugins)
    for site in map(Path, dict.fromkeys([get_path("purelib"), get_path("platlib")])):
        for each in site.iterdir():
            name = each.name.lower()
            if not name.startswith(("ugpnet", "__editable__", *stems)) and each.suffix != ".pth":
                (folder / each.name).symlink_to(each)
    return folder


@pytest.fixture(scope="session")
def bare_environment(
    third_party: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Run]:
    """A function that makes a virtual environment with third-party packages only, and gives a
    function that runs its Python there, outside the checkout."""

    def make() -> Run:
        folder = tmp_path_factory.mktemp("bare")
        command = [sys.executable, "-m", "venv", "--without-pip", str(folder / "environment")]
        subprocess.run(command, check=True)
        (site,) = folder.glob("environment/lib/python*/site-packages")
        (site / "third-party.pth").write_text(f"{third_party}\n")
        environment = {**os.environ, "COLUMNS": "80", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        environment.pop("PYTHONPATH", None)

        def run(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
            done = subprocess.run(
                [str(folder / "environment" / "bin" / "python"), *arguments],
                capture_output=True,
                text=True,
                env=environment,
                cwd=folder,
                check=False,
            )
            assert done.returncode == status, done.stdout + done.stderr
            return done

        return run

    return make


@pytest.fixture(scope="session")
def environment_with(
    tmp_path_factory: pytest.TempPathFactory, fresh_environment: Callable[[], Run]
) -> Callable[[Path], Run]:
    """A function from the folder of a distribution to an environment with its wheel, built from a
    copy that holds no earlier build."""

    def build_and_install(distribution: Path) -> Run:
        folder = tmp_path_factory.mktemp("distribution")
        junk = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
        shutil.copytree(distribution, folder / "source", ignore=junk)
        run = fresh_environment()
        offline = ("-q", "--no-deps", "--no-index", "--no-build-isolation")
        run("-m", "pip", "wheel", *offline, "-w", str(folder), str(folder / "source"))
        (wheel,) = folder.glob("*.whl")
        run("-m", "pip", "install", *offline, str(wheel))
        return run

    return build_and_install
