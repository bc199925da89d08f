"""``ugpnet inspect``: it says what any weights file is, and names damaged ones in one line."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import ugpnet_core as ug
from ugpnet_core import cli
from ugpnet_core.model_files.finding import find_model_file
from ugpnet_core.model_files.prior import create_discriminator

State = dict[str, Tensor]
Golden = Callable[[str], tuple[State, State]]
Capture = pytest.CaptureFixture[str]
OPTIONS: dict[str, Any] = {"resolution": 16, "style_dim": 4, "num_mlp": 1, "narrow": 1 / 64}


def facts_of(path: Path, capsys: Capture, status: int = 0) -> dict[str, Any]:
    assert cli.main(["inspect", str(path), "--json"]) == status
    facts: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert facts["file"] == str(path)
    assert facts["bytes"] == path.stat().st_size
    return facts


def saved(content: object, path: Path) -> Path:
    torch.save(content, path)
    return path


def test_a_prior_checkpoint_is_described(golden: Golden, tmp_path: Path, capsys: Capture) -> None:
    weights, _ = golden("stylegan2_basicsr_64")
    path = saved({"params_ema": weights}, tmp_path / "g.pkl")
    facts = facts_of(path, capsys)
    assert (facts["kind"], facts["layout"], facts["prior"]) == ("prior", "BasicSR's", "stylegan2")
    assert facts["container"] == "PyTorch archive"
    assert facts["resolution"] == 64
    assert facts["widths"] == {"4": 64, "8": 64, "16": 64, "32": 64, "64": 64}
    assert facts["options"]["narrow"] == 0.125
    noises = sum(value.numel() for key, value in weights.items() if key.startswith("noises."))
    assert facts["parameters"] == sum(v.numel() for v in weights.values()) - noises
    assert any(f"ugpnet convert {path}" in use for use in facts["use"])
    assert cli.main(["inspect", str(path)]) == 0
    shown = capsys.readouterr().out
    for words in ("kind: prior", "layout: BasicSR's", "resolution: 64", "64: 64", "use: train"):
        assert words in shown


def test_a_prior_file_and_a_discriminator_are_described(tmp_path: Path, capsys: Capture) -> None:
    options = OPTIONS | {"resolution": 32}  # of fewer pixels there is no training
    generator: Any = ug.create_prior("stylegan2", **options)
    discriminator = create_discriminator("stylegan2", **options)
    g = saved(generator.state_dict(), tmp_path / "g.pth")
    d = saved(discriminator.state_dict(), tmp_path / "d.pth")
    facts = facts_of(d, capsys)
    assert facts["holds"] == ["discriminator"]
    assert facts["use"] == [
        f"with its generator, as a prior: ugpnet convert GENERATOR {d} prior.safetensors"
    ]
    out = tmp_path / "prior.safetensors"
    assert cli.main(["convert", str(g), str(d), str(out), "--licence", "CC0-1.0"]) == 0
    capsys.readouterr()
    facts = facts_of(out, capsys)
    assert (facts["kind"], facts["licence"]) == ("prior file", "CC0-1.0")
    assert facts["holds"] == ["generator", "discriminator"]
    for key, network in (("parameters", generator), ("discriminator_parameters", discriminator)):
        assert facts[key] == sum(parameter.numel() for parameter in network.parameters())
    assert any(f"synthesis.weights={out}" in use for use in facts["use"])


def test_a_model_file_is_described(capsys: Capture) -> None:
    path = find_model_file("portraits-denoise")
    (entry,) = (entry for entry in ug.list_models() if entry.name == "portraits-denoise")
    facts = facts_of(path, capsys)
    assert (facts["kind"], facts["task"]) == ("model file", entry.task)
    assert (facts["resolution"], facts["parameters"]) == (entry.resolution, entry.parameters)
    assert facts["backbone"]["name"] == "nafnet"
    assert facts["licence"] == entry.licence
    assert any(f"ugpnet restore photos/ -o restored/ -m {path}" in use for use in facts["use"])


def test_backbones_are_recognised(golden: Golden, tmp_path: Path, capsys: Capture) -> None:
    weights, _ = golden("nafnet_sidd_width32")
    facts = facts_of(saved({"params": weights}, tmp_path / "n.pth"), capsys)
    assert (facts["kind"], facts["layout"]) == ("backbone", "NAFNet")
    assert facts["backbone"]["options"]["enc_blk_nums"] == [2, 2, 4, 8]
    assert facts["parameters"] == 29_159_715
    assert "restoration.weights=" in facts["use"][0]
    other = saved({"sam12.conv1.weight": torch.ones(2, 3)}, tmp_path / "h.pth")
    facts = facts_of(other, capsys, 1)
    assert (facts["backbone"], facts["numbers"]) == ({"name": "hinet"}, 6)
    assert "197 keys are missing" in facts["problem"]
    unknown = saved({"some.weight": torch.ones(5).half()}, tmp_path / "u.pth")
    facts = facts_of(unknown, capsys)
    assert (facts["kind"], facts["types"], facts["use"]) == ("weights", ["float16"], [])


def test_a_part_of_the_published_model_says_what_else_it_needs(
    tmp_path: Path, capsys: Capture
) -> None:
    part = saved({"fencoder.conv1x1.weight": torch.ones(2, 2, 1, 1)}, tmp_path / "syn.pth")
    facts = facts_of(part, capsys)
    assert facts["kind"] == "part of a published UGPNet"
    assert facts["parts"] == ["the synthesis module"]
    assert "ugpnet convert" in facts["use"][0]
    whole = {
        **{"resmodule.regression.intro.weight": torch.ones(1), "fusmodule.x": torch.ones(1)},
        "synmodule.x": torch.ones(1),
    }
    facts = facts_of(saved(whole, tmp_path / "whole.pth"), capsys, status=1)
    assert "Key 'fusmodule.x'" in facts["problem"] or "not one of" in facts["problem"]


def test_damaged_and_wrong_files_are_one_line(tmp_path: Path, capsys: Capture) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {tmp_path / 'executed'}",)

    generator: Any = ug.create_prior("stylegan2", **OPTIONS)
    whole = saved(generator.state_dict(), tmp_path / "g.pth").read_bytes()
    for content, said in (
        (b"", "it is empty"),
        (b"\xff\xd8\xff" + b"\0" * 90, "a JPEG image"),
        (b"# A text\n", "of an unknown kind"),
        (whole[: len(whole) // 2], "is damaged"),
        (b"\x08\0\0\0\0\0\0\0{}", "is damaged"),
        (pickle.dumps({"G_ema": Payload()}), "Python objects, which are never loaded"),
    ):
        path = tmp_path / "file"
        path.write_bytes(content)
        for more in ([], ["--json"]):
            assert cli.main(["inspect", str(path), *more]) == 1
            shown = capsys.readouterr()
            assert shown.out == ""
            assert shown.err.count("\n") == 1
            assert said in shown.err
    assert not (tmp_path / "executed").exists()
    assert cli.main(["inspect", str(tmp_path / "gone")]) == 1
    assert "no weights file" in capsys.readouterr().err
