"""Whole models in the key layout of the published checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import ugpnet_core as ug
from ugpnet_core import cli
from ugpnet_core.checkpoints.state_dict import fit, read_tensors
from ugpnet_core.config import ComponentConfig, ModelConfig, TaskConfig
from ugpnet_core.errors import SeveralNetworksError, WeightsError
from ugpnet_core.model_files.conversion import convert
from ugpnet_core.model_files.inspection import inspect
from ugpnet_core.model_files.model import load_model
from ugpnet_core.model_files.prior import create_discriminator
from ugpnet_core.model_files.published import PREFIXES, from_published
from ugpnet_core.networks.ugpnet import build_model
from ugpnet_core.training.own_modules import read_own_module
from ugpnet_core.training.restoration import RestorationStage

State = dict[str, Tensor]


def close(a: Tensor, b: Tensor, tolerance: float) -> bool:
    assert a.shape == b.shape
    return bool((a - b).abs().max() <= tolerance * b.abs().max())


@torch.no_grad()
def test_the_published_model_computes_the_published_numbers(
    golden: Callable[[str], tuple[State, State]], tmp_path: Path
) -> None:
    weights, expected = golden("ugpnet_nafnet_deblur_512")
    save_file(weights, tmp_path / "published.safetensors")
    model = load_model(tmp_path / "published.safetensors")
    assert sum(p.numel() for p in model.parameters()) == 69_557_104
    restored = model.restoration(expected["input"])
    code = model.synthesis.encode(restored.image)
    synthesised = model.synthesis.generator.synthesize(*code)
    image = model.fusion(restored.features, synthesised.features, restored.image)
    thin = slice(None, None, 16)
    for name, ours in {
        "x_reg": restored.image[..., thin, thin],
        "f_reg": restored.features[:, thin, thin, thin],
        "base_code": code.base[:, thin],
        "styles": code.styles,
        "x_syn": synthesised.image[..., thin, thin],
        "f_syn": synthesised.features[:, thin, thin, thin],
        "x_hat": image[..., thin, thin],
        "x_hat_crop": image[..., 200:232, 300:332],
    }.items():
        assert close(ours, expected[name], 1e-3), name


def config_of(
    nafnet: dict[str, Any],
    stylegan2: dict[str, Any],
    encoder_channels: list[int],
    *,
    pooled: bool = True,
    **others: Any,
) -> ModelConfig:
    """``pooled``: locally, as in the published models for deblurring."""
    pooling = {"local_pooling": True, "train_size": 256} if pooled else {"local_pooling": False}
    return ModelConfig(
        backbone=ComponentConfig(name="nafnet", options={**nafnet, **pooling}),
        prior=ComponentConfig(name="stylegan2", options=stylegan2),
        task=TaskConfig(name="deblur"),
        encoder_channels=encoder_channels,
        **others,
    )


SMALL = config_of(
    {"width": 3, "middle_blk_num": 2, "enc_blk_nums": [1, 2], "dec_blk_nums": [2, 1]},
    {
        "resolution": 64,
        "style_dim": 8,
        "num_mlp": 3,
        "channel_multiplier": 1,
        "narrow": 1 / 64,
        "base_size": 16,
    },
    [4, 6, 8],
    merging_channels=5,
    map2style_channels=7,
    fusion_blocks=2,
)
SMALLER = config_of(
    {"width": 2, "middle_blk_num": 1, "enc_blk_nums": [1], "dec_blk_nums": [1]},
    {
        "resolution": 32,
        "style_dim": 4,
        "num_mlp": 1,
        "channel_multiplier": 1,
        "narrow": 1 / 128,
        "base_size": 8,
    },
    [2, 3, 4],
    merging_channels=4,
    map2style_channels=3,
    fusion_blocks=1,
)


def published(config: ModelConfig) -> State:
    """The weights of a model in the published layout."""
    theirs = {ours: published for published, ours in PREFIXES.items()}
    state = {}
    for key, value in build_model(config).state_dict().items():
        ours = next(prefix for prefix in theirs if key.startswith(prefix))
        state[theirs[ours] + key.removeprefix(ours)] = value
    return state


@pytest.mark.parametrize("config", [SMALL, SMALLER])
def test_the_shapes_tell_the_configuration(config: ModelConfig) -> None:
    state = published(config)
    found, renamed = from_published(state)
    assert found == config
    assert renamed.keys() == build_model(config).state_dict().keys()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@torch.no_grad()
def test_a_published_file_is_loaded_whatever_wraps_it(suffix: str, tmp_path: Path) -> None:
    state = published(SMALLER)
    path = tmp_path / f"model{suffix}"
    wrapped = {f"module.{key}": value for key, value in state.items()}
    if suffix == ".pth":
        torch.save({"params": wrapped, "iteration": 3}, path)
    else:
        save_file(wrapped, path, metadata={"format": "pt"})
    model = load_model(path)
    assert model.config == SMALLER
    assert torch.equal(model.fusion.conv.weight, state["fusmodule.conv.weight"])
    assert model(torch.rand(2, 3, 32, 32)).image.shape == (2, 3, 32, 32)


def rrdb_config(**prior: Any) -> ModelConfig:
    return ModelConfig(
        backbone=ComponentConfig(
            name="rrdbnet",
            options={"scale": 8, "num_feat": 4, "num_block": 2, "num_grow_ch": 3},
        ),
        prior=ComponentConfig(name="stylegan2", options={**SMALLER.prior.options, **prior}),
        task=TaskConfig(name="sr8"),
        encoder_channels=[2, 3, 4],
        map2style_channels=3,
        fusion_blocks=1,
    )


@torch.no_grad()
def test_rrdbnet_has_a_restoration_module_of_regression_only(tmp_path: Path) -> None:
    state = published(rrdb_config())
    assert not any(key.startswith("resmodule.encoder.") for key in state)
    found, _ = from_published(state)
    assert found == rrdb_config()
    torch.save(state, tmp_path / "sr8.pth")
    model = load_model(tmp_path / "sr8.pth")
    assert model(torch.rand(1, 3, 4, 4)).image.shape == (1, 3, 32, 32)


@pytest.mark.parametrize("enc", [[2, 2, 4, 8], [1, 1, 1, 28]])
def test_the_depths_of_nafnet_tell_the_task(enc: list[int]) -> None:
    nafnet = {"width": 2, "middle_blk_num": 1, "enc_blk_nums": enc, "dec_blk_nums": [1] * 4}
    config = config_of(nafnet, SMALLER.prior.options, [2, 3, 4])
    with torch.device("meta"):
        state = published(config)
    assert from_published(state)[0].task.name == ("denoise" if enc[0] == 2 else "deblur")
    assert from_published(state, "blind")[0].task.name == "blind"


def test_the_church_variant_has_its_published_sizes() -> None:
    """256 pixels, base size 16: 128 channels enter the last to-RGB layer."""
    sidd = {
        "width": 32,
        "middle_blk_num": 12,
        "enc_blk_nums": [2, 2, 4, 8],
        "dec_blk_nums": [2, 2, 2, 2],
    }
    prior = {
        "resolution": 256,
        "style_dim": 512,
        "num_mlp": 8,
        "channel_multiplier": 2,
        "narrow": 1.0,
        "base_size": 16,
    }
    config = config_of(sidd, prior, [16, 32, 64, 128, 256], map2style_channels=512, pooled=False)
    with torch.device("meta"):
        state = published(config)
        assert state["fusmodule.conv.weight"].shape == (64, 128, 3, 3)
        found, renamed = from_published(state)
        model = build_model(found)
    assert found.model_dump() == {**config.model_dump(), "task": {"name": "denoise", "options": {}}}
    assert (model.resolution, model.synthesis.feature_channels) == (256, 128)
    assert model.synthesis.generator.num_styles == 10
    assert {k: v.shape for k, v in renamed.items()} == {
        k: v.shape for k, v in model.state_dict().items()
    }


def nested(state: State) -> dict[str, Any]:
    """Dictionaries within dictionaries: synmodule of fencoder, wmodule, generator, ..."""
    tree: dict[str, Any] = {}
    for key, value in state.items():
        part, rest = key.split(".", 1)
        inner = tree.setdefault(part, {})
        if part == "synmodule":
            network, rest = rest.split(".", 1)
            inner = inner.setdefault(network, {})
        inner[rest] = value
    return tree


def files_of(state: State, form: str, folder: Path) -> list[Path]:
    """The three parts as files of their own, in one of the forms that training codes leave."""
    paths = []
    for part in ("resmodule", "synmodule", "fusmodule"):
        own = {key: value for key, value in state.items() if key.startswith(f"{part}.")}
        if part == "synmodule":
            own["synmodule.discriminator.final_linear.1.bias"] = torch.ones(1)
        bare = {key.removeprefix(f"{part}."): value for key, value in own.items()}
        content: Any = {
            "full": own,
            "bare": bare,
            "wrapped": {"params": bare, "iter": 3, "optimizer": {"state": {0: torch.ones(2)}}},
            "parallel": {"state_dict": {f"module.{key}": value for key, value in bare.items()}},
            "inner": {f"{part}.module.{key}": value for key, value in bare.items()},
            "nested": {**nested(own), "optim": {"lr": 0.1}},
            "unnamed": nested(own)[part],
        }[form]
        paths.append(folder / f"{part}.pth")
        torch.save(content, paths[-1])
    return paths


@pytest.mark.parametrize(
    "form", ["full", "bare", "wrapped", "parallel", "inner", "nested", "unnamed"]
)
@pytest.mark.parametrize("config", [SMALLER, rrdb_config()])
def test_three_files_are_put_together(form: str, config: ModelConfig, tmp_path: Path) -> None:
    state = published(config)
    paths = files_of(state, form, tmp_path)
    for order in (paths, paths[::-1]):
        made = convert(order, tmp_path / "out.safetensors", licence="CC0-1.0")
        assert made.kind == "model file"
        model = load_model(tmp_path / "out.safetensors")
        assert model.config == config
        expected = from_published(state)[1]
        for key, value in model.state_dict().items():
            assert torch.equal(value, expected.get(key, value)), key


def beside() -> State:
    """Of a loss."""
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2)).state_dict()


def under(prefix: str, state: State, plus: float = 0) -> State:
    return {f"{prefix}{key}": value + plus for key, value in state.items()}


def fusion_of(state: State) -> State:
    return {key: value for key, value in state.items() if key.startswith("fusmodule.")}


AROUND: dict[str, Callable[[State], dict[str, Any]]] = {
    "beside a loss": lambda own: {
        "state_dict": {**under("model.", own), **under("lpips.net.", beside())}
    },
    "averaged": lambda own: {"state_dict": {**under("model.", own, 1), **under("model_ema.", own)}},
    "the trained part averaged": lambda own: {
        "state_dict": {
            **under("model.", {**own, **under("", fusion_of(own), 1)}),
            **under("ema.module.", fusion_of(own)),
        }
    },
    "beside a counter": lambda own: {"network": own, "iter": torch.tensor(3)},
    "with a discriminator": lambda own: {
        "generator": own,
        "discriminator": create_discriminator("stylegan2", **SMALLER.prior.options).state_dict(),
    },
    "compiled": lambda own: under("_orig_mod.module.module.", own),
}


@pytest.mark.parametrize("case", AROUND)
def test_a_whole_model_is_found_by_every_reader(case: str, tmp_path: Path) -> None:
    state, path = published(SMALLER), tmp_path / "last.ckpt"
    torch.save(AROUND[case](state), path)
    expected = from_published(state)[1]
    convert([path], tmp_path / "out.safetensors")
    for source in (path, tmp_path / "out.safetensors"):
        model = load_model(source)
        assert model.config == SMALLER
        own = model.state_dict()
        assert all(torch.equal(own[key], value) for key, value in expected.items())
    facts = inspect(path)
    assert (facts["kind"], facts["backbone"]["name"]) == ("published UGPNet", "nafnet")
    trained = build_model(SMALLER)
    assert RestorationStage.load_pretrained(trained, path) == "whole module"
    last = trained.restoration.state_dict()
    assert all(
        torch.equal(last[key.removeprefix("restoration.")], value)
        for key, value in expected.items()
        if key.startswith("restoration.")
    )


def test_one_of_two_whole_models_is_not_guessed(tmp_path: Path) -> None:
    state, path = published(SMALLER), tmp_path / "two.ckpt"
    torch.save({"teacher": state, "student": under("", state, 1)}, path)
    model, out = build_model(SMALLER), tmp_path / "out.safetensors"
    readers: list[Callable[[Path], object]] = [
        load_model,
        inspect,
        lambda path: convert([path], out),
        lambda path: RestorationStage.load_pretrained(model, path),
    ]
    for read in readers:
        with pytest.raises(SeveralNetworksError, match=r"under 'student', 'teacher'; .*key="):
            read(path)


REGRESSIONS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "a U-Net": ("unet", {"width": 4, "depth": 2}, False),
    "NAFNet": ("nafnet", SMALLER.backbone.options, False),
    "NAFNet beside an encoder": ("nafnet", SMALLER.backbone.options, True),
    "RRDBNet beside an encoder": (
        "rrdbnet",
        {"scale": 4, "num_feat": 4, "num_block": 1, "num_grow_ch": 2},
        True,
    ),
}


@pytest.mark.parametrize("case", REGRESSIONS)
def test_not_every_regression_is_a_part_of_a_model(case: str, tmp_path: Path) -> None:
    name, options, encoder = REGRESSIONS[case]
    made: Any = ug.create_backbone(name, **options)
    own, path = made.state_dict(), tmp_path / "last.ckpt"
    more = under("encoder.", beside()) if encoder else {}
    torch.save({"state_dict": {**under("regression.", own), **more}}, path)
    assert inspect(path)["backbone"]["name"] == name
    assert read_own_module(path, "restoration") is None
    assert read_tensors(path).keys() == own.keys()
    again: Any = ug.create_backbone(name, weights=path, **options)
    assert all(torch.equal(value, own[key]) for key, value in again.state_dict().items())


def test_a_part_on_its_own_is_found_beside_a_loss(tmp_path: Path) -> None:
    state = published(SMALLER)
    paths = files_of(state, "bare", tmp_path)
    for path in paths:
        bare = torch.load(path)
        torch.save({"state_dict": {**under("net.", bare), **under("loss.", beside())}}, path)
        assert inspect(path)["kind"] == "part of a published UGPNet"
    convert(paths, tmp_path / "out.safetensors")
    assert load_model(tmp_path / "out.safetensors").config == SMALLER


def test_parts_and_a_prior_are_not_converted_together(tmp_path: Path) -> None:
    state = published(SMALLER)
    torch.save(state, tmp_path / "model.pth")
    discriminator = create_discriminator("stylegan2", **SMALLER.prior.options)
    torch.save(discriminator.state_dict(), tmp_path / "d.pth")
    with pytest.raises(WeightsError, match=r"model\.pth is of a published UGPNet, and another"):
        convert([tmp_path / "model.pth", tmp_path / "d.pth"], tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_the_parts_must_be_whole_and_agree(tmp_path: Path) -> None:
    state = published(SMALLER)
    paths = files_of(state, "bare", tmp_path)
    out = tmp_path / "out.safetensors"
    with pytest.raises(
        WeightsError, match=r"only a part .* give the file with the synthesis module, too"
    ):
        convert([paths[0], paths[2]], out)
    with pytest.raises(WeightsError, match="restoration module and the one with the fusion module"):
        load_model(paths[1])
    (tmp_path / "other").mkdir()
    other = files_of({k: v + 1 for k, v in state.items()}, "bare", tmp_path / "other")
    with pytest.raises(WeightsError, match="differ in 'fusmodule"):
        convert([*paths, other[2]], out)
    del state["resmodule.regression.intro.bias"]
    with pytest.raises(WeightsError, match=r"1 keys are missing.*'restoration\.backbone\.intro"):
        convert(files_of(state, "bare", tmp_path), out)
    assert not out.exists()


def test_what_cannot_be_read_says_why() -> None:
    state = published(SMALLER)
    other = {key.replace("middle_blks", "stem"): value for key, value in state.items()}
    with pytest.raises(WeightsError, match="of no backbone that is installed"):
        from_published(other)
    with pytest.raises(WeightsError, match=r"'extra\.weight'"):
        from_published({**state, "extra.weight": torch.zeros(1)})
    for part in ("synmodule.fencoder.", "synmodule.generator.", "synmodule.wmodule."):
        rest = {key: value for key, value in state.items() if not key.startswith(part)}
        with pytest.raises(WeightsError, match="incomplete"):
            from_published(rest)
    misfit = {**state, "synmodule.fencoder.conv1x1.weight": torch.zeros(9, 4, 1, 1)}
    with pytest.raises(WeightsError, match="does not fit its generator"):
        from_published(misfit)


# --- as they were published -----------------------------------------------------------------------

CASES = Path(__file__).parents[1] / "cases" / "published"
PARTS = ("rrdbnet_x8_bicubic.pth", "synmodule_40000.pth", "fusmodule_best.pth")


def test_the_super_resolution_model_is_read_in_the_form_it_was_published_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its restoration module is an RRDBNet and nothing else, and has no name for it inside."""
    convert([CASES / name for name in PARTS], tmp_path / "parts.safetensors")
    for path in (tmp_path / "parts.safetensors", CASES / "rrdb_whole.pth"):
        model = load_model(path)
        assert (model.config.backbone.name, model.config.task.name) == ("rrdbnet", "sr8")
        assert model(torch.rand(1, 3, 4, 4)).image.shape == (1, 3, 32, 32)
        backbone: Any = model.restoration.backbone
        stored = torch.load(CASES / (path.name if path.suffix == ".pth" else PARTS[0]))
        first = stored.get("params_ema", stored)
        key = "conv_first.weight" if "conv_first.weight" in first else "resmodule.conv_first.weight"
        assert torch.equal(backbone.conv_first.weight, first[key])
    for name in PARTS:
        assert cli.main(["inspect", str(CASES / name)]) == 0
        said = capsys.readouterr().out
        assert "ugpnet convert" in said
        assert said.splitlines()[-1].startswith("use: start a training from it: ugpnet train")


