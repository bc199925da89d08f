"""Networks of spandrel, from checkpoints with random weights, against spandrel itself."""

from __future__ import annotations

import copy
import json
import os
import pickle
import sys
import types
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from spandrel import Architecture, ArchRegistry, ArchSupport, ImageModelDescriptor, StateDict
from spandrel.util import KeyCondition, store_hyperparameters
from torch import Tensor, nn

import ugpnet_core as ug
from ugpnet_backbones.spandrel.architectures import build, networks, registry
from ugpnet_core.config import TrainConfig
from ugpnet_core.errors import ConfigError, DependencyError, PluginError, WeightsError
from ugpnet_core.networks.ugpnet import build_model
from ugpnet_core.protocols import Backbone
from ugpnet_core.wrapping.wrapper import WrappedBackbone

WINDOWS = {"depths": [2, 2], "num_heads": [2, 2], "window_size": 8, "img_size": 64}
# Architecture: arguments, kinds, channels of a direct backbone, and what images must be
# multiples of.
TINY: dict[str, tuple[dict[str, Any], str, int, int]] = {
    "ESRGAN:RRDBNet": ({"num_filters": 8, "num_blocks": 1, "scale": 4}, "direct", 8, 2),
    "SPAN:SPAN": (
        {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 8, "upscale": 2},
        "direct",
        8,
        1,
    ),
    "OmniSR:OmniSR": ({"num_feat": 16, "up_scale": 2}, "direct", 16, 16),
    "DRUNet:DRUNet": ({"in_nc": 4, "out_nc": 3, "nc": [8] * 4, "nb": 2}, "direct", 8, 8),
    "Compact:SRVGGNetCompact": ({"num_feat": 8, "num_conv": 2, "upscale": 2}, "direct", 11, 1),
    "SwinIR:SwinIR": (
        {**WINDOWS, "embed_dim": 12, "upscale": 2, "upsampler": "pixelshuffle"},
        "direct",
        67,
        16,
    ),
    "RealCUGAN:UpCunet2x": ({}, "direct", 67, 32),
    "CRAFT:CRAFT": (
        {"embed_dim": 12, "depths": [2], "num_heads": [2], "upscale": 2},
        "direct",
        15,
        16,
    ),
    "RCAN:RCAN": (
        {"scale": 2, "n_resgroups": 1, "n_resblocks": 1, "n_feats": 16},
        "direct",
        19,
        1,
    ),
    "PLKSR:RealPLKSR": ({"dim": 8, "n_blocks": 1, "upscaling_factor": 2}, "direct", 11, 1),
    "DnCNN:DnCNN": ({"in_nc": 3, "out_nc": 3, "nc": 8, "nb": 4}, "direct", 11, 1),
    "NAFNet:NAFNet": (
        {"width": 4, "middle_blk_num": 1, "enc_blk_nums": [1, 1], "dec_blk_nums": [1, 1]},
        "both",
        7,
        4,
    ),
    "FFTformer:FFTformer": (
        {"dim": 8, "num_blocks": [1, 1, 1], "num_refinement_blocks": 1},
        "both",
        11,
        32,
    ),
}
if find_spec("spandrel_extra_arches"):
    TINY["Restormer:Restormer"] = (
        {"dim": 8, "num_blocks": [1] * 4, "num_refinement_blocks": 1, "heads": [1] * 4},
        "both",
        19,
        8,
    )
    TINY["MPRNet:MPRNet"] = (
        {"n_feat": 8, "scale_unetfeats": 4, "scale_orsnetfeats": 4, "num_cab": 1},
        "both",
        15,
        8,
    )
CASES = [
    (name, kind)
    for name, (_, kinds, _, _) in TINY.items()
    for kind in (("direct", "residual") if kinds == "both" else ("direct",))
]


