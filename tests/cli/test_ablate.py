"""``ugpnet ablate``: from a YAML file of a few lines to tables."""

from __future__ import annotations

import csv
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from ugpnet_core import cli
from ugpnet_core.config_files import read_config
from ugpnet_core.studies.ablation import train as ablation_train
from ugpnet_core.studies.ablation.settings import read_ablation
from ugpnet_core.studies.ablation.variants import make_variants

EXAMPLES = Path(__file__).parents[2] / "examples" / "configs"


@pytest.fixture
def config_file(training_settings: dict[str, Any], tmp_path: Path) -> Path:
    """An ablation with two variants, as a file."""
    base = tmp_path / "base.yaml"
    base.write_text(yaml.safe_dump({**training_settings, "prior": None}))
    path = tmp_path / "ablation.yaml"
    settings = {
        "name": "mine",
        "output": str(tmp_path / "out"),
        "base": str(base),
        "variants": [
            {"name": "images", "title": "of images", "changes": {"model.fusion_inputs": "images"}},
            {"name": "full", "title": "of features"},
        ],
    }
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
    return path


def test_ablate_trains_measures_and_writes(
    config_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["ablate", str(config_file), "measuring.count=3", "fusion.learning_rate=0.002"]
    assert cli.main([*words, "--variant", "images"]) == 0
    shown = capsys.readouterr()
    assert f"Still to train: full; then measure them with: ugpnet {shlex.join(words)}" in shown.out
    assert not (tmp_path / "out" / "results.json").exists()

    assert cli.main(words) == 0
    shown = capsys.readouterr()
    assert "Variant 2 of 2: full, of features" in shown.err
    out = tmp_path / "out"
    results = json.loads((out / "results.json").read_text())
    (table,) = results["tasks"]
    assert table["count"] == 3
    assert list(table["figures"]) == ["of_images", "of_features"]
    (evaluation,) = json.loads((out / "details" / "results.json").read_text())["tasks"]
    names = [method["name"] for method in evaluation["methods"]]
    assert names == [
        "degraded",
        "of images: x_reg",
        "of images: x_syn",
        "of images",
        "of features: x_reg",
        "of features: x_syn",
        "of features",
    ]
    figures = evaluation["figures"]
    assert table["figures"].items() <= figures.items()
    # The two share restoration and synthesis, and differ in their fusion.
    assert figures["of_images:_x_reg"] == figures["of_features:_x_reg"]
    assert figures["of_images:_x_syn"] == figures["of_features:_x_syn"]
    assert figures["of_images"]["psnr"] != figures["of_features"]["psnr"]
    (difference,) = [
        each
        for each in evaluation["differences"]
        if each["method"] == "of images" and each["metric"] == "psnr"
    ]
    assert difference["reference"] == "of features"
    expected = figures["of_images"]["psnr"] - figures["of_features"]["psnr"]
    assert difference["value"] == pytest.approx(expected)
    assert results["settings"]["of images"] == "model.fusion_inputs: images"
    assert "fusion.learning_rate: 0.002" in results["settings"]["base"]
    assert ": x_reg" not in shown.out
    with (out / "table.csv").open() as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    for name, key in (("of images", "of_images"), ("of features", "of_features")):
        psnr = figures[key]["psnr"]
        assert float(rows[name]["psnr"]) == pytest.approx(psnr, rel=1e-6)
        for text in (shown.out, (out / "table.md").read_text(), (out / "table.tex").read_text()):
            assert f"{psnr:.2f}" in text


def test_errors_are_one_line_and_come_before_any_training(
    config_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, status, message in (
        (["gone.yaml"], 2, "gone.yaml cannot be read"),
        ([str(config_file), "base=gone.yaml"], 2, "gone.yaml cannot be read"),
        ([str(config_file), "outptu=x"], 2, "outptu: "),
        ([str(config_file), "measuring.cuont=1"], 2, "measuring.cuont: "),
        (
            [str(config_file), "--variant", "fall"],
            2,
            "There is no variant 'fall'; there are: images, full",
        ),
        ([str(config_file), "measuring.data=[nowhere]"], 1, "nowhere"),
        ([str(config_file), "perceptual.weights=gone"], 1, "Variant images: "),
    ):
        assert cli.main(["ablate", *words]) == status, words
        shown = capsys.readouterr().err
        assert message in shown
        assert len(shown.splitlines()) == 1, shown
    assert not (tmp_path / "out").exists()


def test_ctrl_c_says_how_to_go_on(
    config_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ablation_train, "train", interrupted)
    assert cli.main(["ablate", str(config_file), "name=two words", "--variant", "full"]) == 130
    last = capsys.readouterr().err.splitlines()[-1]
    assert (
        last == f"Stopped. Go on with: ugpnet ablate {config_file} 'name=two words' --variant=full"
    )


@pytest.mark.parametrize(("name", "count"), [("components", 6), ("initialisation", 4)])
def test_examples_are_right(name: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLES.parents[1])
    ablation = read_ablation(EXAMPLES / f"ablate-{name}.yaml", ["synthesis.weights=prior"])
    variants = make_variants(ablation)
    assert len(variants) == count
    small = read_config(EXAMPLES / "small.yaml")
    for variant in variants:
        assert variant.config.fusion == small.fusion
        assert variant.config.data == small.data
        assert variant.config.model.task.name == "deblur"
