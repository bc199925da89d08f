"""Every command and every Python block of README.md does what it says."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
import yaml

import ugpnet_core as ug
from ugpnet_core.cli import main
from ugpnet_core.image import write_image
from ugpnet_core.plugins import BackboneEntry
from ugpnet_core.studies.ablation.settings import AblationConfig
from ugpnet_core.studies.settings import CompareConfig

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# The configuration that the README calls my.yaml: the smallest training there is.
TINY = """
name: mine
output: runs/mine
model:
  backbone: {name: nafnet, options: {width: 4, enc_blk_nums: [1], dec_blk_nums: [1]}}
  prior: {name: stylegan2, options: {resolution: 32, style_dim: 8, num_mlp: 1, narrow: 0.0625}}
  merging_channels: 4
  fusion_blocks: 1
data: {train: [photos], validation: [photos], resolution: 32}
perceptual: {network: squeeze, weights: squeezenet.safetensors, resize: null}
restoration: {iterations: 2, batch_size: 2}
synthesis: {iterations: 2, batch_size: 2}
fusion: {iterations: 2, batch_size: 2}
"""
# What the README calls compare.yaml and ablate.yaml; the model is the one that my.yaml trains.
COMPARE = """
name: mine
output: runs/compare
data: {photographs: [photos], resolution: 32}
tasks: [denoise]
methods:
  - {name: NAFNet, model: runs/mine/mine.safetensors, part: regression}
  - {name: UGPNet, model: runs/mine/mine.safetensors}
cost: {repeats: 1}
"""
ABLATE = """
name: variants
output: runs/ablate
base: my.yaml
study: network-components
reuse: [runs/mine]
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.M | re.S)


def commands() -> list[list[str]]:
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, squeezenet: Path) -> Path:
    """A folder with what the README takes for granted: photos, configurations, weights."""
    folder = tmp_path_factory.mktemp("readme")
    torch.manual_seed(0)
    for name in ("anna", "ben", "carla"):
        smooth = torch.rand(1, 3, 5, 4)
        image = torch.nn.functional.interpolate(smooth, (50, 40), mode="bilinear")[0]
        write_image(folder / "photos" / f"{name}.png", image)
    for name, content in (("my", TINY), ("compare", COMPARE), ("ablate", ABLATE)):
        (folder / f"{name}.yaml").write_text(content)
    shutil.copy(squeezenet, folder / "squeezenet.safetensors")
    return folder


def test_there_are_commands_to_check() -> None:
    assert len(commands()) > 12
    assert len(blocks("python")) == 2


@pytest.mark.parametrize("words", [w for w in commands() if w[0] == "make"], ids=" ".join)
def test_make_targets_exist(words: list[str]) -> None:
    # CI runs them for real; here it is enough that make knows them.
    assert subprocess.run([*words, "-n"], cwd=ROOT, capture_output=True).returncode == 0


def test_commands_in_their_order(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("UGPNET_CACHE", str(place / "cache"))
    for words in commands():
        # The page stays until it is stopped; tests/ui is about it.
        if words[0] == "make" or words[1] == "ui":
            continue
        assert words[0] == "ugpnet", words
        assert main(words[1:]) == 0, f"{' '.join(words)} failed"
    for made in (
        "restored/anna.png",
        "anna.png",
        "all/anna_reg.png",
        "all/anna_syn.png",
        "safe/carla.png",
        "noisy/ben.png",
        "runs/mine/mine.safetensors",
        "runs/b/mine.safetensors",
        "report/index.html",
        "runs/compare/table.md",
        "runs/ablate/table.md",
        "my-net/my_net/network.py",
    ):
        assert Path(made).is_file(), f"{made} was not made"


def test_python_block_for_users(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    names: dict[str, object] = {}
    exec(blocks("python")[0], names)
    restored = names["restored"]
    assert isinstance(restored, ug.Restored)
    assert restored.image.shape == (3, 50, 40)


def test_python_block_for_plugin_authors() -> None:
    names: dict[str, object] = {}
    exec(blocks("python")[1], names)
    hook = names["ugpnet_backbones"]
    assert callable(hook)
    (entry,) = hook()
    assert isinstance(entry, BackboneEntry)
    assert entry.options().model_dump() == {"width": 16}


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize(
    "path", sorted((ROOT / "examples" / "configs").rglob("*.yaml")), ids=lambda path: path.stem
)
def test_example_configurations_are_valid(path: Path) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    kind = (
        CompareConfig
        if "methods" in content
        else AblationConfig
        if "base" in content
        else ug.TrainConfig
    )
    kind.model_validate(content)


def test_make_is_called_with_targets_and_variables_that_it_has() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    folders = (ROOT / "docs", ROOT / "examples", ROOT / "ugpnet_core")
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    found = 0
    for path in (ROOT / "README.md", *files):
        if path.suffix not in (".md", ".yaml", ".py"):
            continue
        text = path.read_text(encoding="utf-8")
        for call in re.finditer(r"\bmake ([a-z][\w-]*)((?: [A-Z]+=\S+)+)", text):
            found += 1
            assert re.search(rf"^{call[1]}:", makefile, re.MULTILINE), (path, call[0])
            for variable in re.findall(r"([A-Z]+)=", call[2]):
                assert f"$({variable})" in makefile, (path, call[0])
    assert found >= 3