def state_of(name: str, arguments: dict[str, Any] | None = None) -> dict[str, Tensor]:
    """A state dict in which nothing is zero that hides a part of the network."""
    torch.manual_seed(0)
    network = build(name, TINY[name][0] if arguments is None else arguments)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() < 2 or not parameter.any():
                parameter.add_(0.05 * torch.randn_like(parameter))
    return dict(network.state_dict())


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[..., str]:
    """A function that writes a checkpoint of a tiny network."""

    def write(name: str, arguments: dict[str, Any] | None = None) -> str:
        path = tmp_path / "checkpoint.pth"
        torch.save({"params": state_of(name, arguments)}, path)
        return str(path)

    return write


def made(**options: Any) -> WrappedBackbone:
    backbone = ug.create_backbone("spandrel", **options)
    assert isinstance(backbone, WrappedBackbone)
    assert isinstance(backbone, Backbone)
    return backbone.eval()


# --- against spandrel -----------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "kind"), CASES)
@torch.no_grad()
def test_images_are_spandrels(name: str, kind: str, checkpoint: Callable[..., str]) -> None:
    _, _, channels, multiple = TINY[name]
    if kind == "residual":
        channels -= 3
    path = checkpoint(name)
    backbone = made(checkpoint=path, kind=kind)
    published = registry().load(torch.load(path)["params"])
    assert (backbone.kind, backbone.scale) == (kind, published.scale)
    assert (backbone.feature_channels, backbone.size_multiple) == (channels, multiple)
    side = multiple if multiple > 8 else 24
    x = torch.rand(1, 3, side, side + multiple)
    kept = x.clone()
    f = backbone.forward_features(x)
    scale = backbone.scale
    assert f.shape == (1, channels, side * scale, (side + multiple) * scale)
    assert torch.equal(x, kept)
    restored = backbone(x)
    torch.testing.assert_close(restored.clamp(0, 1), published(x.clone()), rtol=1e-3, atol=1e-4)
    assert backbone(x[..., :13, :9]).shape == (1, 3, 13 * scale, 9 * scale)
    # And from what a model file keeps.
    options = json.loads(json.dumps(backbone.rebuild_options))
    assert "checkpoint" not in options
    again = made(**options)
    assert again.rebuild_options == backbone.rebuild_options
    again.load_state_dict(backbone.state_dict())
    assert torch.equal(again(x), restored)
    for other in (copy.deepcopy(backbone), pickle.loads(pickle.dumps(backbone))):
        assert torch.equal(other(x), restored)


@pytest.mark.parametrize("name", ["ESRGAN:RRDBNet", "Compact:SRVGGNetCompact", "NAFNet:NAFNet"])
def test_gradients_reach_every_parameter(name: str, checkpoint: Callable[..., str]) -> None:
    backbone = made(checkpoint=checkpoint(name)).train()
    backbone(torch.rand(2, 3, 16, 16)).square().sum().backward()
    for key, parameter in backbone.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().max() > 0, key


@torch.no_grad()
def test_a_residual_that_spandrel_gets_from_another_layer_is_refused(
    checkpoint: Callable[..., str],
) -> None:
    scale1 = {"num_filters": 8, "num_blocks": 1, "scale": 1}
    with pytest.raises(PluginError, match=r"ESRGAN makes its image itself.*kind='direct'"):
        made(checkpoint=checkpoint("ESRGAN:RRDBNet", scale1), kind="residual")
    with pytest.raises(PluginError, match=r"Compact cannot be used as a residual.*not added to x"):
        made(checkpoint=checkpoint("Compact:SRVGGNetCompact"), kind="residual")
    with pytest.raises(PluginError, match="PLKSR cannot be used as a direct backbone: No layer of"):
        made(checkpoint=checkpoint("PLKSR:RealPLKSR"), carry_remainder=False)


@torch.no_grad()
def test_squares_of_one_size(checkpoint: Callable[..., str]) -> None:
    arguments = {"embed_dim": 2, "depths": [1] * 9, "num_heads": [1] * 9, "img_size": 128}
    backbone = made(checkpoint=checkpoint("Uformer:Uformer", arguments), fixed_size=128)
    assert (backbone.fixed_size, backbone.size_multiple) == (128, 1)
    assert backbone(torch.rand(1, 3, 100, 90)).shape == (1, 3, 100, 90)


