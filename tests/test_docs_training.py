"""docs/training.md: its commands work in the order in which they stand, and its errors exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import yaml

from ugpnet_core import cli
from ugpnet_core.config import CropSource, DataConfig, ModelConfig, RestorationStageConfig
from ugpnet_core.image import write_image
from ugpnet_core.model_files.model import load_model
from ugpnet_core.training.checkpoint import read_result

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, flags=re.M | re.S)


@pytest.fixture
def folder(
    training_settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Photographs, and in the place of the example the smallest training of its sections."""
    rng = torch.Generator().manual_seed(0)
    for index in range(3):
        write_image(tmp_path / "photos" / f"{index}.png", torch.rand(3, 40, 44, generator=rng))
    example = yaml.safe_load((ROOT / "examples" / "configs" / "small.yaml").read_text())
    tiny = {key: value for key, value in training_settings.items() if key != "prior"}
    assert example.keys() - tiny.keys() <= {
        "seed",
        "log_every",
        "validate_every",
        "model_dtype",
    } | {
        "checkpoint_every",
        "sample_every",
        "licence",
        "prior",
    }
    path = tmp_path / "examples" / "configs" / "small.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(yaml.safe_dump(tiny))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_following_the_document(folder: Path) -> None:
    lines = [line for language, text in BLOCKS if language == "bash" for line in text.splitlines()]
    assert len(lines) == 14
    for line in lines:
        words = shlex.split(line.replace("iterations=900", "iterations=3"))  # the example's are 700
        assert words[0] == "ugpnet"
        assert cli.main(words[1:]) == 0, line
    assert (folder / "runs" / "first" / "tiny.safetensors").exists()
    first, second = (
        read_result(folder / "runs" / name / "synthesis.safetensors")
        for name in ("first", "second")
    )
    assert second[2]["iterations"] == 0
    for key, value in first[0]["network"].items():
        assert torch.equal(second[0]["network"][key], value), key
    shared, sr8 = (
        read_result(folder / "runs" / run / "synthesis.safetensors") for run in ("shared", "sr8")
    )
    assert shared[2]["tasks"] == "denoise, sr8"
    for key, value in shared[0]["network"].items():
        assert torch.equal(sr8[0]["network"][key], value), key
    for name in ("shards", "pairs", "crops", "forms"):
        record = read_result(folder / "runs" / name / "restoration.safetensors")[2]
        assert record["iterations"] == 2
    config = load_model(folder / "runs" / "forms" / "tiny.safetensors").config
    assert (config.adapter, config.fusion_output, config.encoder_norm) == (
        "skip",
        "correction",
        "group",
    )


def test_the_data_sections_are_valid() -> None:
    sources, patterns, crops = (
        DataConfig.model_validate(yaml.safe_load(text)["data"])
        for language, text in BLOCKS
        if language == "yaml"
    )
    assert len(sources.train) == 3
    assert [getattr(one, "pattern", "") for one in patterns.train] == ["{stem}x4", "{stem}_*"]
    assert [source.share for source in crops.crops] == [0.55, 0.45]
    for setting in CropSource.model_fields:
        assert f"`{setting}`" in TEXT or f"{setting}: " in TEXT, setting


def test_every_form_of_the_networks_is_named_with_the_default_first() -> None:
    (rows,) = re.findall(
        r"^\| setting \| default \| others \|\n\|-.*\n((?:\|.*\n)+)", TEXT, flags=re.M
    )
    named = {}
    for row in rows.splitlines():
        setting, default, others = row.strip("|").split(" | ", 2)
        named[setting.strip(" `")] = re.findall(r"`(\w+)`(?=[:.])", f"{default} {others}")
    for setting in ("adapter", "fusion_output", "encoder_norm"):
        field = ModelConfig.model_fields[setting]
        forms = named[f"model.{setting}"]
        assert set(forms) == set(get_args(field.annotation)), setting
        assert forms[0] == field.default
    floor = RestorationStageConfig.model_fields["psnr_floor"].default
    assert f"| `restoration.psnr_floor` | {floor:g} |" in rows


def test_the_errors_are_those_of_the_code() -> None:
    sources = [path.read_text(encoding="utf-8") for path in ROOT.glob("ugpnet_core/**/*.py")]
    # Literals that stand side by side are one.
    code = re.sub(r'"\s*\n\s*f?"', "", "\n".join(sources))
    table = TEXT[TEXT.index("## What errors mean") :]
    messages = re.findall(r"^\| `(.+?)` \|", table, flags=re.M)
    assert len(messages) == 18
    assert [message for message in messages if message not in code] == []
