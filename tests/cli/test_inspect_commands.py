"""The commands that ``ugpnet inspect`` ends with are typed, and work."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import yaml
from torch import nn

import ugpnet_core as ug
from ugpnet_backbones.spandrel.architectures import build
from ugpnet_core import cli
from ugpnet_core.model_files.prior import create_discriminator

Capture = pytest.CaptureFixture[str]
PRIOR: dict[str, Any] = {
    "resolution": 32,
    "style_dim": 8,
    "num_mlp": 1,
    "narrow": 1 / 64,
    "base_size": 8,
}
WINDOWS: dict[str, Any] = {"depths": [1] * 9, "num_heads": [1] * 9}


@pytest.fixture
def folder(
    training_settings: dict[str, Any],
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """What the commands take for granted: a configuration of the user's, photographs."""
    content = {**training_settings, "output": "run"}
    del content["prior"]
    for stage in ("restoration", "synthesis", "fusion"):
        content[stage] = {"iterations": 1, "batch_size": 1}
    (tmp_path / "CONFIG.yaml").write_text(yaml.safe_dump(content))
    (tmp_path / "photos").symlink_to(photographs / "inner")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command_at_the_end(path: str, capsys: Capture) -> list[str]:
    capsys.readouterr()
    assert cli.main(["inspect", path]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("use: ")
    words = shlex.split(last[last.index("ugpnet ") :])
    assert words[0] == "ugpnet"
    return words[1:]


def backbone(name: str, **options: Any) -> Callable[[], dict[str, Any]]:
    return lambda: cast(nn.Module, ug.create_backbone(name, **options)).state_dict()


FILES: dict[str, Callable[[], Any]] = {
    "nafnet.ckpt": lambda: {
        "state_dict": {
            f"model.{key}": value for key, value in backbone("nafnet", width=2)().items()
        }
    },
    "hinet.pth": backbone("hinet", wf=4, depth=3, hin_position_left=1, hin_position_right=2),
    "uformer.pth": backbone("uformer", embed_dim=4, img_size=64, modulator=False, **WINDOWS),
    "unet.pth": backbone("unet", width=4, depth=2),
    "an rrdbnet.pth": backbone("rrdbnet", scale=8, num_feat=4, num_block=1, num_grow_ch=2),
    "plksr.pth": lambda: build(
        "PLKSR:RealPLKSR", {"dim": 8, "n_blocks": 1, "upscaling_factor": 2}
    ).state_dict(),
    # Beside the discriminator that it was trained with.
    "gan.ckpt": lambda: {
        "state_dict": {
            **{f"net_g.{key}": value for key, value in backbone("nafnet", width=2)().items()},
            **{
                f"net_d.{key}": value
                for key, value in create_discriminator("stylegan2", **PRIOR).state_dict().items()
            },
        }
    },
    # Not of a UGPNet.
    "regression.ckpt": lambda: {
        f"regression.{key}": value for key, value in backbone("unet", width=4, depth=2)().items()
    },
}


@pytest.mark.parametrize("name", FILES)
def test_a_training_starts_from_any_backbone(name: str, folder: Path, capsys: Capture) -> None:
    torch.save(FILES[name](), name)
    command = command_at_the_end(name, capsys)
    assert command[:2] == ["train", "CONFIG.yaml"]
    assert cli.main([*command, "--stage", "restoration"]) == 0
    # A direct backbone is the whole module.
    residual = ("nafnet.ckpt", "gan.ckpt", "hinet.pth", "uformer.pth")
    part = "backbone" if name in residual else "whole module"
    assert f"from the {part} in {name}" in capsys.readouterr().err
    assert (folder / "run" / "restoration.safetensors").is_file()


def test_a_prior_makes_pictures(folder: Path, capsys: Capture) -> None:
    prior = cast(nn.Module, ug.create_prior("stylegan2", **PRIOR))
    torch.save({"netG": prior.state_dict()}, "g.pth")
    assert cli.main(["inspect", "g.pth"]) == 0
    for line in capsys.readouterr().out.splitlines():
        if "ugpnet convert" in line or "ugpnet sample" in line:
            assert cli.main(shlex.split(line[line.index("ugpnet ") :])[1:]) == 0, line
    assert (folder / "grid.png").is_file()
    assert command_at_the_end("prior.safetensors", capsys)[0] == "sample"


def test_what_a_training_leaves_starts_another(folder: Path, capsys: Capture) -> None:
    assert cli.main(["train", "CONFIG.yaml"]) == 0
    for stage in ("restoration", "synthesis", "fusion"):
        command = command_at_the_end(f"run/{stage}.safetensors", capsys)
        assert f"{stage}.weights=run/{stage}.safetensors" in command
        assert cli.main([*command, f"output=from-{stage}", f"{stage}.iterations=0"]) == 0
    assert cli.main(["inspect", "run/tiny.safetensors"]) == 0
    uses = [line for line in capsys.readouterr().out.splitlines() if line.startswith("use: ")]
    restore = next(shlex.split(line[line.index("ugpnet ") :]) for line in uses if "restore" in line)
    assert cli.main(restore[1:]) == 0
    assert list((folder / "restored").rglob("*.png"))