@torch.no_grad()
def test_what_is_found_can_be_said(checkpoint: Callable[..., str]) -> None:
    path = checkpoint("Compact:SRVGGNetCompact")
    found = made(checkpoint=path)
    said = made(checkpoint=path, last_layer="body.6", pixel_shuffle=2, carry_remainder=True)
    x = torch.rand(1, 3, 8, 8)
    assert torch.equal(found.forward_features(x), said.forward_features(x))
    assert made(checkpoint=path, size_multiple=4).size_multiple == 4
    with pytest.raises(ConfigError, match=r"has no layer 'bdoy\.6'; did you mean body"):
        made(checkpoint=path, last_layer="bdoy.6")


def test_an_untrained_network_reads_published_weights(tmp_path: Path) -> None:
    name = "ESRGAN:RRDBNet"
    state = state_of(name)
    save_file(state, tmp_path / "published.safetensors")
    options = {"architecture": "ESRGAN", "arguments": TINY[name][0]}
    backbone = made(**options, weights=tmp_path / "published.safetensors")
    other = made(checkpoint=str(tmp_path / "published.safetensors"))
    x = torch.rand(1, 3, 8, 8)
    assert torch.equal(backbone(x), other(x))
    assert backbone.state_dict().keys() == state.keys()


def test_without_values_the_same_is_found() -> None:
    options = {"architecture": "NAFNet", "arguments": TINY["NAFNet:NAFNet"][0]}
    with torch.device("meta"):
        backbone = made(**options)
    assert next(backbone.parameters()).is_meta
    assert backbone.rebuild_options == made(**options).rebuild_options
    assert backbone.feature_channels == 7


@pytest.mark.parametrize("wrapper", ["params_ema", "params-ema", "state_dict", "net", None])
def test_wrapped_checkpoints_are_unwrapped(wrapper: str | None, tmp_path: Path) -> None:
    state = state_of("ESRGAN:RRDBNet")
    torch.save({wrapper: state} if wrapper else state, tmp_path / "wrapped.pth")
    backbone = made(checkpoint=str(tmp_path / "wrapped.pth"))
    assert all(torch.equal(value, state[key]) for key, value in backbone.state_dict().items())


# --- model files ----------------------------------------------------------------------------------


def model_file(
    training_config: Callable[..., TrainConfig], path: Path, options: dict[str, Any]
) -> tuple[nn.Module, Path]:
    config = training_config(
        model__backbone={"name": "spandrel", "options": options}, data__resolution=32
    )
    model = build_model(config.model)
    ug.save_model(model, path / "model.safetensors")
    return model.eval(), path / "model.safetensors"


@pytest.mark.parametrize(("name", "kind"), [("DnCNN:DnCNN", "direct"), ("NAFNet:NAFNet", "both")])
def test_a_model_file_does_not_need_the_checkpoint(
    name: str,
    kind: str,
    training_config: Callable[..., TrainConfig],
    checkpoint: Callable[..., str],
    tmp_path: Path,
) -> None:
    path = checkpoint(name)
    options = {"checkpoint": path, "kind": "residual" if kind == "both" else kind}
    model, saved = model_file(training_config, tmp_path, options)
    Path(path).unlink()
    loaded = ug.load_model(saved)
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        for one, other in zip(model(x), loaded(x), strict=True):
            assert torch.equal(one, other)
    with safe_open(saved, framework="pt") as file:
        assert path not in file.metadata()["config"]


FORBIDDEN = [
    "os:system",
    "os.system",
    "subprocess:Popen",
    "builtins:eval",
    "spandrel.x:os.system",
    "spandrel.architectures.ESRGAN:RRDBNet",
    "torch.nn:Linear",
    "ESRGAN:os",
    "ESRGAN:nn",
    "ESRGAN:ESRGANArch",
    "ESRGAN:RRDBNet.forward",
    "ESRGAN:RRDBNet.__init__.__globals__",
    "ESRGAN:__class__",
    "ESRGAN:SwinIR",
    "NAFNet:LayerNorm2d",
    "PLKSR",  # it has two networks
    "",
]


