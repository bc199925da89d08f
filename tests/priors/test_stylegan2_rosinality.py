"""rosinality's checkpoints, and BasicSR's, against the published formulas, written out slowly in
float64."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import ugpnet_core as ug
from ugpnet_core import cli
from ugpnet_core.checkpoints.file import read_checkpoint_file
from ugpnet_core.config import ComponentConfig, ModelConfig
from ugpnet_core.errors import ConfigError, WeightsError
from ugpnet_core.model_files.prior import (
    check_weights,
    create_discriminator,
    read_prior,
    recognise_prior,
    write_prior,
)
from ugpnet_core.model_files.stage_results import StageResult, write_stage_result
from ugpnet_priors.stylegan2.generator import StyleGAN2Generator

State = dict[str, Tensor]
Golden = Callable[[str], tuple[State, State]]
FIR = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64
UNEVEN = {4: 9, 8: 7, 16: 8, 32: 5}
RULE = {4: 8, 8: 8, 16: 8, 32: 8, 64: 4}  # multiplier 1, narrow 1/64


def close(a: Tensor, b: Tensor, tolerance: float = 1e-5) -> bool:
    assert a.shape == b.shape
    return bool((a - b).abs().max() <= tolerance * b.abs().max())


# --- writing ------------------------------------------------------------------------------------


def convolution(state: State, name: str, inputs: int, outputs: int, dim: int, kernel: int) -> None:
    state[f"{name}.conv.weight"] = torch.randn(1, outputs, inputs, kernel, kernel)
    state[f"{name}.conv.modulation.weight"] = torch.randn(inputs, dim)
    state[f"{name}.conv.modulation.bias"] = 1 + 0.3 * torch.randn(inputs)


def style_layer(state: State, name: str, inputs: int, outputs: int, dim: int) -> None:
    convolution(state, name, inputs, outputs, dim, 3)
    state[f"{name}.noise.weight"] = torch.randn(1)
    state[f"{name}.activate.bias"] = torch.randn(outputs)


def generator_state(widths: dict[int, int], dim: int = 6, layers: int = 2) -> State:
    state: State = {}
    for layer in range(1, layers + 1):
        state[f"style.{layer}.weight"] = torch.randn(dim, dim) * 100
        state[f"style.{layer}.bias"] = torch.randn(dim) * 10
    state["input.input"] = torch.randn(1, widths[4], 4, 4)
    style_layer(state, "conv1", widths[4], widths[4], dim)
    state["noises.noise_0"] = torch.randn(1, 1, 4, 4)
    for level, (side, width) in enumerate(widths.items()):
        rgb = "to_rgb1" if side == 4 else f"to_rgbs.{level - 1}"
        convolution(state, rgb, width, 3, dim, 1)
        state[f"{rgb}.bias"] = torch.randn(1, 3, 1, 1)
        if side == 4:
            continue
        state[f"{rgb}.upsample.kernel"] = FIR * 4
        index = 2 * level - 2
        style_layer(state, f"convs.{index}", widths[side // 2], width, dim)
        state[f"convs.{index}.conv.blur.kernel"] = FIR * 4
        style_layer(state, f"convs.{index + 1}", width, width, dim)
        for one in (index, index + 1):
            state[f"noises.noise_{one + 1}"] = torch.randn(1, 1, side, side)
    return state


def discriminator_state(widths: dict[int, int]) -> State:
    sides = sorted(widths, reverse=True)
    state = {
        "convs.0.0.weight": torch.randn(widths[sides[0]], 3, 1, 1),
        "convs.0.1.bias": torch.randn(widths[sides[0]]),
    }
    for index, side in enumerate(sides[:-1], 1):
        width, narrower, key = widths[side], widths[side // 2], f"convs.{index}"
        state[f"{key}.conv1.0.weight"] = torch.randn(width, width, 3, 3)
        state[f"{key}.conv1.1.bias"] = torch.randn(width)
        state[f"{key}.conv2.0.kernel"] = FIR.clone()
        state[f"{key}.conv2.1.weight"] = torch.randn(narrower, width, 3, 3)
        state[f"{key}.conv2.2.bias"] = torch.randn(narrower)
        state[f"{key}.skip.0.kernel"] = FIR.clone()
        state[f"{key}.skip.1.weight"] = torch.randn(narrower, width, 1, 1)
    width = widths[4]
    state["final_conv.0.weight"] = torch.randn(width, width + 1, 3, 3)
    state["final_conv.1.bias"] = torch.randn(width)
    state["final_linear.0.weight"] = torch.randn(width, width * 16)
    state["final_linear.0.bias"] = torch.randn(width)
    state["final_linear.1.weight"] = torch.randn(1, width)
    state["final_linear.1.bias"] = torch.randn(1)
    return state


def checkpoint(widths: dict[int, int] = UNEVEN, seed: int = 0) -> dict[str, Any]:
    """What their training writes, and what their converter writes beside it."""
    torch.manual_seed(seed)
    state = generator_state(widths)
    return {
        "g": {key: value + 1 for key, value in state.items()},
        "d": discriminator_state(widths),
        "g_ema": state,
        "g_optim": {"state": {0: {"step": 3, "exp_avg": torch.ones(3)}}, "param_groups": []},
        "args": argparse.Namespace(size=32, lr=0.002),
        "ada_aug_p": 0.1,
        "latent_avg": torch.randn(6),
    }


def written(content: object, path: Path) -> Path:
    torch.save(content, path)
    return path


# --- the published formulas -----------------------------------------------------------------------


def upfirdn(x: Tensor, up: int, pad: tuple[int, int], kernel: Tensor) -> Tensor:
    n, c, h, w = x.shape
    inserted = x.new_zeros(n, c, h * up, w * up)
    inserted[:, :, ::up, ::up] = x
    weight = kernel.to(x).flip(0, 1).expand(c, 1, 4, 4)
    return F.conv2d(F.pad(inserted, (*pad, *pad)), weight, groups=c)


def affine(x: Tensor, weight: Tensor, bias: Tensor, lr_mul: float = 1.0) -> Tensor:
    return F.linear(x, weight * (lr_mul / math.sqrt(weight.shape[1])), bias * lr_mul)


def lrelu(x: Tensor) -> Tensor:
    return torch.where(x < 0, x * 0.2, x) * math.sqrt(2)


def modulated(sd: State, name: str, x: Tensor, w: Tensor, demodulate: bool, blur: bool) -> Tensor:
    """Grouped convolution with weights of each image's own."""
    n = len(x)
    s = affine(w, sd[f"{name}.conv.modulation.weight"], sd[f"{name}.conv.modulation.bias"])
    weight = sd[f"{name}.conv.weight"]
    outputs, inputs, k = weight.shape[1:4]
    weight = weight * s.view(n, 1, inputs, 1, 1) / math.sqrt(inputs * k * k)
    if demodulate:
        weight = weight * torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + 1e-8)
    grouped = x.reshape(1, n * inputs, *x.shape[2:])
    if blur:
        stacked = weight.transpose(1, 2).reshape(n * inputs, outputs, k, k)
        y = F.conv_transpose2d(grouped, stacked, stride=2, groups=n)
        y = y.reshape(n, outputs, *y.shape[2:])
        return upfirdn(y, 1, (1, 1), sd[f"{name}.conv.blur.kernel"])
    y = F.conv2d(grouped, weight.reshape(-1, inputs, k, k), padding=k // 2, groups=n)
    return y.reshape(n, outputs, *y.shape[2:])


def their_w(sd: State, z: Tensor) -> Tensor:
    x = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
    for layer in range(1, 3):
        x = lrelu(affine(x, sd[f"style.{layer}.weight"], sd[f"style.{layer}.bias"], 0.01))
    return x


def their_image(state: State, z: Tensor, truncation: float, centre: Tensor) -> Tensor:
    sd = {key: value.double() for key, value in state.items()}
    w = centre.double() + truncation * (their_w(sd, z.double()) - centre.double())

    def layer(name: str, x: Tensor, noise: int, enlarge: bool) -> Tensor:
        y = modulated(sd, name, x, w, True, enlarge)
        y = y + sd[f"{name}.noise.weight"] * sd[f"noises.noise_{noise}"]
        return lrelu(y + sd[f"{name}.activate.bias"].reshape(1, -1, 1, 1))

    x = layer("conv1", sd["input.input"].repeat(len(z), 1, 1, 1), 0, False)
    image = modulated(sd, "to_rgb1", x, w, False, False) + sd["to_rgb1.bias"]
    level = 0
    while f"to_rgbs.{level}.bias" in sd:
        x = layer(f"convs.{2 * level}", x, 2 * level + 1, True)
        x = layer(f"convs.{2 * level + 1}", x, 2 * level + 2, False)
        rgb = modulated(sd, f"to_rgbs.{level}", x, w, False, False) + sd[f"to_rgbs.{level}.bias"]
        image = rgb + upfirdn(image, 2, (2, 1), sd[f"to_rgbs.{level}.upsample.kernel"])
        level += 1
    return image


def their_logits(state: State, image: Tensor) -> Tensor:
    sd = {key: value.double() for key, value in state.items()}

    def conv(x: Tensor, key: str, stride: int, padding: int) -> Tensor:
        weight = sd[f"{key}.weight"]
        return F.conv2d(x, weight / math.sqrt(weight[0].numel()), stride=stride, padding=padding)

    def biased(x: Tensor, key: str) -> Tensor:
        return lrelu(x + sd[f"{key}.bias"].view(1, -1, 1, 1))

    x = biased(conv(image.double(), "convs.0.0", 1, 0), "convs.0.1")
    for block in range(1, int(math.log2(image.shape[2])) - 1):
        key = f"convs.{block}"
        y = biased(conv(x, f"{key}.conv1.0", 1, 1), f"{key}.conv1.1")
        y = conv(upfirdn(y, 1, (2, 2), sd[f"{key}.conv2.0.kernel"]), f"{key}.conv2.1", 2, 0)
        skip = conv(upfirdn(x, 1, (1, 1), sd[f"{key}.skip.0.kernel"]), f"{key}.skip.1", 2, 0)
        x = (biased(y, f"{key}.conv2.2") + skip) / math.sqrt(2)
    n = len(x)
    group = min(n, 4)
    spread = x.view(group, -1, 1, x.shape[1], 4, 4)
    spread = (spread.var(0, unbiased=False) + 1e-8).sqrt().mean((2, 3, 4), keepdim=True).squeeze(2)
    x = torch.cat([x, spread.repeat(group, 1, 4, 4)], 1)
    x = biased(conv(x, "final_conv.0", 1, 1), "final_conv.1").flatten(1)
    x = lrelu(affine(x, sd["final_linear.0.weight"], sd["final_linear.0.bias"]))
    return affine(x, sd["final_linear.1.weight"], sd["final_linear.1.bias"])


# --- rosinality's layout --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("widths", "options"),
    [
        (UNEVEN, {"channels": UNEVEN}),
        (RULE, {"channel_multiplier": 1, "narrow": 1 / 64}),
        ({4: 5, 8: 5}, {"base_size": 8}),
    ],
)
@torch.no_grad()
def test_a_checkpoint_computes_what_the_original_does(
    widths: dict[int, int], options: dict[str, Any], tmp_path: Path
) -> None:
    content = checkpoint(widths)
    path = written(content, tmp_path / "stylegan2.pt")
    prior: Any = ug.create_prior("stylegan2", weights=path)
    z = torch.randn(3, 6)
    for psi in (1.0, 0.5):
        image = their_image(content["g_ema"], z, psi, content["latent_avg"])
        assert close(prior(z, truncation=psi).image * 2 - 1, image)
    weights = read_prior(path)
    assert weights is not None
    assert weights.layout == "rosinality's"
    assert options.items() <= weights.options.items()
    assert weights.discriminator is not None
    critic = create_discriminator("stylegan2", **weights.options)
    critic.load_state_dict(dict(weights.discriminator))
    for n in (1, 4, 8):
        images = torch.rand(n, 3, max(widths), max(widths))
        assert close(critic(images), their_logits(content["d"], images * 2 - 1))
    counts = check_weights("stylegan2", weights, "file")
    buffers = ("kernel", "noise_")
    kept = [
        sum(v.numel() for k, v in content[name].items() if not any(b in k for b in buffers))
        for name in ("g_ema", "d")
    ]
    assert counts == tuple(kept)


