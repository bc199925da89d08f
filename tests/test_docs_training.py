"""docs/training.md: its commands work in the order in which they stand, and its errors exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from ugpnet_core import cli
from ugpnet_core.config import DataConfig
from ugpnet_core.image import write_image
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
    assert len(lines) == 11
    for line in lines:
        words = shlex.split(line)
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
    for name in ("shards", "pairs"):
        record = read_result(folder / "runs" / name / "restoration.safetensors")[2]
        assert record["iterations"] == 2


def test_the_data_section_is_valid() -> None:
    (text,) = (text for language, text in BLOCKS if language == "yaml")
    data = DataConfig.model_validate(yaml.safe_load(text)["data"])
    assert len(data.train) == 3


def test_the_errors_are_those_of_the_code() -> None:
    sources = [path.read_text(encoding="utf-8") for path in ROOT.glob("ugpnet_core/**/*.py")]
    # Literals that stand side by side are one.
    code = re.sub(r'"\s*\n\s*f?"', "", "\n".join(sources))
    table = TEXT[TEXT.index("## What errors mean") :]
    messages = re.findall(r"^\| `(.+?)` \|", table, flags=re.M)
    assert len(messages) == 12
    assert [message for message in messages if message not in code] == []
