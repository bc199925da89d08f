"""Our distributions as wheels: complete, free of strays, and working side by side."""

from __future__ import annotations

import json
import re
import subprocess
import zipfile
from collections.abc import Callable, Mapping
from email import message_from_string
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Make = Callable[[], Run]
LISTS = ("backbones", "priors")

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {
    "ugpnet-core": "ugpnet_core",
    **{
        f"{project.parent.parent.name}-{project.parent.name}".replace(
            "_", "-"
        ): project.parent.relative_to(ROOT).as_posix()
        for project in ROOT.glob("ugpnet_*/*/pyproject.toml")
    },
}


@pytest.mark.parametrize("name", FOLDERS)
def test_wheel_holds_exactly_the_modules_of_its_folder(
    name: str, own_wheels: Mapping[str, Path]
) -> None:
    folder = ROOT / FOLDERS[name]
    expected = {
        path.relative_to(ROOT).as_posix()
        for path in folder.rglob("*.py")
        if "build" not in path.relative_to(folder).parts
    }
    names = set(zipfile.ZipFile(own_wheels[name]).namelist())
    assert {file for file in names if file.endswith(".py")} == expected
    assert f"{FOLDERS[name]}/py.typed" in names
    assert any(file.endswith(".dist-info/licenses/LICENSE") for file in names)


@pytest.mark.parametrize("name", FOLDERS)
def test_wheel_has_no_strays(name: str, own_wheels: Mapping[str, Path]) -> None:
    folder = ROOT / FOLDERS[name]
    project = {"pyproject.toml", "README.md", "LICENSE"}
    for file in zipfile.ZipFile(own_wheels[name]).namelist():
        if file.split("/")[0].endswith(".dist-info"):
            continue
        assert file.startswith(f"{FOLDERS[name]}/"), file
        inside = Path(file).relative_to(FOLDERS[name])
        assert (folder / inside).is_file(), file
        assert inside.as_posix() not in project, file
        assert not {"__pycache__", "tests", "build"} & set(inside.parts), file


@pytest.mark.parametrize("name", FOLDERS)
def test_metadata_say_what_is_needed_and_show_the_readme(
    name: str, own_wheels: Mapping[str, Path]
) -> None:
    wheel = zipfile.ZipFile(own_wheels[name])
    (path,) = (file for file in wheel.namelist() if file.endswith(".dist-info/METADATA"))
    metadata = message_from_string(wheel.read(path).decode())
    folder = ROOT / ("release/core" if name == "ugpnet-core" else FOLDERS[name])
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert metadata["Name"] == name
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Summary"]
    assert str(metadata.get_payload()).strip() == readme.strip()
    always = [one for one in metadata.get_all("Requires-Dist", []) if "extra ==" not in one]
    needed = {re.split(r"[^\w.-]", one)[0] for one in always}
    assert name not in needed
    assert ("ugpnet-core" in needed) == (name != "ugpnet-core")


@pytest.mark.parametrize("family", ["ugpnet_backbones", "ugpnet_priors"])
def test_no_wheel_turns_a_namespace_into_a_package(family: str, own_target: Path) -> None:
    assert (own_target / family).is_dir()
    assert not (own_target / family / "__init__.py").exists()


def test_portraits_brings_its_weights_and_model_card(own_wheels: Mapping[str, Path]) -> None:
    names = zipfile.ZipFile(own_wheels["ugpnet-priors-portraits"]).namelist()
    folder = ROOT / FOLDERS["ugpnet-priors-portraits"]
    weights = {path.name for path in folder.glob("*.safetensors")}
    assert weights
    for file in {*weights, *(Path(name).with_suffix(".md").name for name in weights)}:
        assert f"ugpnet_priors/portraits/{file}" in names


def test_wheels_work_side_by_side_outside_the_checkout(
    own_target: Path, run_in: Callable[..., object]
) -> None:
    program = """
import sys, ugpnet_core, ugpnet_backbones.nafnet, ugpnet_priors.stylegan2, ugpnet_priors.portraits
for module in (ugpnet_core, ugpnet_backbones.nafnet, ugpnet_priors.stylegan2,
               ugpnet_priors.portraits):
    assert module.__file__.startswith(sys.argv[1]), module.__file__
from ugpnet_core.plugins import registry
assert not registry().problems, registry().problems
assert "nafnet" in registry().backbones and "stylegan2" in registry().priors
assert registry().models and registry().tasks
import torch
backbone = ugpnet_core.create_backbone(
    "nafnet", width=4, enc_blk_nums=[1], middle_blk_num=1, dec_blk_nums=[1]
)
assert backbone.forward_features(torch.rand(1, 3, 8, 8)).shape == (1, 4, 8, 8)
"""
    run_in(own_target, "-c", program, str(own_target))