@torch.no_grad()
def test_older_and_bare_checkpoints_are_read(tmp_path: Path) -> None:
    state = checkpoint()["g_ema"]
    # 2019: biases as maps, no stored noise; saved without a wrapper, from several GPUs.
    old = {
        f"module.{key}": value.view(1, -1, 1, 1) if key.endswith("activate.bias") else value
        for key, value in state.items()
        if not key.startswith("noises.")
    }
    prior: Any = ug.create_prior("stylegan2", weights=written(old, tmp_path / "old.pt"))
    drawn = StyleGAN2Generator(32, 6, 2, base_size=8, channels=UNEVEN).noises
    theirs = {**state, **{f"noises.noise_{i}": drawn[i] for i in range(7)}}
    z = torch.randn(1, 6)
    assert close(prior(z).image * 2 - 1, their_image(theirs, z, 1.0, torch.zeros(6)))
    with pytest.raises(ConfigError, match="mean_latent"):
        prior(z, truncation=0.5)

    content = {**checkpoint(), "latent_avg": torch.ones(8, 6) * torch.arange(6)}
    again: Any = ug.create_prior("stylegan2", weights=written(content, tmp_path / "rows.pt"))
    assert torch.equal(again.w_avg, torch.arange(6).float())
    content["latent_avg"][3] += 1
    with pytest.raises(WeightsError, match="mean of w for each layer"):
        read_prior(written(content, tmp_path / "layers.pt"))


