"""Our distributions as wheels: complete, free of strays, and working side by side."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("family", ["ugpnet_backbones", "ugpnet_priors"])
def test_no_wheel_turns_a_namespace_into_a_package(family: str, own_target: Path) -> None:
    assert (own_target / family).is_dir()
    assert not (own_target / family / "__init__.py").exists()


def test_portraits_brings_its_weights_and_model_card(own_wheels: Mapping[str, Path]) -> None:
    names = zipfile.ZipFile(own_wheels["ugpnet-priors-portraits"]).namelist()
    folder = ROOT / FOLDERS["ugpnet-priors-portraits"]
    weights = {path.name for path in folder.glob("*.safetensors")}
    assert weights
    for file in {*weights, "MODEL_CARD.md"}:
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