def test_a_wheel_and_editable_installs_share_the_namespaces(
    own_wheels: Mapping[str, Path],
    tmp_path: Path,
    run_in: Callable[..., object],
) -> None:
    # The other distributions are found where the tests run from (editable, in make test).
    zipfile.ZipFile(own_wheels["ugpnet-priors-stylegan2"]).extractall(tmp_path)
    program = """
import sys, ugpnet_priors.stylegan2, ugpnet_priors.portraits, ugpnet_backbones.nafnet
assert ugpnet_priors.stylegan2.__file__.startswith(sys.argv[1])
assert not ugpnet_priors.portraits.__file__.startswith(sys.argv[1])
"""
    run_in(tmp_path, "-c", program, str(tmp_path))


ALONE = """
import json, os, sys
import cv2, pydantic, timm, torch  # slow to import, and so only once

def found():
    from ugpnet_core.plugins import registry, resolve
    plugins = registry()
    groups = (plugins.backbones, plugins.priors, plugins.tasks, plugins.models)
    for entry in [one.entry for group in groups[:3] for one in group.values()]:
        resolve(entry.factory)
    names = {one.distribution for group in groups for one in group.values()}
    return [sorted(names), [problem.reason for problem in plugins.problems]]

core, *plugins = sys.argv[1:]
for plugin in plugins:
    child = os.fork()
    if not child:
        sys.path[:0] = [core, plugin]
        try:
            print(json.dumps([plugin, *found()]), flush=True)
        except BaseException as error:
            print(json.dumps([plugin, [], [repr(error)]]), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.fixture(scope="module")
def alone(
    own_wheels: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory, bare_environment: Make
) -> Mapping[str, Any]:
    """What is found, by distribution, where it and the core are all that is installed."""
    folder = tmp_path_factory.mktemp("alone")
    for name, wheel in own_wheels.items():
        zipfile.ZipFile(wheel).extractall(folder / name)
    core, *plugins = (str(folder / name) for name in FOLDERS)
    done = bare_environment()("-c", ALONE, core, core, *plugins)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {Path(plugin).name: (names, problems) for plugin, names, problems in found}


@pytest.mark.parametrize("name", FOLDERS)
def test_the_core_and_one_other_wheel_work_alone(name: str, alone: Mapping[str, Any]) -> None:
    assert alone[name] == (sorted({"ugpnet-core", name}), [])


ORDERS = [
    ("ugpnet-core", "ugpnet-backbones-nafnet", "ugpnet-priors-stylegan2", "ugpnet-backbones-unet"),
    ("ugpnet-backbones-unet", "ugpnet-priors-stylegan2", "ugpnet-backbones-nafnet", "ugpnet-core"),
    ("ugpnet-backbones-nafnet", "ugpnet-backbones-unet", "ugpnet-core", "ugpnet-priors-stylegan2"),
]


@pytest.fixture(scope="module")
def environments(own_wheels: Mapping[str, Path], bare_environment: Make) -> list[Run]:
    """An environment for each order, in which wheels were installed one after the other."""
    made = []
    for order in ORDERS:
        run = bare_environment()
        for name in order:
            run("-m", "pip", "install", "-q", "--no-deps", "--no-index", str(own_wheels[name]))
        made.append(run)
    return made


def _listing(run: Run, what: str) -> Any:
    listing = json.loads(run("-m", "ugpnet_core.cli", f"list-{what}", "--json").stdout)
    assert listing["problems"] == []
    return listing[what]


def test_the_order_of_installation_does_not_matter(environments: list[Run]) -> None:
    first, *others = ([_listing(run, what) for what in LISTS] for run in environments)
    names = [{one["name"] for one in entries} for entries in first]
    assert names == [{"nafnet", "unet"}, {"stylegan2"}]
    for other in others:
        assert other == first


def test_uninstalling_one_leaves_the_others(environments: list[Run]) -> None:
    run = environments[-1]
    run("-m", "pip", "uninstall", "-q", "-y", "ugpnet-backbones-nafnet")
    assert [one["name"] for one in _listing(run, "backbones")] == ["unet"]
    missed = run("-m", "ugpnet_core.cli", "show", "nafnet-sidd-width64", status=2)
    assert "pip install ugpnet-backbones-nafnet" in missed.stderr
    run("-c", "import ugpnet_backbones.unet.network, ugpnet_priors.stylegan2.generator")
    run("-m", "pip", "uninstall", "-q", "-y", "ugpnet-backbones-unet")
    assert _listing(run, "backbones") == []
    assert [one["name"] for one in _listing(run, "priors")] == ["stylegan2"]