@torch.no_grad()
def test_the_name_of_the_file_does_not_matter(tmp_path: Path) -> None:
    content = checkpoint()
    for name in ("network.pkl", "network.safetensors", "network.jpg", "network"):
        found = read_prior(written(content, tmp_path / name))
        assert found is not None
        assert torch.equal(
            found.generator["constant_input.weight"], content["g_ema"]["input.input"]
        )
    torch.save(content, tmp_path / "old", _use_new_zipfile_serialization=False)
    assert read_prior(tmp_path / "old") is not None


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("convs.3.activate.bias", "is incomplete: it lacks 'style_convs.3.activate.bias'"),
        ("convs.3.noise.weight", r"1 keys are missing.*'style_convs\.3\.weight'"),
        ("to_rgbs.1.bias", r"1 keys are missing|noise maps"),
    ],
)
def test_an_incomplete_generator_is_refused(key: str, said: str, tmp_path: Path) -> None:
    content = checkpoint()
    del content["g_ema"][key]
    with pytest.raises(WeightsError, match=said):
        ug.create_prior("stylegan2", weights=written(content, tmp_path / "part.pt"))


def test_a_changed_network_is_refused(tmp_path: Path) -> None:
    content = checkpoint()
    content["g_ema"]["convs.0.conv.blur.kernel"] = torch.ones(4, 4) / 4
    with pytest.raises(WeightsError, match=r"another filter than \(1, 3, 3, 1\)"):
        read_prior(written(content, tmp_path / "box.pt"))
    content = checkpoint()
    content["g_ema"]["attention.weight"] = torch.ones(3)
    with pytest.raises(WeightsError, match=r"1 unknown.*attention\.weight"):
        ug.create_prior("stylegan2", weights=written(content, tmp_path / "more.pt"))


