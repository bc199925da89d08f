"""docs/studies.md: everything on it works in the order in which it stands."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from ugpnet_core import cli
from ugpnet_core.studies.ablation.settings import AblationConfig
from ugpnet_core.studies.ablation.studies import STUDIES

TEXT = (Path(__file__).parents[1] / "docs" / "studies.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, flags=re.M | re.S)


def test_following_the_document(
    training_settings: dict[str, Any],
    squeezenet: Path,
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = {**training_settings, "validate_every": 2}
    settings["data"] = {**settings["data"], "train": ["photos"], "validation": ["photos"]}
    Path("training.yaml").write_text(yaml.safe_dump(settings))
    shutil.copy(squeezenet, "squeezenet.safetensors")
    shutil.copytree(photographs, "photos")
    for language, text in BLOCKS:
        if language == "yaml":
            (name,) = re.findall(r"\A# (\w+\.yaml)\n", text)
            Path(name).write_text(text, encoding="utf-8")
            continue
        assert language == "bash", language
        for line in text.splitlines():
            words = shlex.split(line)
            assert words[0] == "ugpnet"
            assert cli.main(words[1:]) == 0, line
    tables = [
        f"runs/{name}/table.{kind}"
        for name in ("components", "initialisation", "own")
        for kind in ("md", "tex", "csv")
    ]
    assert [path for path in tables if not Path(path).is_file()] == []
    assert "half the contextual loss" in Path("runs/own/table.md").read_text()


def test_it_names_every_study_variant_and_setting() -> None:
    for study, variants in STUDIES.items():
        (row,) = re.findall(rf"^\| `{study}` \|.*$", TEXT, flags=re.M)
        assert [variant.name for variant in variants] == re.findall(r"`([\w-]+)`", row)[1:]
    for name in AblationConfig.model_fields:
        assert re.search(rf"\b{name}\b", TEXT), name
