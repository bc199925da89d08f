"""Networks that know nothing of this project, made backbones by naming their last layer."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from safetensors.torch import save_file
from torch import Tensor, nn

import ugpnet_core as ug
from ugpnet_core.checkpoints.state_dict import load_weights
from ugpnet_core.config import RestorationStageConfig, TrainConfig
from ugpnet_core.errors import ConfigError, PluginError, WeightsError
from ugpnet_core.networks.ugpnet import build_model
from ugpnet_core.plugins import BackboneEntry, Installed, Options, registry
from ugpnet_core.training.context import TrainingContext
from ugpnet_core.training.data import Pair
from ugpnet_core.training.restoration import RestorationStage
from ugpnet_core.wrapping.wrapper import WrappedBackbone

Kind = Literal["direct", "residual"]

# --- the foreign networks -------------------------------------------------------------------------


class Plain(nn.Module):
    """Image, or image plus residual, from a map of any number of channels."""

    def __init__(self, channels: int = 6, adds: bool = False) -> None:
        super().__init__()
        self.adds = adds
        self.first = nn.Conv2d(3, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.conv_last = nn.Conv2d(channels, 3, 3, padding=1)

    def features(self, x: Tensor) -> Tensor:
        return F.gelu(self.norm(self.first(x)))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv_last(self.features(x))
        return x + y if self.adds else y


class Half(Plain):
    """Features at half the resolution of the output."""

    def __init__(self, adds: bool = False) -> None:
        super().__init__(8, adds)
        self.first = nn.Conv2d(3, 8, 4, stride=2, padding=1)
        self.conv_last = nn.Sequential(  # type: ignore[assignment]
            nn.Conv2d(8, 12, 3, padding=1), nn.PixelShuffle(2)
        )


class Shuffled(Half):
    """Features at half the resolution of the output, and of the size of the input."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)


class Output(NamedTuple):
    mask: Tensor
    image: Tensor


class Several(Plain):
    """Two outputs, of which the second is the image."""

    def __init__(self, adds: bool = False) -> None:
        super().__init__(6, adds)
        self.mask = nn.Conv2d(6, 1, 1)

    def forward(self, x: Tensor) -> Output:  # type: ignore[override]
        f = self.features(x)
        y = self.conv_last(f)
        return Output(self.mask(f).sigmoid(), x + y if self.adds else y)


class Multiple64(Plain):
    """Only sizes that are multiples of 64."""

    def features(self, x: Tensor) -> Tensor:
        rows, columns = x.shape[2] // 64, x.shape[3] // 64
        blocks = x.reshape(len(x), 3, rows, 64, columns, 64).mean((3, 5))
        coarse = blocks.repeat_interleave(64, 2).repeat_interleave(64, 3)
        return super().features(x - coarse)


class FixedSize(Plain):
    """Not fully convolutional: every pixel of 32x32 has parameters of its own."""

    def __init__(self, adds: bool = False) -> None:
        super().__init__(6, adds)
        self.position = nn.Parameter(torch.randn(1, 6, 32, 32))
        self.rows = nn.Linear(32, 32)

    def features(self, x: Tensor) -> Tensor:
        return super().features(self.rows(x)) + self.position


CASES: dict[str, tuple[Callable[[bool], nn.Module], dict[str, Any], int]] = {
    "half": (Half, {"size_multiple": 2}, 8),
    "several": (Several, {"output": 1}, 6),
    "by name": (Several, {"output": "image"}, 6),
    "multiple of 64": (lambda adds: Multiple64(6, adds), {"size_multiple": 64}, 6),
    "1 channel": (lambda adds: Plain(1, adds), {}, 1),
    "48 channels": (lambda adds: Plain(48, adds), {}, 48),
    "96 channels": (lambda adds: Plain(96, adds), {}, 96),
    "fixed size": (FixedSize, {"fixed_size": 32}, 6),
}


class ForeignOptions(Options):
    case: str = "half"
    kind: Literal["direct", "residual"] = "direct"
    adds: bool = False


def foreign(case: str, kind: Kind, adds: bool) -> WrappedBackbone:
    """What the factory of a third-party plugin would be."""
    make, arguments, _ = CASES[case]
    return ug.wrap_backbone(make(adds), "conv_last", kind=kind, **arguments)


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = BackboneEntry(
        name="foreign",
        description="a network of someone else",
        factory=f"{__name__}:foreign",
        kind="direct",
        feature_channels=None,
        options=ForeignOptions,
    )
    backbones = cast(dict[str, Installed[BackboneEntry]], registry().backbones)
    monkeypatch.setitem(backbones, "foreign", Installed(entry, "third-party", "1.0"))