def changed(**changes: Tensor | None) -> State:
    """A discriminator with other tensors, or without some; dots are written as two underscores."""
    state = discriminator_state(UNEVEN)
    given = {key.replace("__", "."): value for key, value in changes.items()}
    return {k: v for k, v in (state | given).items() if v is not None}


OTHER_DISCRIMINATORS: dict[str, tuple[State, str]] = {
    "another resolution": (
        discriminator_state({4: 3, 8: 3}),
        "makes 32 pixels and the discriminator takes 8",
    ),
    "images in pairs": (
        changed(convs__0__0__weight=torch.zeros(5, 6, 1, 1)),
        r"0\.0\.weight' is \(5, 6, 1, 1\) there",
    ),
    "another head": (
        changed(final_linear__1__weight=torch.zeros(7, 9)),
        r"'final_linear\.1\.weight' is \(7, 9\) there",
    ),
    "another layer": (changed(attention__weight=torch.ones(3)), "'attention.weight' is .* unknown"),
    "a lost layer": (changed(final_conv__0__weight=None), r"it lacks 'final_conv\.0\.weight'"),
    "a lost bias": (changed(final_conv__1__bias=None), r"'final_conv\.1\.bias' is missing"),
    "no deviation": (
        changed(final_conv__0__weight=torch.zeros(9, 9, 3, 3)),
        "without minibatch deviation",
    ),
    "another filter": (changed(convs__1__conv2__0__kernel=torch.ones(2, 2)), "another filter"),
    "no numbers": (changed(convs__0__1__bias=torch.full((5,), math.nan)), "no finite numbers"),
}


