"""The network in a checkpoint is found wherever training codes leave it."""

from __future__ import annotations

import re
from collections import OrderedDict
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
from ugpnet_core.checkpoints.modules import find_network
from ugpnet_core.checkpoints.state_dict import load_weights, read_tensors
from ugpnet_core.config import TrainConfig
from ugpnet_core.errors import SeveralNetworksError, UnknownNameError, WeightsError
from ugpnet_core.evaluation.foreign import ForeignNetwork
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


def stylegan_discriminator() -> State:
    return create_discriminator("stylegan2", **PRIOR).state_dict()


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
    "parts of it compiled, recomputed and spread": lambda own: {
        re.sub(r"^(encoders|middle_blks)\.0\.", rf"\1.{word}.0.", f"{key}"): value
        for word in ("_orig_mod", "_fsdp_wrapped_module._checkpoint_wrapped_module")
        for key, value in own.items()
        if ("_orig" in word) == key.startswith("encoders")
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
    "beside a StyleGAN2 discriminator": lambda own: {
        "state_dict": {**under("net_g.", own), **under("net_d.", stylegan_discriminator())}
    },
    "with a StyleGAN2 discriminator": lambda own: {
        "generator": own,
        "discriminator": stylegan_discriminator(),
    },
    "g and d": lambda own: {"g": own, "d": stylegan_discriminator()},
    "beside classifiers": lambda own: {
        "state_dict": {**under("net.", own), **under("", {"fc.weight": torch.ones(2, 2)})}
    },
    "counted by thop": lambda own: {
        **own,
        "total_ops": torch.zeros(1),
        "intro.total_params": torch.zeros(1),
    },
    "beside a counter": lambda own: {**own, "epoch": torch.tensor(3)},
    "beside a metric": lambda own: {"val.psnr": torch.tensor(30.0), "state_dict": own},
    "beside metrics": lambda own: {"val.psnr": torch.ones(3), "state_dict": under("model.", own)},
    "in a list": lambda own: {"models": [own, {"epoch": 3}]},
    "beside a long history": lambda own: {"losses": [(0.5,)] * 9 + [0.5] * 20_000, "nets": [own]},
    "deep": lambda own: {"trainer": {"modules": {"restorer": own}}, "iter": torch.tensor(1)},
}


def test_what_lies_deeper_than_networks_do_is_not_looked_at() -> None:
    content: Any = nafnet()
    for name in "edcba":
        content = {name: content}
    ((place, _),) = state_dicts(content)
    assert place == "a.b.c.d.e"
    assert not list(state_dicts({"more": content}))


def test_what_is_there_a_thousand_times_is_looked_at_once() -> None:
    many: dict[str, Any] = {str(place): {} for place in range(20_000)}
    for inner in (many, list(many.values())):
        assert not list(state_dicts({str(place): inner for place in range(5_000)}))
    own = nafnet()
    places = dict(state_dicts({str(place): own for place in range(5_000)}))
    assert 2 < len(places) < 500


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


SPANDREL: dict[str, Callable[[State], dict[str, Any]]] = {
    "net_g.": lambda own: {"state_dict": {**under("net_g.", own), **under("loss.", other())}},
    "model.net.": lambda own: {"state_dict": {**under("model.net.", own), **under("l.", other())}},
    "alone": lambda own: {"state_dict": under("model.net_g.", own)},
    "beside another in one module": lambda own: {
        "state_dict": {**under("model.net_g.", own), **under("model.net_d.", other())}
    },
    "averaged": lambda own: {
        "state_dict": {
            **under("model.", own, 1),
            **under("model_ema.", own),
            **under("l.", other()),
        }
    },
    "averaged module": lambda own: {
        "state_dict": {
            **under("model.", own, 1),
            **under("ema_model.module.", own),
            "ema_model.n_averaged": torch.tensor(1),
        }
    },
    "averaged dictionary": lambda own: {"netG": under("", own, 1), "netG_ema": own},
    "beside a discriminator": CASES["beside a StyleGAN2 discriminator"],
    "with a discriminator": CASES["with a StyleGAN2 discriminator"],
    "regression.": lambda own: {"state_dict": under("regression.", own)},
    "counters": lambda own: {**own, "epoch": torch.tensor(3), "feats.0.total_ops": torch.ones(1)},
}
PLKSR: dict[str, Any] = {"dim": 8, "n_blocks": 1, "upscaling_factor": 2}