@pytest.mark.parametrize("name", FORBIDDEN)
def test_only_networks_of_spandrel_can_be_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Any] = []
    monkeypatch.setattr(os, "system", called.append)
    modules = set(sys.modules)
    with pytest.raises(ConfigError, match="spandrel has no network"):
        ug.create_backbone("spandrel", architecture=name, arguments={"command": "true"})
    assert not called
    assert set(sys.modules) - modules == set()


def test_every_network_that_can_be_named_is_one_of_spandrels() -> None:
    for architecture, classes in networks().items():
        assert classes, architecture
        for made_of in classes.values():
            assert issubclass(made_of, nn.Module)
            assert made_of.__module__.split(".")[0] in ("spandrel", "spandrel_extra_arches")


def test_a_strangers_model_file_names_nothing_else(
    training_config: Callable[..., TrainConfig], checkpoint: Callable[..., str], tmp_path: Path
) -> None:
    options = {"checkpoint": checkpoint("DnCNN:DnCNN")}
    _, saved = model_file(training_config, tmp_path, options)
    with safe_open(saved, framework="pt") as file:
        metadata = file.metadata()
    changed = metadata["config"].replace("DnCNN:DnCNN", "subprocess:Popen")
    assert changed != metadata["config"]
    save_file(load_file(saved), saved, {**metadata, "config": changed})
    with pytest.raises(ConfigError, match="no network 'subprocess:Popen'"):
        ug.load_model(saved)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "checkpoint=PATH, or an architecture="),
        ({"checkpoint": "x.pth", "architecture": "ESRGAN"}, "checkpoint=PATH, or an"),
        ({"checkpoint": "x.pth", "arguments": {"scale": 2}}, "read from the checkpoint"),
        ({"architecture": "ESRGAN", "arguments": {"in_nc": 3, "sclae": 2}}, "'sclae'"),
        ({"architecture": "ESRGAN", "arguments": {"in_nc": object()}}, "arguments"),
        ({"architecture": "ESRGN"}, "some are ESRGAN:RRDBNet"),
        ({"checkpoint": "x.pth", "kind": "both"}, "kind"),
        ({"architecture": "ESRGAN", "size_multiple": 0}, "size_multiple"),
    ],
)
def test_impossible_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ug.create_backbone("spandrel", **options)


# --- checkpoints of something else ----------------------------------------------------------------


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_checkpoints_are_not_unpickled(tmp_path: Path) -> None:
    torch.save({"params": Bomb(tmp_path / "exploded")}, tmp_path / "bomb.pth")
    with pytest.raises(WeightsError):
        made(checkpoint=str(tmp_path / "bomb.pth"))
    assert not (tmp_path / "exploded").exists()
    with pytest.raises(WeightsError, match=r"missing\.pth"):
        made(checkpoint=str(tmp_path / "missing.pth"))


def test_an_unknown_network_is_described(tmp_path: Path) -> None:
    path = tmp_path / "classifier.pth"
    torch.save(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 10)).state_dict(), path)
    with pytest.raises(WeightsError, match="no network that spandrel recognises; it looks like no"):
        made(checkpoint=str(path))
    torch.save({"sam12.conv1.weight": torch.zeros(4, 4, 3, 3)}, path)
    with pytest.raises(WeightsError, match=r"looks like HINet \(backbone 'hinet'\)"):
        made(checkpoint=str(path))
    torch.save({"conv_first.weight": torch.zeros(4)} | state_of("SPAN:SPAN"), path)
    with pytest.raises(WeightsError, match="that spandrel cannot build"):
        made(checkpoint=str(path))