# --- as backbones ---------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    ("kind", "adds"), [("direct", False), ("residual", False), ("residual", True)]
)
@torch.no_grad()
def test_the_network_gives_its_own_image(case: str, kind: Kind, adds: bool) -> None:
    torch.manual_seed(0)
    make, arguments, channels = CASES[case]
    network = make(adds).eval()
    backbone = ug.wrap_backbone(network, "conv_last", kind=kind, **arguments)
    assert (backbone.feature_channels, backbone.scale, backbone.kind) == (channels, 1, kind)
    side = arguments.get("fixed_size") or 64
    x = torch.rand(2, 3, side, side)
    own = network(x)
    image = own if isinstance(own, Tensor) else own[1]
    f = backbone.forward_features(x)
    assert f.shape == (2, channels, side, side)
    expected = image if kind == "direct" or adds else x + image
    added = backbone.head(f) if kind == "direct" else x + backbone.head(f)
    torch.testing.assert_close(added, expected)
    torch.testing.assert_close(backbone(x), expected)
    # Smaller images are padded and cropped.
    assert backbone(x[..., :13, :9]).shape == (2, 3, 13, 9)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", ["direct", "residual"])
def test_trained_saved_and_loaded(
    case: str,
    kind: Kind,
    plugin: None,
    training_config: Callable[..., TrainConfig],
    tmp_path: Path,
) -> None:
    options = {"case": case, "kind": kind, "adds": kind == "residual"}
    config = training_config(model__backbone={"name": "foreign", "options": options})
    torch.manual_seed(0)
    context = TrainingContext(config, build_model(config.model), Accelerator())
    settings = RestorationStageConfig(iterations=2, learning_rate=1e-3)
    stage = RestorationStage(context, settings)
    before = copy.deepcopy(context.model.restoration.state_dict())
    for step in range(2):
        stage.update([Pair(torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32))], step)
    after = context.model.restoration.state_dict()
    assert not torch.equal(before["backbone.first.weight"], after["backbone.first.weight"])
    ug.save_model(context.model, tmp_path / "model.safetensors")
    loaded = ug.load_model(tmp_path / "model.safetensors")
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        for one, other in zip(context.model.eval()(x), loaded(x), strict=True):
            assert torch.equal(one, other)


@torch.no_grad()
def test_features_at_half_resolution_are_repeated_and_taken_back() -> None:
    network = Half().eval()
    backbone = ug.wrap_backbone(network, "conv_last", size_multiple=2)
    x = torch.rand(1, 3, 10, 14)
    small = network.features(x)
    f = backbone.forward_features(x)
    for row in range(2):
        for column in range(2):
            assert torch.equal(f[..., row::2, column::2], small)
    assert torch.equal(backbone.head(f), network(x))


@torch.no_grad()
def test_a_transposed_convolution_enlarges() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1), nn.ConvTranspose2d(5, 3, 4, stride=4), nn.Tanh()
    )
    backbone = ug.wrap_backbone(network, "1", after=torch.tanh, scale=4)
    assert (backbone.scale, backbone.feature_channels) == (4, 5)
    x = torch.rand(1, 3, 5, 6)
    assert torch.equal(backbone(x), network(x))
    assert backbone.forward_features(x).shape == (1, 5, 20, 24)
    with pytest.raises(PluginError, match="enlarges 4 times, not 2"):
        ug.wrap_backbone(network, "1", after=torch.tanh, scale=2)