def read_by_all_that_know_spandrel(path: Path, key: str | None = None) -> list[State]:
    """As a backbone, by the command that inspect prints, and as a method of a comparison."""
    made: Any = ug.create_backbone("spandrel", checkpoint=str(path), key=key)
    assert inspect(path, key)["backbone"]["name"] == "spandrel"
    # The same weights for a network that was wrapped before.
    untrained: Any = ug.create_backbone("spandrel", **made.rebuild_options)
    load_weights(untrained, path, key)
    compared = ForeignNetwork(path, key).network
    return [network.state_dict() for network in (made, untrained, compared)]


@pytest.mark.parametrize("case", SPANDREL)
def test_a_network_of_spandrel_is_found_alike(case: str, tmp_path: Path) -> None:
    own, path = build("PLKSR:RealPLKSR", PLKSR).state_dict(), tmp_path / "last.ckpt"
    torch.save(SPANDREL[case](own), path)
    for state in read_by_all_that_know_spandrel(path):
        assert state.keys() == own.keys()
        assert all(torch.equal(value, own[key]) for key, value in state.items())


def test_one_of_several_networks_of_spandrel_is_chosen_by_key(tmp_path: Path) -> None:
    own, path = build("PLKSR:RealPLKSR", PLKSR).state_dict(), tmp_path / "two.ckpt"
    torch.save({"state_dict": {**under("teacher.", own), **under("student.", own, 1)}}, path)
    readers: list[Callable[[Path], object]] = [
        inspect,
        ForeignNetwork,
        lambda path: ug.create_backbone("spandrel", checkpoint=str(path)),
    ]
    for read in readers:
        with pytest.raises(SeveralNetworksError, match=r"under 'student', 'teacher'; .*key="):
            read(path)
    for key, plus in (("teacher", 0), ("student", 1)):
        for state in read_by_all_that_know_spandrel(path, key):
            assert all(torch.equal(value, own[name] + plus) for name, value in state.items())


INNER: dict[str, tuple[str, dict[str, Any]]] = {
    "RCAN": ("RCAN:RCAN", {"scale": 2, "n_resgroups": 1, "n_resblocks": 1, "n_feats": 16}),
    "SwinIR": (
        "SwinIR:SwinIR",
        {"depths": [1], "num_heads": [1], "embed_dim": 4, "window_size": 4},
    ),
    "FFTformer": (
        "FFTformer:FFTformer",
        {"dim": 8, "num_blocks": [1, 1, 1], "num_refinement_blocks": 1},
    ),
    "CRAFT": ("CRAFT:CRAFT", {"embed_dim": 12, "depths": [2], "num_heads": [2], "upscale": 2}),
    "DITN": ("DITN:DITN_Real", {"dim": 4, "ITL_blocks": 1, "SAL_blocks": 1, "UFONE_blocks": 1}),
    "FBCNN": ("FBCNN:FBCNN", {"nc": [4] * 4, "nb": 1}),
    "the compact network of Real-ESRGAN": ("Compact:SRVGGNetCompact", {"num_feat": 4}),
}


@pytest.mark.parametrize("words", INNER)
def test_what_a_network_is_made_of_is_no_second_network(words: str, tmp_path: Path) -> None:
    own, path = build(*INNER[words]).state_dict(), tmp_path / "last.ckpt"
    torch.save({"state_dict": {**under("model.net_g.", own), **under("loss.", other())}}, path)
    assert read_tensors(path).keys() == own.keys()
    assert inspect(path)["layout"] == words


def test_the_generator_inside_a_restoring_network_is_no_prior(tmp_path: Path) -> None:
    generator: Any = ug.create_prior("stylegan2", **PRIOR)
    own = {
        "toRGB.0.weight": torch.ones(3, 2, 1, 1),
        "stylegan_decoder.style_mlp.1.weight": torch.ones(2, 2),
        **under("stylegan_decoder.", generator.state_dict()),
    }
    torch.save({**under("net_g.", own), **under("loss.", other())}, tmp_path / "gfpgan.pth")
    assert read_tensors(tmp_path / "gfpgan.pth").keys() == own.keys()


def test_counters_of_batches_tell_no_network(tmp_path: Path) -> None:
    network = nn.Sequential(OrderedDict(a=nn.Conv2d(3, 4, 3), layer=nn.BatchNorm2d(4)))
    own = {
        k: v + 1 for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")
    }
    torch.save({**under("model.", own), **under("loss.", other())}, tmp_path / "w.pth")
    load_weights(network, tmp_path / "w.pth")
    assert all(torch.equal(network.state_dict()[key], value) for key, value in own.items())