def test_each_module_can_start_a_training() -> None:
    whole = CASES / "rrdb_whole.pth"
    model = load_model(whole)
    for module, part in (("restoration", None), ("synthesis", PARTS[1]), ("fusion", PARTS[2])):
        for path in (whole, *([CASES / part] if part else [])):
            own = read_own_module(path, module)
            assert own is not None
            fit(getattr(model, module), own.tensors, str(path))
    assert read_own_module(CASES / PARTS[0], "restoration") is None  # it is a backbone's
    assert read_own_module(CASES / PARTS[1], "fusion") is None


def test_only_the_models_for_deblurring_pool_locally() -> None:
    for enc, pools in (([2, 2, 4, 8], False), ([1, 1, 1, 28], True)):
        nafnet = {"width": 2, "middle_blk_num": 1, "enc_blk_nums": enc, "dec_blk_nums": [1] * 4}
        with torch.device("meta"):
            state = published(config_of(nafnet, SMALLER.prior.options, [2, 3, 4]))
        assert from_published(state)[0].backbone.options["local_pooling"] is pools


@torch.no_grad()
@pytest.mark.parametrize("keeps_unused", [True, False])
def test_hinet_in_ugpnet_has_one_first_convolution(keeps_unused: bool, tmp_path: Path) -> None:
    options = {"wf": 4, "depth": 2, "hin_position_left": 0, "hin_position_right": 1}
    shared = {**options, "shared_conv": True}
    config = ModelConfig(
        backbone=ComponentConfig(name="hinet", options=shared),
        prior=SMALLER.prior,
        task=TaskConfig(name="denoise"),
        encoder_channels=[2, 3, 4],
        merging_channels=4,
        map2style_channels=3,
        fusion_blocks=1,
    )
    state = published(config)
    first = {
        kind: state[f"resmodule.regression.conv_01.{kind}"].clone() for kind in ("weight", "bias")
    }
    if keeps_unused:
        unused = {f"resmodule.regression.conv_02.{k}": v + 1 for k, v in first.items()}
        state |= unused
    torch.save(state, tmp_path / "hinet.pth")
    model = load_model(tmp_path / "hinet.pth")
    assert model.config == config
    # The original, whose second stage has a convolution of its own, with that of the first.
    original: Any = build_model(
        config.model_copy(update={"backbone": ComponentConfig(name="hinet", options=options)})
    )
    backbone: Any = model.restoration.backbone
    copies = {f"conv_02.{kind}": value for kind, value in first.items()}
    original.restoration.backbone.load_state_dict({**backbone.state_dict(), **copies})
    x = torch.rand(1, 3, 8, 8)
    assert torch.equal(backbone(x), original.restoration.backbone(x))
