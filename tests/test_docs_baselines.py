"""docs/baselines.md and its configuration work with folders of results that a test makes up."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import yaml
from torch import nn

from ugpnet_core.cli import main
from ugpnet_core.config_files import validated
from ugpnet_core.image import read_image, write_image
from ugpnet_core.studies.settings import Classical, CompareConfig

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "baselines.md").read_text(encoding="utf-8")
EXAMPLES = [
    yaml.safe_load((ROOT / "examples" / "configs" / f"{name}.yaml").read_text())
    for name in ("baselines", "baselines-sr8")
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("UGPNET_PERCEPTUAL", raising=False)
    monkeypatch.delenv("UGPNET_INCEPTION", raising=False)
    torch.manual_seed(0)
    for name in ("anna", "ben"):
        smooth = nn.functional.interpolate(torch.rand(1, 3, 5, 4), (72, 64), mode="bilinear")
        write_image(tmp_path / "photos" / f"{name}.png", smooth[0])
    return tmp_path


def make_up(config: CompareConfig, clean: Path) -> list[str]:
    """Write what other programs would: the photographs, a little darker."""
    made = []
    for index, method in enumerate(each for each in config.methods if each.results):
        assert method.results is not None
        for file in clean.iterdir():
            name = method.pattern.replace("{stem}", file.stem).replace("*", "_v1")
            path = method.results / (name if "." in name else f"{name}.png")
            write_image(path, read_image(file).pixels * (0.99 - 0.01 * index))
        made.append(method.name)
    return made


def test_everything_works_as_it_stands(place: Path) -> None:
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", TEXT, flags=re.M | re.S)
    (commands,) = re.findall(r"^```bash\n(.*?)^```$", TEXT, flags=re.M | re.S)
    Path("baselines.yaml").write_text(text)
    config = validated(CompareConfig, yaml.safe_load(text), "baselines.yaml")
    write, compare = (shlex.split(line)[1:] for line in commands.splitlines())
    assert main(write) == 0
    made = make_up(config, Path("inputs/denoise/clean"))
    assert main(compare) == 0
    (task,) = json.loads(Path("runs/baselines/results.json").read_text())["tasks"]
    for name in (*made, "x_reg"):
        assert set(task["figures"][name]) >= {"psnr", "ssim", "brisque", "indrmse", "consistency"}
        assert all(value is not None for value in task["figures"][name].values())
    assert "indrmse" in task["intervals"]["GPEN"]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: str(example["name"]))
def test_the_examples_take_the_results_of_all(place: Path, example: dict[str, Any]) -> None:
    small = example["data"] | {"photographs": ["photos"], "resolution": 32}
    rows = [row for row in example["methods"] if "results" in row]
    settings = {**example, "data": small, "methods": rows, "metrics": ["psnr"], "figures": None}
    Path("all.yaml").write_text(yaml.safe_dump(settings))
    assert main(["compare", "all.yaml", "--inputs", "inputs"]) == 0
    config = validated(CompareConfig, settings, "all.yaml")
    made = make_up(config, Path("inputs", *example["tasks"], "clean"))
    assert main(["compare", "all.yaml"]) == 0
    record = json.loads((Path(example["output"]) / "results.json").read_text())
    (task,) = record["tasks"]
    assert [each["name"] for each in task["methods"]] == ["degraded", *made]
    assert not any(each["failed"] for each in task["methods"])
    assert {each["group"] for each in task["methods"]} == {
        "input",
        *(row["class"] for row in rows),
    }


def test_every_row_of_the_examples_is_described() -> None:
    rows = [row for example in EXAMPLES for row in example["methods"]]
    for example in EXAMPLES:
        validated(CompareConfig, example, example["name"])
    named = {row["name"] for row in rows if "results" in row}
    assert len(named) == 18
    for row in rows:
        if "results" in row:
            assert f"| {row['name']} | {row['class']} |" in TEXT, row["name"]
    for name in get_args(Classical):
        assert name == "degraded" or f"`classical: {name}`" in TEXT, name
