"""docs/restoring.md: everything on it works in the order in which it stands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch

import ugpnet_core as ug
from ugpnet_core import cli
from ugpnet_core.image import write_image

TEXT = (Path(__file__).parents[1] / "docs" / "restoring.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, flags=re.M | re.S)


def test_following_the_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    smooth = torch.nn.functional.interpolate(torch.rand(1, 3, 4, 5), (60, 75), mode="bilinear")[0]
    write_image("photos/anna.png", smooth)
    names: dict[str, object] = {}
    for language, text in BLOCKS:
        if language == "python":
            exec(text, names)
            continue
        assert language == "bash", language
        for line in text.splitlines():
            words = shlex.split(line, comments=True)
            assert words[0] == "ugpnet"
            assert cli.main(words[1:]) == 0, line
    made = (
        "restored/anna.png",
        "natural/anna.png",
        "faces/anna.png",
        "safe/anna.png",
        "all/anna_reg.png",
        "all/anna_syn.png",
        "checked/anna_check.png",
        "lean/anna.png",
        "anna-pil.png",
        "anna-saved.png",
        "anna-saved_reg.png",
        "tree/anna.png",
        "photos/anna_restored.png",
        "small.jpg",
        "lines/anna.png",
    )
    assert [path for path in made if not Path(path).is_file()] == []
    assert isinstance(names["restored"], ug.Restored)


def test_every_option_of_restore_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["restore", "--help"]) == 0
    shown = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    assert {"--watch", "--json", "--overwrite", "--strip-metadata"} <= shown
    elsewhere = {"--help", "--debug", "--model", "--device", "--input", "--out"}
    assert sorted(option for option in shown - elsewhere if option not in TEXT) == []
