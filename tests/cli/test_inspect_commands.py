"""The commands that ``ugpnet inspect`` ends with are typed, and work."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import yaml
from torch import Tensor, nn

import ugpnet_core as ug
from tests.core.test_published import published
from ugpnet_backbones.spandrel.architectures import build
from ugpnet_core import cli
from ugpnet_core.config import ComponentConfig, ModelConfig, TaskConfig
from ugpnet_core.model_files.inspection import inspect
from ugpnet_core.model_files.model import load_model
from ugpnet_core.model_files.prior import create_discriminator, read_prior
from ugpnet_core.training.own_modules import read_own_module

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
    assert cli.main(["inspect", f"./{path}"]) == 0
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
    "it's #2 [of] {esrgan}: old.pth": lambda: build(
        "ESRGAN:RRDBNet", {"num_filters": 8, "num_blocks": 1, "scale": 4}
    ).state_dict(),
    "null": lambda: build(
        "ESRGAN:RRDBNet", {"num_filters": 8, "num_blocks": 1, "scale": 2}
    ).state_dict(),
    "-x.pth": backbone("unet", width=4, depth=1),
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


def test_what_no_prior_fits_is_checked_as_a_backbone(folder: Path, capsys: Capture) -> None:
    options = {"dim": 8, "n_blocks": 1, "upscaling_factor": 3}
    torch.save(build("PLKSR:RealPLKSR", options).state_dict(), "three times.pth")
    command = command_at_the_end("three times.pth", capsys)
    assert cli.main([*command, "--only", "shapes"]) == 0


def test_a_key_that_looks_like_a_number_is_a_name(folder: Path, capsys: Capture) -> None:
    torch.save({key: backbone("unet", width=4, depth=1)() for key in ("1", "null")}, "two.pth")
    assert cli.main(["inspect", "two.pth", "--key", "1"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    command = shlex.split(last[last.index("ugpnet ") :])[1:]
    assert cli.main([*command, "--stage", "restoration"]) == 0
    assert (folder / "run" / "restoration.safetensors").is_file()


def test_what_fits_nothing_gets_no_command(folder: Path, capsys: Capture) -> None:
    torch.manual_seed(0)
    unet = backbone("unet", width=4, depth=1)()
    broken = {key: value * float("nan") for key, value in unet.items()}
    larger = {**backbone("nafnet", width=2)(), "another.weight": torch.ones(3)}
    for content in (broken, larger, {"sam12.conv1.weight": torch.ones(1)}):
        torch.save(content, "f.pth")
        assert cli.main(["inspect", "f.pth"]) == 1
        said = capsys.readouterr()
        assert "error: " in said.err
        assert "ugpnet train" not in said.out


def test_a_prior_makes_pictures(folder: Path, capsys: Capture) -> None:
    prior = cast(nn.Module, ug.create_prior("stylegan2", **PRIOR))
    torch.save({"netG": prior.state_dict()}, "g.pth")
    assert cli.main(["inspect", "g.pth"]) == 0
    for line in capsys.readouterr().out.splitlines():
        if "ugpnet convert" in line or "ugpnet sample" in line:
            assert cli.main(shlex.split(line[line.index("ugpnet ") :])[1:]) == 0, line
    assert (folder / "grid.png").is_file()
    assert command_at_the_end("prior.safetensors", capsys)[0] == "sample"


@pytest.mark.parametrize("resolution", [8, 16])
def test_a_prior_without_anything_to_halve_is_not_trained_with(
    resolution: int, folder: Path, capsys: Capture
) -> None:
    prior = cast(nn.Module, ug.create_prior("stylegan2", **PRIOR | {"resolution": resolution}))
    torch.save({"g_ema": prior.state_dict()}, "g.pth")
    assert command_at_the_end("g.pth", capsys)[0] == "sample"
    assert cli.main(["inspect", "g.pth"]) == 0
    assert "ugpnet train" not in capsys.readouterr().out


def commands(path: str, key: str, capsys: Capture) -> list[list[str]]:
    """All commands that inspecting a network by its key ends with."""
    capsys.readouterr()
    assert cli.main(["inspect", path, "--key", key]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("use: ")]
    return [shlex.split(line[line.index("ugpnet ") :])[1:] for line in lines]


def test_one_generator_of_several_makes_pictures(folder: Path, capsys: Capture) -> None:
    state = cast(nn.Module, ug.create_prior("stylegan2", **PRIOR)).state_dict()
    other = {key: value + 1 for key, value in state.items()}
    discriminator = create_discriminator("stylegan2", **PRIOR).state_dict()
    torch.save({"G_a": state, "G_b": other, "D": discriminator}, "gs.pth")
    assert cli.main(["sample", "gs.pth", "-o", "grid.png"]) == 1
    assert "under 'G_a', 'G_b'; name one with key= (--key)" in capsys.readouterr().err
    convert, train, sample = commands("gs.pth", "G_b", capsys)
    assert "synthesis.key=G_b" in train
    for command in (convert, sample):
        assert cli.main(command) == 0, command
    stored = read_prior("prior.safetensors")
    assert stored is not None
    assert stored.discriminator is not None
    assert torch.equal(stored.generator["style_conv1.weight"], other["style_conv1.weight"])
    assert (folder / "grid.png").is_file()
    assert (
        cli.main(["sample", "stylegan2", "--weights", "gs.pth", "--key", "G_a", "-o", "a.png"]) == 0
    )


def tiny_published() -> dict[str, Tensor]:
    """The weights of a tiny UGPNet under the names of the published ones."""
    options = {"width": 2, "enc_blk_nums": [1], "dec_blk_nums": [1], "local_pooling": False}
    config = ModelConfig(
        backbone=ComponentConfig(name="nafnet", options=options),
        prior=ComponentConfig(name="stylegan2", options={**PRIOR, "channel_multiplier": 1}),
        task=TaskConfig(name="denoise"),
        encoder_channels=[2, 3, 4],
        merging_channels=4,
        map2style_channels=3,
        fusion_blocks=1,
    )
    return published(config)


def test_one_whole_model_of_several_restores(folder: Path, capsys: Capture) -> None:
    state = tiny_published()
    other = {key: value + 0.01 for key, value in state.items()}
    torch.save({"teacher": state, "student": other}, "two.pth")
    assert cli.main(["restore", "photos/", "-o", "out", "-m", "two.pth"]) == 1
    said = capsys.readouterr().err
    assert "under 'student', 'teacher'" in said
    assert "ugpnet convert two.pth model.safetensors --key NAME" in said
    for command in commands("two.pth", "student", capsys)[:2]:
        assert cli.main(command) == 0, command
    assert list((folder / "restored").rglob("*.png"))
    loaded: Any
    for loaded in (load_model("model.safetensors"), load_model("two.pth", key="student")):
        assert torch.equal(loaded.fusion.conv.weight, other["fusmodule.conv.weight"])


def test_parts_of_one_model_of_several(folder: Path, capsys: Capture) -> None:
    """With the other parts they are a model, and a training starts from them."""
    state = tiny_published()
    first = {key: value for key, value in state.items() if key.startswith("resmodule.")}
    torch.save({"a": first, "b": {key: value + 1 for key, value in first.items()}}, "res.pth")
    for part, name in (("synmodule", "SYN"), ("fusmodule", "FUS")):
        torch.save({k: v for k, v in state.items() if k.startswith(f"{part}.")}, f"{name}.pth")
    convert, train = commands("res.pth", "a", capsys)
    assert cli.main(convert) == 0
    whole: Any = load_model("model.safetensors")
    assert torch.equal(whole.fusion.conv.weight, state["fusmodule.conv.weight"])
    assert (folder / "model.safetensors").is_file()
    assert train[-2:] == ["restoration.weights=res.pth", "restoration.key=a"]
    made = read_own_module("res.pth", "restoration", "b")
    assert made is not None
    assert torch.equal(
        made.tensors["backbone.intro.weight"], first["resmodule.regression.intro.weight"] + 1
    )


def test_what_a_training_leaves_starts_another(folder: Path, capsys: Capture) -> None:
    assert cli.main(["train", "CONFIG.yaml"]) == 0
    for stage in ("restoration", "synthesis", "fusion"):
        assert inspect(f"run/{stage}.safetensors")["kind"] == "result of a stage"
        command = command_at_the_end(f"run/{stage}.safetensors", capsys)
        assert f"{stage}.weights=run/{stage}.safetensors" in command
        assert cli.main([*command, f"output=from-{stage}", f"{stage}.iterations=0"]) == 0
    assert cli.main(["inspect", "run/tiny.safetensors"]) == 0
    uses = [line for line in capsys.readouterr().out.splitlines() if line.startswith("use: ")]
    restore = next(shlex.split(line[line.index("ugpnet ") :]) for line in uses if "restore" in line)
    assert cli.main(restore[1:]) == 0
    assert list((folder / "restored").rglob("*.png"))


def test_the_result_of_stage_prior_starts_another(folder: Path, capsys: Capture) -> None:
    prior = ["prior.iterations=1", "prior.batch_size=2", "--stage", "prior"]
    assert cli.main(["train", "CONFIG.yaml", *prior]) == 0
    uses = inspect("run/prior.safetensors")["use"]
    train = next(shlex.split(use[use.index("ugpnet ") :]) for use in uses if "train with" in use)
    capsys.readouterr()
    for stage in ("restoration", "synthesis"):
        assert cli.main([*train[1:], "output=next", "--stage", stage]) == 0
    said = capsys.readouterr().err
    assert "Stage synthesis starts from the prior in run/prior.safetensors" in said
    assert "untrained" not in said
    fine = ["prior.weights=run/prior.safetensors", "prior.freeze_d=1", "output=fine"]
    assert cli.main(["train", "CONFIG.yaml", *prior, *fine]) == 0