def test_networks_for_other_purposes_are_refused(tmp_path: Path, checkpoint: Any) -> None:
    grey = {"in_nc": 1, "out_nc": 1, "num_filters": 4, "num_blocks": 1}
    with pytest.raises(WeightsError, match=r"\(ESRGAN\) maps 1 channels to 1; .* RGB"):
        made(checkpoint=checkpoint("ESRGAN:RRDBNet", grey))
    with pytest.raises(WeightsError, match=r"ESRGAN \(ESRGAN\) maps 1 channels"):
        made(architecture="ESRGAN", arguments=grey)
    # Its network is too large for a test; what spandrel says of it is not.
    from ugpnet_backbones.spandrel.architectures import check_purpose

    masked = types.SimpleNamespace(architecture=types.SimpleNamespace(name="LaMa"))
    with pytest.raises(WeightsError, match=r"fills masked regions \(LaMa\)"):
        check_purpose(masked, "lama.pth")


def test_without_spandrel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(DependencyError, match="pip install spandrel"):
        ug.create_backbone("spandrel", architecture="ESRGAN")


# --- architectures beyond spandrel's --------------------------------------------------------------


@store_hyperparameters()
class Toy(nn.Module):
    hyperparameters: dict[str, Any] = {}  # noqa: RUF012 (spandrel asks for it)

    def __init__(self, *, width: int = 4, act: Callable[[Tensor], Tensor] = F.relu) -> None:
        super().__init__()
        self.act = act
        self.toy_first = nn.Conv2d(3, width, 3, padding=1)
        self.toy_last = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.toy_last(self.act(self.toy_first(x)))
        return x + y


class ToyArch(Architecture[Toy]):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(id="Toy", detect=KeyCondition.has_all("toy_first.weight"))

    def load(self, state_dict: StateDict) -> ImageModelDescriptor[Toy]:
        return ImageModelDescriptor(
            Toy(width=len(state_dict["toy_first.weight"])),
            state_dict,
            architecture=self,
            purpose="Restoration",
            tags=[],
            supports_half=True,
            supports_bfloat16=True,
            scale=1,
            input_channels=3,
            output_channels=3,
        )


@pytest.fixture
def extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with one more architecture, under the name of the one that has them."""
    package = types.ModuleType("spandrel_extra_arches")
    more = ArchRegistry()
    more.add(ArchSupport.from_architecture(ToyArch()))
    package.EXTRA_REGISTRY = more  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "spandrel_extra_arches", package)
    inner = types.ModuleType(f"{__name__}.network")
    inner.Toy = Toy  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, inner.__name__, inner)
    monkeypatch.setattr(Toy, "__module__", inner.__name__)


@torch.no_grad()
def test_extra_architectures_are_used_where_installed(extra: None, tmp_path: Path) -> None:
    toy = Toy(width=5)
    torch.save(toy.state_dict(), tmp_path / "toy.pth")
    backbone = made(checkpoint=str(tmp_path / "toy.pth"), kind="residual")
    x = torch.rand(1, 3, 7, 8)
    torch.testing.assert_close(backbone(x), toy(x))
    # Its activation function is no JSON, and its default.
    assert backbone.rebuild_options is not None
    assert backbone.rebuild_options["architecture"] == "Toy:Toy"
    assert backbone.rebuild_options["arguments"] == {"width": 5}
    assert made(**backbone.rebuild_options).feature_channels == 5


def test_what_a_model_file_cannot_keep_is_refused(extra: None, tmp_path: Path) -> None:
    from ugpnet_backbones.spandrel.architectures import arguments_of

    with pytest.raises(PluginError, match="Argument 'act' of Toy cannot be kept"):
        arguments_of(Toy(act=torch.tanh))
    with pytest.raises(PluginError, match="does not record the arguments of Conv2d"):
        arguments_of(nn.Conv2d(3, 3, 1))


def test_without_the_extra_architectures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "spandrel_extra_arches", None)
    key = "encoder_level1.0.attn.qkv_dwconv.weight"
    torch.save({key: torch.zeros(4, 3, 3, 3)}, tmp_path / "restormer.pth")
    with pytest.raises(WeightsError, match="Restormer; pip install spandrel_extra_arches"):
        made(checkpoint=str(tmp_path / "restormer.pth"))
