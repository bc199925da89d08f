"""NVIDIA's pickles against the published formulas, written out slowly in float64.

The checkpoints are written here as the original writes them: modules that reduce to
``torch_utils.persistence._reconstruct_persistent_obj`` and a dictionary with their ``__dict__``.
"""

from __future__ import annotations

import json
import math
import pickle
import re
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ugpnet_core as ug
from ugpnet_core import cli
from ugpnet_core.checkpoints.state_dict import read_tensors
from ugpnet_core.errors import WeightsError
from ugpnet_core.model_files.prior import (
    check_weights,
    create_discriminator,
    read_prior,
    write_prior,
)

TRAP = "raise SystemExit('module_src was executed')"
FIR = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64


def close(a: Tensor, b: Tensor, tolerance: float = 1e-5) -> bool:
    assert a.shape == b.shape
    return bool((a - b).abs().max() <= tolerance * b.abs().max())


# --- writing ------------------------------------------------------------------------------------


class Module(nn.Module):
    """A module of theirs: pickled as their decorator does it."""

    def __init__(self, class_name: str, **attributes: Any) -> None:
        super().__init__()
        self._init_args, self._init_kwargs = (), {"anything": np.float64(1)}
        self._class_name = class_name
        for name, value in attributes.items():
            if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
                self.register_buffer(name, value)
            else:
                setattr(self, name, value)

    def __reduce__(self) -> Any:
        state = {key: value for key, value in self.__dict__.items() if key != "_class_name"}
        meta = {
            "type": "class",
            "version": 6,
            "module_src": TRAP,
            "class_name": self._class_name,
            "state": state,
        }
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (meta,), None


