"""The network in a checkpoint is found wherever training codes leave it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

import ugpnet_core as ug
from ugpnet_backbones.spandrel.architectures import build
from ugpnet_core import cli
from ugpnet_core.checkpoints.locating import state_dicts
from ugpnet_core.checkpoints.state_dict import load_weights, read_tensors
from ugpnet_core.config import TrainConfig
from ugpnet_core.errors import UnknownNameError, WeightsError
from ugpnet_core.model_files.inspection import inspect
from ugpnet_core.model_files.prior import create_discriminator, read_prior
from ugpnet_core.networks.ugpnet import build_model
from ugpnet_core.training.restoration import RestorationStage

State = dict[str, Tensor]
OPTIONS: dict[str, Any] = {"width": 2, "enc_blk_nums": [1], "dec_blk_nums": [1]}
PRIOR: dict[str, Any] = {"resolution": 16, "style_dim": 4, "num_mlp": 1, "narrow": 1 / 64}


def nafnet() -> State:
    torch.manual_seed(0)
    return cast(nn.Module, ug.create_backbone("nafnet", **OPTIONS)).state_dict()


def other() -> State:
    """A network that stands beside: of a loss, or a discriminator."""
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2)).state_dict()


def under(prefix: str, state: State, plus: float = 0) -> State:
    return {f"{prefix}{key}": value + plus for key, value in state.items()}


CASES: dict[str, Callable[[State], dict[str, Any]]] = {
    "beside a loss": lambda own: {
        "state_dict": {**under("net_g.", own), **under("loss.vgg.", other())},
        "pytorch-lightning_version": "2.0",
    },
    "beside metrics and a discriminator": lambda own: {
        "state_dict": {
            **under("disc.", other()),
            **under("restorer.module.", own),
            "psnr.total": torch.tensor(3.0),
        }
    },
    "averaged": lambda own: {
        "state_dict": {
            **under("model.", own, 1),
            **under("ema_model.module.", own),
            "ema_model.n_averaged": torch.tensor(1),
        }
    },
    "stacked": lambda own: under("model._orig_mod.module.net.", own),
    "net.": lambda own: under("net.", own),
    "generator.": lambda own: under("generator.", own),
    "generator": lambda own: {"generator": own},
    "netG": lambda own: {"netG": own, "netD": other(), "epoch": 3},
    "network": lambda own: {
        "network": own,
        "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": []},
    },
    "beside settings": lambda own: {"model": {"width": 2}, "state_dict": own},
    "upscaler": lambda own: {"upscaler": own, "optimizerG": {"state": {}}},
    "optimized_model": lambda own: {"optimized_model": own, "GradScaler": {"scale": 1.0}},
    "deep": lambda own: {"trainer": {"modules": {"restorer": own}}, "iter": torch.tensor(1)},
}


def test_what_lies_deeper_than_networks_do_is_not_looked_at() -> None:
    content: Any = nafnet()
    for name in "edcba":
        content = {name: content}
    ((place, _),) = state_dicts(content)
    assert place == "a.b.c.d.e"
    assert not list(state_dicts({"more": content}))


@pytest.mark.parametrize("case", CASES)
def test_the_network_is_found_alike_everywhere(case: str, tmp_path: Path) -> None:
    own, path = nafnet(), tmp_path / "last.ckpt"
    torch.save(CASES[case](own), path)
    read = read_tensors(path)
    made: Any = ug.create_backbone("nafnet", weights=path, **OPTIONS)
    for state in (read, made.state_dict()):
        assert state.keys() == own.keys()
        assert all(torch.equal(state[key], own[key]) for key in own)
    facts = inspect(path)
    assert facts["backbone"]["options"]["width"] == 2
    assert facts["parameters"] == sum(value.numel() for value in own.values())


@pytest.mark.parametrize("prefix", ["net_g.", "model.net."])
def test_a_network_of_spandrel_is_found_alike(prefix: str, tmp_path: Path) -> None:
    sizes = {"dim": 8, "n_blocks": 1, "upscaling_factor": 2}
    own = build("PLKSR:RealPLKSR", sizes).state_dict()
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": {**under(prefix, own), **under("loss.", other())}}, path)
    made: Any = ug.create_backbone("spandrel", checkpoint=str(path))
    assert made.scale == 2
    assert all(torch.equal(value, own[key]) for key, value in made.state_dict().items())
    # The same weights for a network that was wrapped before.
    untrained: Any = ug.create_backbone("spandrel", **made.rebuild_options)
    load_weights(untrained, path)
    assert all(torch.equal(value, own[key]) for key, value in untrained.state_dict().items())
    assert inspect(path)["backbone"]["name"] == "spandrel"


@pytest.mark.parametrize("form", ["dictionaries", "modules"])
def test_one_of_several_is_chosen_by_key(
    form: str,
    tmp_path: Path,
    training_config: Callable[..., TrainConfig],
    capsys: pytest.CaptureFixture[str],
) -> None:
    own, path = nafnet(), tmp_path / "two.ckpt"
    content: dict[str, Any] = {"teacher": own, "student": under("", own, 1)}
    if form == "modules":
        content = {"state_dict": {**under("teacher.", own), **under("student.", own, 1)}}
    torch.save(content, path)
    for read in (read_tensors, inspect):
        with pytest.raises(WeightsError, match=r"under 'student', 'teacher'; .*key="):
            read(path)
    with pytest.raises(WeightsError, match=r"'student', 'teacher'.*key="):
        ug.create_backbone("nafnet", weights=path, **OPTIONS)
    with pytest.raises(WeightsError, match=r"nothing under 'pupil'; there are .*'teacher'"):
        read_tensors(path, key="pupil")
    for key, plus in (("teacher", 0), ("student", 1)):
        made: Any = ug.create_backbone("nafnet", weights=path, key=key, **OPTIONS)
        assert torch.equal(made.intro.weight, own["intro.weight"] + plus)
        use = inspect(path, key)["use"][-1]
        assert use.endswith(f"restoration.weights={path} restoration.key={key}")
    config = training_config(model__backbone={"name": "nafnet", "options": OPTIONS})
    model = build_model(config.model)
    RestorationStage.load_pretrained(model, path, key="student")
    backbone: Any = model.restoration.backbone
    assert torch.equal(backbone.intro.weight, own["intro.weight"] + 1)
    assert cli.main(["inspect", str(path), "--key", "teacher"]) == 0
    assert "kind: backbone" in capsys.readouterr().out


def test_generator_and_discriminator_of_one_module_are_both_read(tmp_path: Path) -> None:
    generator: Any = ug.create_prior("stylegan2", **PRIOR)
    discriminator = create_discriminator("stylegan2", **PRIOR)
    parts = {"G": generator.state_dict(), "D": discriminator.state_dict()}
    averaged = {key: value + 1 for key, value in parts["G"].items()}
    forms: dict[str, Any] = {
        "named": {"generator": averaged, "discriminator": parts["D"]},
        "lightning": {
            "state_dict": {
                **under("G.", parts["G"]),
                **under("G_ema.", averaged),
                **under("D.", parts["D"]),
                **under("lpips.net.", other()),
            }
        },
    }
    for name, content in forms.items():
        torch.save(content, tmp_path / f"{name}.pth")
        stored = read_prior(tmp_path / f"{name}.pth")
        assert stored is not None
        assert stored.discriminator is not None
        key = "style_conv1.modulated_conv.weight"
        assert torch.equal(stored.generator[key], averaged[key])
        assert torch.equal(
            stored.discriminator["final_conv.0.weight"], parts["D"]["final_conv.0.weight"]
        )


def test_weights_that_do_not_fit_say_which_options_do(tmp_path: Path) -> None:
    torch.save(nafnet(), tmp_path / "w.pth")
    said = (
        r"which these options fit: width=2 middle_blk_num=1 enc_blk_nums=\[1\] dec_blk_nums=\[1\]"
    )
    with pytest.raises(WeightsError, match=said):
        ug.create_backbone("nafnet", weights=tmp_path / "w.pth", width=2)
    uformer: Any = ug.create_backbone(
        "uformer", embed_dim=4, depths=[1] * 9, num_heads=[1] * 9, modulator=True
    )
    torch.save(uformer.state_dict(), tmp_path / "u.pth")
    with pytest.raises(WeightsError, match="modulator=true"):
        ug.create_backbone("uformer", weights=tmp_path / "u.pth", embed_dim=4, modulator=False)


def test_numbers_that_are_none_name_file_and_key(tmp_path: Path) -> None:
    own, path = nafnet(), tmp_path / "w.pth"
    own["intro.bias"][0] = float("nan")
    torch.save({"state_dict": under("model.", own)}, path)
    with pytest.raises(WeightsError, match=rf"'intro\.bias' in {path} .*no finite numbers"):
        ug.create_backbone("nafnet", weights=path, **OPTIONS)
    with pytest.raises(WeightsError, match=rf"'intro\.bias' in {path} .*no finite numbers"):
        ug.create_backbone("spandrel", checkpoint=str(path))


@pytest.mark.parametrize(("said", "meant"), [("NAFNet", "nafnet"), ("RRDBNet-X4", "rrdbnet-x4")])
def test_names_in_other_capitals_are_understood(said: str, meant: str) -> None:
    with pytest.raises(UnknownNameError, match=rf"did you mean {meant}"):
        ug.create_backbone(said)