class Counting(nn.Module):
    """A network with single numbers of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 3, 3)
        self.gain = nn.Parameter(torch.tensor(2.0))
        self.register_buffer("steps", torch.tensor(7))


def test_single_numbers_are_a_networks_own_where_it_has_them(tmp_path: Path) -> None:
    path, own = tmp_path / "w.pth", Counting().state_dict()
    beside = {"epoch": torch.tensor(3), "best": torch.tensor(0.5)}

    def load(tensors: State) -> State | None:
        if "body.weight" not in tensors:
            return None
        if tensors.keys() != own.keys():
            raise WeightsError("it does not fit")
        return tensors

    for content in (own, under("net_g.", own), {**under("net_g.", own), **beside}):
        torch.save(content, path)
        assert read_tensors(path).keys() >= content.keys()
        found = find_network(content, load, "w.pth")
        assert found is not None
        assert found.keys() == own.keys()
    for content in (own, {**own, **beside}, {**under("net_g.", own), **beside}):
        torch.save(content, path)
        network = Counting()
        network.gain.data.zero_()
        load_weights(network, path)
        assert network.gain == 2


def test_what_lies_beside_a_discriminator_is_a_prior_still(tmp_path: Path) -> None:
    path = tmp_path / "d.pth"
    for content in (
        stylegan_discriminator(),
        {**under("net_d.", stylegan_discriminator()), **under("loss.", other())},
    ):
        torch.save({"state_dict": content}, path)
        facts = inspect(path)
        assert (facts["kind"], facts["holds"]) == ("prior", ["discriminator"])
    torch.save({"net_g": nafnet(), "net_d": stylegan_discriminator()}, path)
    assert inspect(path, "net_d")["kind"] == "prior"
    assert inspect(path, "net_g")["kind"] == "backbone"


def test_a_discriminator_that_cannot_be_read_hides_no_backbone(tmp_path: Path) -> None:
    discriminator = stylegan_discriminator()
    del discriminator["conv_body.0.0.weight"], discriminator["final_conv.0.weight"]
    other_head = {**stylegan_discriminator(), "final_linear.1.weight": torch.ones(3)}
    for beside in (discriminator, other_head):
        torch.save({"net_g": nafnet(), "net_d": beside}, tmp_path / "w.pth")
        assert inspect(tmp_path / "w.pth")["kind"] == "backbone"


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


WRAPPED: dict[str, Callable[[State], Any]] = {
    "modules": lambda own: {
        "state_dict": {
            **under("module.teacher.", own),
            **under("module.student.", own, 1),
        }
    },
    "compiled": lambda own: {
        **under("_orig_mod.module.teacher.", own),
        **under("_orig_mod.module.student.", own, 1),
    },
    "deeper": lambda own: {
        "state_dict": {
            **under("model.teacher.net.", own),
            **under("model.student.net.", own, 1),
        }
    },
    "dictionaries of dictionaries": lambda own: {
        "teacher": {"net": own, "step": 1},
        "student": {"net": under("", own, 1), "step": 1},
    },
}


@pytest.mark.parametrize("case", WRAPPED)
def test_every_name_that_an_error_offers_is_a_key(case: str, tmp_path: Path) -> None:
    own, path = nafnet(), tmp_path / "two.ckpt"
    torch.save(WRAPPED[case](own), path)
    with pytest.raises(WeightsError, match="key=") as found:
        read_tensors(path)
    offered = re.findall(r"'([^']+)'", str(found.value).partition("under ")[2])
    assert len(offered) == 2
    first = next(iter(own))
    for key in offered:
        assert torch.equal(read_tensors(path, key)[first], own[first] + ("student" in key))


def test_a_name_of_several_networks_is_no_choice(tmp_path: Path) -> None:
    own, path = nafnet(), tmp_path / "two.ckpt"
    for content in (
        {"teacher": {"net": own}, "student": {"net": own}},
        {"teacher": under("net.", own), "student": under("net.", own)},
    ):
        torch.save(content, path)
        with pytest.raises(WeightsError, match=r"meant by 'net': 'student\.net', 'teacher\.net'"):
            read_tensors(path, "net")
        assert read_tensors(path, "teacher.net").keys() == own.keys()
    torch.save(own, path)
    with pytest.raises(WeightsError, match=r"nothing under 'intro\.weight'"):
        read_tensors(path, "intro.weight")


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