@pytest.mark.parametrize("case", OTHER_DISCRIMINATORS)
@pytest.mark.parametrize("layout", ["rosinality", "BasicSR"])
def test_a_generator_is_read_whatever_discriminator_lies_beside_it(
    layout: str, case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs, said = OTHER_DISCRIMINATORS[case]
    content: dict[str, Any] = {**checkpoint(), "d": theirs}
    expected = content["g_ema"]["input.input"]
    if layout == "BasicSR":
        state = StyleGAN2Generator(32, 6, 2, base_size=8, channels=UNEVEN).state_dict()
        renamed = {re.sub("^convs", "conv_body", key): value for key, value in theirs.items()}
        content, expected = {"params_ema": state, "d": renamed}, state["constant_input.weight"]
    path = written(content, tmp_path / "both.pt")
    stored = read_prior(path)
    assert stored is not None
    assert stored.discriminator is None
    assert "discriminator" not in stored.options
    assert re.search(rf"left out: .*{said}", stored.facts["discriminator"])
    made: Any = ug.create_prior("stylegan2", weights=path, base_size=8)
    assert torch.equal(made.constant_input.weight, expected)
    assert cli.main(["inspect", str(path)]) == 0
    assert "discriminator: left out: " in capsys.readouterr().out
    if case != "another resolution":  # alone, that is a good one
        with pytest.raises(WeightsError, match=said):
            read_prior(written({"d": content["d"]}, tmp_path / "d.pt"))


def test_two_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    content = checkpoint()
    for case in ("another resolution", "another head", "a lost layer"):
        state, said = OTHER_DISCRIMINATORS[case]
        paths = [written({"g_ema": content["g_ema"]}, tmp_path / "g.pt")]
        paths.append(written({"d": state}, tmp_path / "d.pt"))
        with pytest.raises(WeightsError, match=said):
            recognise_prior([read_checkpoint_file(path) for path in paths])


def test_a_chosen_generator_keeps_the_mean_of_w(tmp_path: Path) -> None:
    content = checkpoint()
    content["g"] = {k: v if k.endswith("kernel") else v + 1 for k, v in content["g_ema"].items()}
    inner = {f"{name}.{k}": v for name in ("g", "g_ema", "d") for k, v in content[name].items()}
    forms = {
        "dictionaries": content,
        "modules": {"state_dict": {**inner, "latent_avg": content["latent_avg"]}},
    }
    for name, form in forms.items():
        path = written(form, tmp_path / f"{name}.pt")
        for key in ("g", "g_ema", None):
            stored = read_prior(path, key=key)
            assert stored is not None
            assert stored.discriminator is not None
            assert torch.equal(stored.generator["w_avg"], content["latent_avg"]), (name, key)
            assert torch.equal(
                stored.generator["constant_input.weight"], content[key or "g_ema"]["input.input"]
            )


# --- BasicSR's layout -----------------------------------------------------------------------------


@torch.no_grad()
def test_basicsr_checkpoints_tell_their_options(golden: Golden, tmp_path: Path) -> None:
    weights, expected = golden("stylegan2_basicsr_64")
    critic_weights, _ = golden("stylegan2_basicsr_64_discriminator")
    g = written({"params_ema": weights, "params": critic_weights}, tmp_path / "g.pth")
    prior: Any = ug.create_prior("stylegan2", weights=g)
    assert close(prior(expected["z"]).image, (expected["image"] + 1) / 2, 1e-4)
    d = written({"params": critic_weights}, tmp_path / "d.pth")
    g = written({"params_ema": weights}, tmp_path / "g.pth")
    found = recognise_prior([read_checkpoint_file(path) for path in (d, g)])
    assert found is not None
    name, both = found
    assert name == "stylegan2"
    assert both.options["narrow"] == 0.125
    write_prior(tmp_path / "prior.safetensors", name, both)
    again = read_prior(tmp_path / "prior.safetensors")
    assert again is not None
    critic = create_discriminator(name, **again.options)
    critic.load_state_dict(dict(again.discriminator or {}))
    image = (expected["image"] + 1) / 2
    assert close(critic(image), expected["discriminator_logits"], 1e-4)


def test_options_may_be_given_and_must_agree(golden: Golden, tmp_path: Path) -> None:
    weights, _ = golden("stylegan2_basicsr_64")
    path = written({"params_ema": weights}, tmp_path / "g.pth")
    prior = ug.create_prior("stylegan2", weights=path, resolution=64, narrow=0.125, base_size=8)
    assert (prior.resolution, prior.base_size) == (64, 8)
    others: dict[str, Any] = {"resolution": 128, "narrow": 0.25, "style_dim": 512}
    for option, value in others.items():
        with pytest.raises(ConfigError, match=rf"'{option}'.* is {value} here and .* leave it out"):
            ug.create_prior("stylegan2", weights=path, **{option: value})


def test_a_discriminator_alone_is_no_prior(golden: Golden, tmp_path: Path) -> None:
    weights, _ = golden("stylegan2_basicsr_64_discriminator")
    path = written(weights, tmp_path / "d.pth")
    with pytest.raises(WeightsError, match="holds a discriminator only"):
        ug.create_prior("stylegan2", weights=path)
    critic = create_discriminator("stylegan2", weights=path)
    assert all(torch.equal(value, weights[key]) for key, value in critic.state_dict().items())
    generator, _ = golden("stylegan2_basicsr_64")
    with pytest.raises(WeightsError, match="holds no discriminator"):
        create_discriminator("stylegan2", weights=written(generator, tmp_path / "g.pth"))


def test_the_result_of_a_training_is_read(tmp_path: Path) -> None:
    options: dict[str, Any] = {"resolution": 16, "style_dim": 4, "num_mlp": 1, "narrow": 1 / 64}
    state = StyleGAN2Generator(**options).state_dict()
    config = ModelConfig(prior=ComponentConfig(name="stylegan2", options=options))
    path = tmp_path / "prior.safetensors"
    write_stage_result(path, StageResult("prior", config, {}, {"network": state}), {})
    prior: Any = ug.create_prior("stylegan2", weights=path)
    assert prior.resolution == 16
    assert all(torch.equal(state[k], v) for k, v in prior.state_dict().items())