class AddsEnlarged(nn.Module):
    """Adds an enlarged input, and clamps: the last layer alone does not give the image."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 7, 3, padding=1)
        self.tail = nn.Conv2d(7, 12, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        added = F.pixel_shuffle(self.tail(F.relu(self.body(x))), 2)
        return (F.interpolate(x, scale_factor=2, mode="bilinear") + added).clamp(0, 1)


def test_what_the_last_layer_leaves_out_is_carried_along() -> None:
    network = AddsEnlarged()
    with pytest.raises(PluginError, match="carry_remainder=True"):
        ug.wrap_backbone(network, "tail", after=nn.PixelShuffle(2))
    with pytest.raises(PluginError, match="carry_remainder=True"):
        ug.wrap_backbone(network)
    for last_layer, after in (("tail", nn.PixelShuffle(2)), (None, None)):
        backbone = ug.wrap_backbone(network, last_layer, after=after, carry_remainder=True)
        assert (backbone.feature_channels, backbone.scale) == (10, 2)
        x = torch.rand(2, 3, 7, 8)
        f = backbone.forward_features(x)
        torch.testing.assert_close(backbone.head(f), network(x))
        torch.testing.assert_close(f[:, :7, ::2, ::2], F.relu(network.body(x)))
        backbone(x).square().sum().backward()
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())


# --- finding the last layer -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "kind", "expected"),
    [
        (Plain(), "direct", "conv_last"),
        (Plain(adds=True), "residual", "conv_last"),
        (Shuffled(), "direct", "conv_last"),
        (nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.ReLU(), nn.Conv2d(4, 3, 1))), 0, "1.1"),
        (nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 3, 1), nn.Identity()), 0, "1"),
    ],
)
def test_the_last_layer_is_found(network: nn.Module, kind: Any, expected: str) -> None:
    found = ug.wrap_backbone(network, kind=kind or "direct")
    assert found.last_layer == expected


def test_no_last_layer_is_found_where_none_gives_the_image() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 3, 1), nn.Tanh())
    with pytest.raises(PluginError, match="No layer of Sequential gives its image by itself"):
        ug.wrap_backbone(network)
    with pytest.raises(PluginError, match="No layer of Sequential gives an image;"):
        ug.wrap_backbone(nn.Sequential(nn.Tanh(), nn.BatchNorm2d(3)))


def test_without_values_a_named_layer_is_believed() -> None:
    with torch.device("meta"):
        network = Plain()
    backbone = ug.wrap_backbone(network, "conv_last", kind="residual")
    assert (backbone.feature_channels, backbone.scale) == (6, 1)
    with pytest.raises(PluginError, match=r"cannot be found .*meta"):
        ug.wrap_backbone(network)


# --- what is wrong is said ------------------------------------------------------------------------


class Fails(Plain):
    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("out of luck")


class OtherArguments(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.conv_last = nn.Bilinear(6, 6, 3)  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        f = self.features(x).movedim(1, -1)
        y: Tensor = self.conv_last(f, f)
        return y.movedim(-1, 1)


class Tokens(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.conv_last = nn.Linear(6, 3)  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv_last(self.features(x).flatten(2).mT)
        return y.mT.reshape(x.shape)


@pytest.mark.parametrize(
    ("network", "arguments", "message"),
    [
        (Plain(adds=True), {}, "is x plus what layer 'conv_last' gives: declare kind='residual'"),
        (Half(), {}, "makes 16x18 pixels of 17x18, .*; give size_multiple=2"),
        (Shuffled(), {"last_layer": "conv_last.0"}, r"name 'conv_last' instead, give .* after="),
        (Plain(), {"last_layer": "first"}, r"follows layer 'first', which gives \(6, 17, 18\)"),
        (nn.Sequential(Plain(), nn.Tanh()), {"last_layer": "0.conv_last"}, "give what follows"),
        (Several(), {}, r"with 'mask': \(2, 1, 17, 18\), .*; say with output="),
        (Several(), {"output": 5}, r"no image at output=5; it returns a Output with"),
        (Several(), {"output": "imgae"}, "no image at output='imgae'"),
        (Several(), {"output": "mask"}, r"makes \(2, 1, 17, 18\) of images"),
        (Plain(), {"output": 0}, "returns one tensor; leave output= out"),
        (Multiple64(), {}, "fails on images of 17x18 .*; give size_multiple=64"),
        (Multiple64(), {"size_multiple": 16}, "fails on images of 16x32 .* size_multiple=64"),
        (FixedSize(), {}, "fails on images of 17x18 .*; give fixed_size=32"),
        (FixedSize(), {"fixed_size": 24}, "fails on images of 24x24 .*; give fixed_size=32"),
        (Fails(), {}, "fails on images of .*out of luck"),
        (Several(), {"output": 1, "last_layer": "mask"}, "follows layer 'mask'"),
        (OtherArguments(), {}, "gets .* where one map"),
        (Tokens(), {}, r"gets \(2, 306, 6\) where one map"),
        (
            nn.Sequential(Plain(), nn.PixelUnshuffle(2)),
            {"last_layer": "0.norm", "size_multiple": 2},
            "no image",
        ),
        (AddsEnlarged(), {"last_layer": "tail", "kind": "residual"}, "declare kind='direct'"),
    ],
)
def test_defects_are_named(network: nn.Module, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        ug.wrap_backbone(network, **{"last_layer": "conv_last", **arguments})


def test_a_layer_that_is_never_called() -> None:
    network = Plain()
    network.unused = nn.Conv2d(6, 3, 1)
    with pytest.raises(PluginError, match="never calls its layer 'unused'"):
        ug.wrap_backbone(network, "unused")


def test_a_layer_that_does_not_exist() -> None:
    with pytest.raises(ConfigError, match="no layer 'conv_lsat'; did you mean conv_last"):
        ug.wrap_backbone(Plain(), "conv_lsat")
    with pytest.raises(ConfigError, match="ends with first, norm, conv_last"):
        ug.wrap_backbone(Plain(), "")


@pytest.mark.parametrize(
    "arguments",
    [
        {"kind": "both"},
        {"size_multiple": 0},
        {"fixed_size": 0},
        {"carry_remainder": True, "kind": "residual"},
        {"last_layer": None, "after": torch.tanh},
    ],
)
def test_impossible_arguments(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        ug.wrap_backbone(Plain(), **{"last_layer": "conv_last", **arguments})
    with pytest.raises(ConfigError, match=r"no torch\.nn\.Module"):
        ug.wrap_backbone(lambda x: x, "conv_last")  # type: ignore[arg-type]


# --- nothing is left behind -----------------------------------------------------------------------


def hooks(network: nn.Module) -> int:
    return sum(len(m._forward_pre_hooks) + len(m._forward_hooks) for m in network.modules())


@pytest.mark.parametrize("last_layer", ["conv_last", None])
def test_wrapping_changes_nothing(last_layer: str | None) -> None:
    network = Plain().train()
    network.norm.eval()
    before = copy.deepcopy(network.state_dict())
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    backbone = ug.wrap_backbone(network, last_layer)
    assert torch.equal(torch.rand(1), expected)
    assert network.training
    assert not network.norm.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    backbone(torch.rand(1, 3, 8, 8)).sum().backward()
    assert hooks(network) == 0


def test_no_hook_stays_where_the_network_fails() -> None:
    backbone = ug.wrap_backbone(FixedSize(), "conv_last", fixed_size=32)
    with pytest.raises(RuntimeError):
        backbone.forward_features(torch.rand(1, 3, 8, 8))
    assert hooks(backbone) == 0


def test_copies_and_pickles() -> None:
    backbone = ug.wrap_backbone(
        nn.Sequential(Shuffled(), nn.Tanh()),
        "0.conv_last.0",
        after=nn.Sequential(nn.PixelShuffle(2), nn.Tanh()),
    ).eval()
    x = torch.rand(1, 3, 8, 8)
    for other in (copy.deepcopy(backbone), pickle.loads(pickle.dumps(backbone))):
        assert torch.equal(other(x), backbone(x))
        with torch.no_grad():
            next(other.network.parameters()).zero_()
        assert not torch.equal(other(x), backbone(x))


@torch.no_grad()
def test_threads_do_not_see_each_others_maps() -> None:
    backbone = ug.wrap_backbone(Plain(), "conv_last").eval()
    images = [torch.rand(1, 3, 16 + 2 * i, 16) for i in range(8)]
    alone = [backbone.forward_features(x) for x in images]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            together = list(pool.map(backbone.forward_features, images))
            assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_a_last_layer_that_changes_its_input_in_place() -> None:
    tail = nn.Sequential(nn.LeakyReLU(0.2, inplace=True), nn.Conv2d(5, 3, 3, padding=1))
    network = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), tail).eval()
    backbone = ug.wrap_backbone(network, "1")
    x = torch.rand(1, 3, 8, 8)
    f = backbone.forward_features(x)
    before = f.clone()
    torch.testing.assert_close(backbone.head(f), network(x))
    assert torch.equal(f, before)
    assert (f < 0).any()


class ChangesItsInput(Plain):
    def forward(self, x: Tensor) -> Tensor:
        x *= 255
        return super().forward(x)


@torch.no_grad()
def test_a_network_that_changes_its_input_in_place() -> None:
    network = ChangesItsInput(adds=True).eval()
    x = torch.rand(1, 3, 8, 8)
    before = x.clone()
    backbone = ug.wrap_backbone(network, "conv_last", after=nn.Identity(), carry_remainder=True)
    assert backbone.forward_features(x).shape == (1, 9, 8, 8)
    assert torch.equal(x, before)
    torch.testing.assert_close(backbone(x), network(before.clone()))


class Padded(nn.Module):
    """Pads by itself what enters a convolution that does not."""

    def __init__(self, mode: str, width: int) -> None:
        super().__init__()
        self.mode, self.width = mode, width
        self.first = nn.Conv2d(3, 4, 1)
        self.last = nn.Conv2d(4, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(F.pad(self.first(x), (self.width,) * 4, mode=self.mode))
        return y[..., self.width - 1 : y.shape[2] - self.width + 1, self.width - 1 :][
            ..., : x.shape[3]
        ]


@pytest.mark.parametrize("mode", ["reflect", "replicate", "constant"])
@pytest.mark.parametrize("width", [1, 2])
@torch.no_grad()
def test_a_last_layer_that_does_not_pad(mode: str, width: int) -> None:
    network = Padded(mode, width)
    x = torch.rand(1, 3, 8, 9)
    for last_layer in ("last", None):
        backbone = ug.wrap_backbone(network, last_layer)
        assert backbone.last_layer == "last"
        torch.testing.assert_close(backbone(x), network(x))
        assert torch.equal(backbone.forward_features(x), network.first(x))


class AlwaysPads(Padded):
    """Pads at the right and below, and cuts that off at the end."""

    def __init__(self) -> None:
        super().__init__("reflect", 0)
        self.last = nn.Conv2d(4, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(F.pad(self.first(x), (0, 5, 0, 5)))
        return y[..., :-5, :-5]


@torch.no_grad()
def test_what_the_network_cuts_off_is_no_feature() -> None:
    network = AlwaysPads()
    x = torch.rand(1, 3, 8, 9)
    for last_layer in ("last", None):
        backbone = ug.wrap_backbone(network, last_layer)
        torch.testing.assert_close(backbone(x), network(x))
        assert torch.equal(backbone.forward_features(x), network.first(x))


def test_a_last_layer_whose_padding_is_unknown() -> None:
    network = Padded("circular", 1)
    with pytest.raises(PluginError, match="carry_remainder=True"):
        ug.wrap_backbone(network, "last")
    backbone = ug.wrap_backbone(network, "last", carry_remainder=True)
    x = torch.rand(1, 3, 8, 9)
    torch.testing.assert_close(backbone(x), network(x))


class Repeats(nn.Module):
    """Calls its last layer twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.last = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(self.first(x))
        return self.last(self.first(y))  # type: ignore[no-any-return]


