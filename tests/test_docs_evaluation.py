"""docs/evaluation.md: its commands and its Python work in the order in which they stand."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from ugpnet_core.cli import main
from ugpnet_core.image import write_image
from ugpnet_core.metrics.metric import ALL_METRICS
from ugpnet_core.studies.settings import SOURCES, CompareConfig, MethodConfig

pytestmark = pytest.mark.usefixtures("no_other_process")

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, flags=re.M | re.S)


def test_everything_works_as_it_stands(
    tmp_path: Path,
    squeezenet: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("UGPNET_PERCEPTUAL", raising=False)
    monkeypatch.delenv("UGPNET_INCEPTION", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    torch.manual_seed(0)
    for name in ("anna", "ben"):
        smooth = nn.functional.interpolate(torch.rand(1, 3, 5, 4), (72, 64), mode="bilinear")
        write_image(tmp_path / "photos" / f"{name}.png", smooth[0])
    shutil.copytree(tmp_path / "photos", tmp_path / "animals")
    shutil.copytree(ROOT / "examples" / "configs", tmp_path / "examples" / "configs")
    shutil.copy(squeezenet, "squeezenet.safetensors")
    # The settings stand below the command that reads them.
    (settings,) = [text for language, text in BLOCKS if language == "yaml"]
    Path("compare.yaml").write_text(settings)
    commands = 0
    for language, text in BLOCKS:
        if language == "bash":
            words = shlex.split(text)
            assert words[0] == "ugpnet"
            assert main(words[1:]) == 0, capsys.readouterr().err
            commands += 1
        elif language == "python":
            capsys.readouterr()
            exec(text, {"__name__": "block"})
    assert commands == 6
    assert re.search(r"halfway to grey: \d+\.\d\d dB", capsys.readouterr().out)
    assert json.loads(Path("figures", "summary.json").read_text())["count"] == 2
    for page in ("report", "comparison"):
        assert (tmp_path / page / "index.html").is_file()
    tables = {"table.md", "table.tex", "table.csv", "per-image.csv", "results.json", "figures"}
    assert {path.name for path in Path("runs/denoising").iterdir()} == tables
    assert len(list(Path("runs/denoising/figures").rglob("*.png"))) == 2
    for kind in ("png", "svg"):
        assert Path(f"runs/fidelity/figures/denoise/curve.{kind}").is_file()
    (study,) = json.loads(Path("runs/out-of-domain/results.json").read_text())["domains"]
    assert study["more_gain"]["value"] == 0  # the same photographs
    assert Path("runs/out-of-domain/figures/denoise.png").is_file()
    quick = json.loads(Path("runs/quick/results.json").read_text())["tasks"]
    assert [(task["task"], task["count"]) for task in quick] == [("denoise", 1), ("deblur", 1)]


def test_all_that_a_method_can_be_is_described() -> None:
    for word in (*SOURCES, "weights", "key", "part", "fidelity", "tasks", "class", "pattern"):
        assert f"`{word}:`" in TEXT, word
    described = {*SOURCES, "weights", "key", "part", "fidelity", "tasks", "pattern"}
    assert {*described, "group", "name"} == set(MethodConfig.model_fields)
    assert CompareConfig.model_fields["cost"].default is not None


def test_every_figure_is_described() -> None:
    for key in ALL_METRICS:
        assert f"| `{key}` |" in TEXT, key