@pytest.fixture
def save(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Path]:
    """A function that pickles an object with their module names in place, and takes the names
    away again."""

    def write(content: Any, protocol: int = 4) -> Path:
        persistence, util = types.ModuleType("persistence"), types.ModuleType("util")

        def _reconstruct_persistent_obj(meta: Any) -> None:
            raise AssertionError("called")

        _reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
        _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
        persistence._reconstruct_persistent_obj = _reconstruct_persistent_obj  # type: ignore[attr-defined]
        EasyDict.__module__, EasyDict.__qualname__ = "dnnlib.util", "EasyDict"
        util.EasyDict = EasyDict  # type: ignore[attr-defined]
        with monkeypatch.context() as patched:
            for name, module in (
                ("torch_utils", types.ModuleType("torch_utils")),
                ("torch_utils.persistence", persistence),
                ("dnnlib", types.ModuleType("dnnlib")),
                ("dnnlib.util", util),
            ):
                patched.setitem(sys.modules, name, module)
            (tmp_path / "network.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
        return tmp_path / "network.pkl"

    return write


class EasyDict(dict[str, Any]):
    """As ``dnnlib.util.EasyDict``."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


def draw(*shape: int, scale: float = 1.0, offset: float = 0.0) -> nn.Parameter:
    return nn.Parameter(torch.randn(shape) * scale + offset)


def linear(
    inputs: int, outputs: int, rate: float = 1.0, offset: float = 0.0, activation: str = "lrelu"
) -> Module:
    return Module(
        "FullyConnectedLayer",
        activation=activation,
        weight=draw(outputs, inputs, scale=1 / rate),
        bias=draw(outputs, scale=0.3 / rate, offset=offset),
        weight_gain=rate / np.sqrt(inputs),
        bias_gain=rate,
    )


def synthesis_layer(
    inputs: int, outputs: int, w_dim: int, side: int, up: int, clamp: float | None
) -> Module:
    return Module(
        "SynthesisLayer",
        resolution=side,
        up=up,
        use_noise=True,
        activation="lrelu",
        conv_clamp=clamp,
        resample_filter=FIR.clone(),
        padding=1,
        act_gain=np.sqrt(2),
        affine=linear(w_dim, inputs, offset=1.0),
        weight=draw(outputs, inputs, 3, 3),
        noise_const=torch.randn(side, side),
        noise_strength=draw(scale=0.5),
        bias=draw(outputs, scale=0.5),
    )


def to_rgb(inputs: int, w_dim: int, clamp: float | None) -> Module:
    return Module(
        "ToRGBLayer",
        conv_clamp=clamp,
        affine=linear(w_dim, inputs, offset=1.0),
        weight=draw(3, inputs, 1, 1),
        bias=draw(3, scale=0.5),
        weight_gain=1 / np.sqrt(inputs),
    )


def generator(
    widths: dict[int, int], w_dim: int = 6, layers: int = 2, clamp: float | None = None
) -> Module:
    synthesis = Module("SynthesisNetwork", w_dim=w_dim, img_channels=3, num_fp16_res=1)
    for side, width in widths.items():
        block = Module(
            "SynthesisBlock",
            resolution=side,
            architecture="skip",
            use_fp16=side > 16,
            resample_filter=FIR.clone(),
            num_conv=1 if side == 4 else 2,
        )
        if side == 4:
            block.const = draw(width, 4, 4)
        else:
            before = widths[side // 2]
            block.conv0 = synthesis_layer(before, width, w_dim, side, 2, clamp)
        block.conv1 = synthesis_layer(width, width, w_dim, side, 1, clamp)
        block.torgb = to_rgb(width, w_dim, clamp)
        setattr(synthesis, f"b{side}", block)
    mapping = Module("MappingNetwork", z_dim=w_dim, c_dim=0, w_dim=w_dim, w_avg_beta=0.995)
    for layer in range(layers):
        setattr(mapping, f"fc{layer}", linear(w_dim, w_dim, 0.01))
    mapping.register_buffer("w_avg", torch.randn(w_dim))
    top = Module("Generator", z_dim=w_dim, c_dim=0, img_resolution=max(widths), img_channels=3)
    top.synthesis, top.mapping = synthesis, mapping
    return top


def conv(
    inputs: int, outputs: int, kernel: int, clamp: float | None = None, bias: bool = True
) -> Module:
    layer = Module(
        "Conv2dLayer",
        activation="lrelu" if bias else "linear",
        conv_clamp=clamp,
        weight=draw(outputs, inputs, kernel, kernel),
        bias=draw(outputs, scale=0.3) if bias else None,
        weight_gain=1 / np.sqrt(inputs * kernel**2),
    )
    layer.register_buffer("resample_filter", FIR.clone())
    return layer


def discriminator(
    widths: dict[int, int], clamp: float | None = None, group: int | None = 4
) -> Module:
    top = Module("Discriminator", c_dim=0, img_resolution=max(widths), img_channels=3)
    for side in sorted(widths, reverse=True)[:-1]:
        width, narrower = widths[side], widths[side // 2]
        block = Module("DiscriminatorBlock", resolution=side, architecture="resnet")
        if side == max(widths):
            block.fromrgb = conv(3, width, 1, clamp)
        block.conv0, block.conv1 = conv(width, width, 3, clamp), conv(width, narrower, 3, clamp)
        block.skip = conv(width, narrower, 1, bias=False)
        setattr(top, f"b{side}", block)
    last = Module("DiscriminatorEpilogue", architecture="resnet", resolution=4)
    last.mbstd = Module("MinibatchStdLayer", group_size=group, num_channels=1)
    last.conv = conv(widths[4] + 1, widths[4], 3, clamp)
    last.fc, last.out = linear(16 * widths[4], widths[4]), linear(widths[4], 1, activation="linear")
    top.b4 = last
    return top


# --- the published formulas -----------------------------------------------------------------------


def upfirdn(x: Tensor, up: int, down: int, pad: tuple[int, int], gain: float = 1) -> Tensor:
    n, c, h, w = x.shape
    inserted = x.new_zeros(n, c, h * up, w * up)
    inserted[:, :, ::up, ::up] = x
    padded = F.pad(inserted, (*pad, *pad))
    kernel = (FIR.to(x) * gain).flip(0, 1).expand(c, 1, 4, 4)
    filtered: Tensor = F.conv2d(padded, kernel, groups=c)
    return filtered[:, :, ::down, ::down]


def lrelu(x: Tensor, clamp: float | None, gain: float = 1.0) -> Tensor:
    x = torch.where(x < 0, x * 0.2, x) * math.sqrt(2) * gain
    return x if clamp is None else x.clamp(-clamp * gain, clamp * gain)


def fully(layer: Any, x: Tensor) -> Tensor:
    weight = layer.weight.double() * float(layer.weight_gain)
    y: Tensor = x @ weight.T + layer.bias.double() * layer.bias_gain
    return y


def modulated(layer: Any, x: Tensor, styles: Tensor, demodulate: bool, up: int = 1) -> Tensor:
    """Grouped convolution with weights of each image's own; convolving, not correlating, where
    it enlarges: zeros inserted, a flipped kernel, the filter over it all."""
    n = len(x)
    weight = layer.weight.double()[None] * styles[:, None, :, None, None]
    if demodulate:
        weight = weight * (weight.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    k = weight.shape[-1]
    if up == 2:
        side = x.shape[-1]
        inserted = x.new_zeros(*x.shape[:2], 2 * side - 1, 2 * side - 1)
        inserted[:, :, ::2, ::2] = x
        x = F.pad(inserted, (2, 2, 2, 2))
        weight = weight.flip(3, 4)
    else:
        x = F.pad(x, (k // 2,) * 4)
    grouped = x.reshape(1, -1, *x.shape[2:])
    y = F.conv2d(grouped, weight.reshape(-1, *weight.shape[2:]), groups=n)
    y = y.reshape(n, -1, *y.shape[2:])
    return upfirdn(y, 1, 1, (1, 1), gain=4) if up == 2 else y


def their_ws(network: Any, z: Tensor, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
    x = z.double() * (z.double().square().mean(1, keepdim=True) + 1e-8).rsqrt()
    for name, layer in network.mapping.named_children():
        assert name.startswith("fc")
        x = lrelu(fully(layer, x), None)
    count = 2 * len(list(network.synthesis.children()))
    ws = x[:, None].repeat(1, count, 1)
    average = network.mapping.w_avg.double()
    ws[:, :cutoff] = average + psi * (ws[:, :cutoff] - average)
    return ws


@torch.no_grad()
def their_image(network: Any, ws: Tensor) -> tuple[Tensor, Tensor]:
    """The raw image in about [-1, 1], and the features before the last to-RGB layer."""
    image: Tensor | None = None
    x, index = torch.empty(0), 0
    for block in network.synthesis.children():
        used = iter(ws[:, index:].unbind(1))
        if block.resolution == 4:
            x = block.const.double()[None].expand(len(ws), -1, -1, -1)
        for layer in [block.conv0, block.conv1] if block.resolution > 4 else [block.conv1]:
            styles = fully(layer.affine, next(used))
            x = modulated(layer, x, styles, True, layer.up)
            x = x + (layer.noise_const * layer.noise_strength).double()
            x = lrelu(x + layer.bias.double()[:, None, None], layer.conv_clamp)
        styles = fully(block.torgb.affine, next(used)) * float(block.torgb.weight_gain)
        rgb = modulated(block.torgb, x, styles, False) + block.torgb.bias.double()[:, None, None]
        if block.torgb.conv_clamp is not None:
            rgb = rgb.clamp(-block.torgb.conv_clamp, block.torgb.conv_clamp)
        image = rgb if image is None else upfirdn(image, 2, 1, (2, 1), gain=4) + rgb
        index += block.num_conv
    assert image is not None
    return image, x


@torch.no_grad()
def their_logits(network: Any, image: Tensor) -> Tensor:
    def convolved(layer: Any, x: Tensor, down: int = 1) -> Tensor:
        weight = layer.weight.double() * float(layer.weight_gain)
        k = weight.shape[-1]
        if down == 2:
            x = upfirdn(x, 1, 1, (k // 2 + 1, k // 2 + 1))
            return F.conv2d(x, weight, stride=2)
        return F.conv2d(x, weight, padding=k // 2)

    def activated(layer: Any, x: Tensor, gain: float = 1.0, down: int = 1) -> Tensor:
        y = convolved(layer, x, down) + layer.bias.double()[:, None, None]
        return lrelu(y, layer.conv_clamp, gain)

    half = math.sqrt(0.5)
    x = image
    for block in list(network.children())[:-1]:
        if hasattr(block, "fromrgb"):
            x = activated(block.fromrgb, x)
        beside = convolved(block.skip, x, 2) * half
        x = beside + activated(block.conv1, activated(block.conv0, x), half, 2)
    last = network.b4
    n, c = x.shape[:2]
    group = n if last.mbstd.group_size is None else min(last.mbstd.group_size, n)
    y = x.reshape(group, -1, c, 4, 4)
    y = ((y - y.mean(0)).square().mean(0) + 1e-8).sqrt().mean((1, 2, 3))
    x = torch.cat([x, y.reshape(-1, 1, 1, 1).repeat(group, 1, 4, 4)], 1)
    x = lrelu(fully(last.fc, activated(last.conv, x).flatten(1)), None)
    return fully(last.out, x)


# --- tests ----------------------------------------------------------------------------------------

UNEVEN = {4: 9, 8: 7, 16: 8, 32: 5}
RULE = {4: 16, 8: 16, 16: 16, 32: 16, 64: 8}


def snapshot(seed: int = 0, **settings: Any) -> dict[str, Any]:
    """What their training writes, ``G`` and the augmentation pipe included."""
    torch.manual_seed(seed)
    widths = settings.pop("widths", UNEVEN)
    clamp = settings.pop("clamp", None)
    g = generator(widths, clamp=clamp, **settings)
    return {
        "training_set_kwargs": EasyDict(class_name="x", resolution=32, scale=np.float32(2.5)),
        "G": generator(widths, clamp=clamp, **settings),
        "D": discriminator(settings.pop("d_widths", widths), clamp),
        "G_ema": g,
        "augment_pipe": Module("AugmentPipe", p=torch.tensor(0.2), Hz=np.arange(6.0), s={1, 2}),
    }


@pytest.mark.parametrize(
    ("widths", "clamp", "protocol"),
    [(UNEVEN, None, 2), (RULE, None, 4), (UNEVEN, 0.7, 5), ({4: 6, 8: 5}, 256.0, 4)],
)
@torch.no_grad()
def test_a_pickle_computes_what_the_original_does(
    save: Callable[..., Path], widths: dict[int, int], clamp: float | None, protocol: int
) -> None:
    content = snapshot(widths=widths, clamp=clamp)
    path = save(content, protocol)
    prior: Any = ug.create_prior("stylegan2", weights=path)
    theirs = content["G_ema"]
    z = torch.randn(3, 6)
    for psi, cutoff in ((1.0, None), (0.6, None), (0.4, 3), (0.0, None)):
        ws = their_ws(theirs, z, psi, cutoff)
        image, features = their_image(theirs, ws)
        out = prior(z, truncation=psi, truncation_cutoff=cutoff)
        assert close(out.image * 2 - 1, image)
        assert close(out.features, features)
    ws = torch.randn(2, prior.num_latents, 6)
    assert close(prior.generate(ws).image * 2 - 1, their_image(theirs, ws.double())[0])

    weights = read_prior(path)
    assert weights is not None
    assert weights.layout.startswith("NVIDIA")
    parameters = [sum(p.numel() for p in content[name].parameters()) for name in ("G_ema", "D")]
    assert check_weights("stylegan2", weights, "file") == tuple(parameters)
    critic = create_discriminator("stylegan2", **weights.options)
    critic.load_state_dict(weights.discriminator or {})
    for n in (1, 3, 4, 8):
        images = torch.rand(n, 3, max(widths), max(widths))
        assert close(critic(images), their_logits(content["D"], images.double() * 2 - 1))


@torch.no_grad()
def test_tiny_weights_meet_the_epsilon_of_the_original(save: Callable[..., Path]) -> None:
    content = snapshot()
    for parameter in content["G_ema"].synthesis.parameters():
        parameter.mul_(0.005)
    prior: Any = ug.create_prior("stylegan2", weights=save(content))
    z = torch.randn(2, 6)
    image, _ = their_image(content["G_ema"], their_ws(content["G_ema"], z))
    assert close(prior(z).image * 2 - 1, image, 1e-4)


@torch.no_grad()
def test_a_prior_file_of_it_computes_the_same(save: Callable[..., Path], tmp_path: Path) -> None:
    content = snapshot(clamp=0.7)
    content["D"] = discriminator({4: 8, 8: 6, 16: 5, 32: 4}, 0.9, None)
    path = save(content)
    weights = read_prior(path)
    assert weights is not None
    write_prior(tmp_path / "prior.safetensors", "stylegan2", weights)
    again = read_prior(tmp_path / "prior.safetensors", "stylegan2")
    assert again is not None
    assert json.dumps(again.options) == json.dumps(weights.options)
    prior: Any = ug.create_prior("stylegan2", weights=tmp_path / "prior.safetensors")
    z = torch.randn(2, 6)
    image, _ = their_image(content["G_ema"], their_ws(content["G_ema"], z, 0.5))
    assert close(prior(z, truncation=0.5).image * 2 - 1, image)
    critic = create_discriminator("stylegan2", **again.options)
    critic.load_state_dict(again.discriminator or {})
    images = torch.rand(6, 3, 32, 32)
    assert close(critic(images), their_logits(content["D"], images.double() * 2 - 1))


@torch.no_grad()
def test_layers_frozen_or_without_noise_and_a_bare_network_are_read(
    save: Callable[..., Path],
) -> None:
    content = snapshot()
    frozen = content["D"].b32.conv0
    weight, bias = frozen.weight.data, frozen.bias.data
    del frozen.weight, frozen.bias
    frozen.register_buffer("weight", weight)
    frozen.register_buffer("bias", bias)
    quiet = content["G_ema"].synthesis.b16.conv0
    del quiet.noise_const, quiet.noise_strength
    weights = read_prior(save(content))
    assert weights is not None
    assert weights.discriminator is not None
    assert torch.equal(weights.discriminator["conv_body.1.conv1.0.weight"], weight)
    prior: Any = ug.create_prior("stylegan2", weights=save(content["G_ema"]))
    quiet.noise_const, quiet.noise_strength = torch.zeros(()), torch.zeros(())
    z = torch.randn(1, 6)
    image, _ = their_image(content["G_ema"], their_ws(content["G_ema"], z))
    assert close(prior(z).image * 2 - 1, image)


def test_the_source_text_inside_is_never_executed(save: Callable[..., Path]) -> None:
    assert TRAP in save(snapshot()).read_bytes().decode("latin-1")
    assert read_prior(save(snapshot())) is not None  # SystemExit otherwise


def conditional(content: dict[str, Any]) -> None:
    content["G_ema"].c_dim = 10
    content["G_ema"].mapping.embed = linear(10, 6)


def orig(content: dict[str, Any]) -> None:
    for block in content["D"].children():
        block.architecture = "orig"


def resnet(content: dict[str, Any]) -> None:
    content["G_ema"].synthesis.b8.architecture = "resnet"


def swish(content: dict[str, Any]) -> None:
    content["G_ema"].synthesis.b8.conv0.activation = "swish"


def grey(content: dict[str, Any]) -> None:
    content["D"].img_channels = 1


def box(content: dict[str, Any]) -> None:
    content["D"].b8.conv1.resample_filter = torch.full((2, 2), 0.25)


def rate(content: dict[str, Any]) -> None:
    content["G_ema"].mapping.fc0.bias_gain = np.float64(1.0)


def narrower(content: dict[str, Any]) -> None:
    content["G_ema"].mapping.fc0 = linear(4, 6, 0.01)


def uneven_clamp(content: dict[str, Any]) -> None:
    content["G_ema"].synthesis.b8.conv0.conv_clamp = 3.0


def alias_free(content: dict[str, Any]) -> None:
    content["G_ema"].synthesis.input = Module("SynthesisInput", freqs=torch.ones(3, 2))


def no_deviation(content: dict[str, Any]) -> None:
    content["D"].b4.mbstd = None


def lost(content: dict[str, Any]) -> None:
    del content["G_ema"].synthesis.b16


def relu(content: dict[str, Any]) -> None:
    content["D"].b8.conv0.activation = "relu"


def labelled(content: dict[str, Any]) -> None:
    content["D"].c_dim = 10
    content["D"].mapping = Module("MappingNetwork", embed=linear(10, 6))


def another_layer(content: dict[str, Any]) -> None:
    content["D"].b8.attention = linear(3, 3)


def pairs_of_images(content: dict[str, Any]) -> None:
    content["D"].b32.fromrgb.weight = torch.nn.Parameter(torch.ones(5, 6, 1, 1))


def clamps(content: dict[str, Any]) -> None:
    content["D"].b8.conv0.conv_clamp = 3.0


def no_number(content: dict[str, Any]) -> None:
    content["D"].b4.out.weight.data.fill_(math.inf)


def smaller(content: dict[str, Any]) -> None:
    content["D"] = discriminator({4: 4, 8: 4}, None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (orig, "discriminator of architecture 'orig'"),
        (no_deviation, "without minibatch deviation"),
        (grey, "1 colour channels"),
        (box, "another filter"),
        (relu, "'relu'"),
        (labelled, "is conditional (10 classes"),
        (another_layer, "has 'b8.attention.weight'"),
        (pairs_of_images, "is (5, 6, 1, 1) there"),
        (clamps, "clamps its layers differently"),
        (no_number, "no finite numbers"),
        (smaller, "makes 32 pixels and the discriminator takes 8"),
    ],
)
def test_a_discriminator_of_another_architecture_is_left_out(
    save: Callable[..., Path], change: Callable[[dict[str, Any]], None], said: str
) -> None:
    """As in the published networks for CIFAR-10."""
    content = snapshot()
    change(content)
    path = save(content)
    stored = read_prior(path)
    assert stored is not None
    assert stored.discriminator is None
    assert said in stored.facts["discriminator"]
    assert "discriminator" not in stored.options
    prior: Any = ug.create_prior("stylegan2", weights=path)
    z = torch.randn(1, 6)
    image, _ = their_image(content["G_ema"], their_ws(content["G_ema"], z))
    assert close(prior(z).image * 2 - 1, image)
    if change is not smaller:  # alone, that is a good one
        with pytest.raises(WeightsError, match=re.escape(said)):
            read_prior(save({"D": content["D"]}))


def test_another_generator_of_the_file_is_chosen_by_key(save: Callable[..., Path]) -> None:
    content = snapshot()
    path = save(content)
    for key in ("G", "G_ema"):
        stored = read_prior(path, key=key)
        assert stored is not None
        assert torch.equal(
            stored.generator["constant_input.weight"][0], content[key].synthesis.b4.const
        )
        assert stored.discriminator is not None
    alone = read_prior(path, key="D")
    assert alone is not None
    assert not alone.generator


class Network:
    """Stands for ``dnnlib.tflib.network.Network``, whose pickles hold a program."""

    __module__ = "dnnlib.tflib.network"


def test_a_pickle_of_tensorflow_says_what_to_run_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = types.ModuleType("dnnlib.tflib.network")
    vars(module)["Network"] = Network
    for name in ("dnnlib", "dnnlib.tflib"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "dnnlib.tflib.network", module)
    path = tmp_path / "stylegan2 ffhq.pkl"
    path.write_bytes(pickle.dumps((Network(), Network(), Network())))
    said = rf"TensorFlow .*python legacy\.py --source='{path}' --dest='.*-pytorch\.pkl'"
    with pytest.raises(WeightsError, match=said):
        read_prior(path)
    for command in (
        ["inspect", str(path)],
        ["convert", str(path), str(tmp_path / "o.safetensors")],
    ):
        assert cli.main(command) == 1
        assert "python legacy.py" in capsys.readouterr().err
    # Who expects another network is told alike.
    for read in (
        lambda: read_tensors(path),
        lambda: ug.load_model(path),
        lambda: ug.create_backbone("nafnet", weights=path),
    ):
        with pytest.raises(WeightsError, match=said):
            read()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (conditional, "is conditional .10 classes or labels.*cond=0"),
        (resnet, "generator of architecture 'resnet'"),
        (swish, "'swish'"),
        (rate, "learning rate multiplier 1.0"),
        (narrower, "maps 4 numbers to 6"),
        (uneven_clamp, "clamps its layers differently"),
        (alias_free, "StyleGAN3"),
        (lost, "noise maps do not fit|incomplete"),
    ],
)
def test_what_cannot_be_read_says_why(
    save: Callable[..., Path], change: Callable[[dict[str, Any]], None], said: str
) -> None:
    content = snapshot()
    change(content)
    with pytest.raises(WeightsError, match=said):
        read_prior(save(content))