def test_the_last_call_counts() -> None:
    network = Repeats()
    x = torch.rand(1, 3, 8, 8)
    assert torch.equal(ug.wrap_backbone(network, "last")(x), network(x))


# --- its weights ----------------------------------------------------------------------------------


def test_the_networks_own_checkpoint_is_read(tmp_path: Path) -> None:
    trained = Plain()
    save_file(trained.state_dict(), tmp_path / "trained.safetensors")
    backbone = ug.wrap_backbone(Plain(), "conv_last")
    assert backbone.state_dict().keys() == trained.state_dict().keys()
    load_weights(backbone, tmp_path / "trained.safetensors")
    x = torch.rand(1, 3, 8, 8)
    assert torch.equal(backbone.eval()(x), trained.eval()(x))
    save_file(Plain(5).state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(WeightsError):
        load_weights(backbone, tmp_path / "other.safetensors")
    with pytest.raises(RuntimeError, match="Unexpected"):
        backbone.load_state_dict({**trained.state_dict(), "more": torch.zeros(1)})


def test_weights_of_what_follows_are_kept() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 3, 1), nn.BatchNorm2d(3))
    backbone = ug.wrap_backbone(network, "1", after=network[2])
    other = copy.deepcopy(backbone)
    shared = other.get_submodule("network.2")
    assert other.after_last_layer is shared
    with torch.no_grad():
        other.get_parameter("network.2.bias").fill_(2)
    backbone.load_state_dict(other.state_dict())
    assert torch.equal(backbone.get_parameter("network.2.bias"), torch.full((3,), 2.0))
