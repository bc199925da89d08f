"""Adapters, synthesis module, fusion module and UGPNet, with tiny networks of known behaviour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ugpnet_core.config import ComponentConfig, ModelConfig, TaskConfig
from ugpnet_core.errors import ConfigError, PluginError, SizeError
from ugpnet_core.networks.fusion import FusionModule
from ugpnet_core.networks.restoration import (
    DirectAdapter,
    PlainAdapter,
    ResidualAdapter,
    restoration_module,
)
from ugpnet_core.networks.synthesis import EncoderBlock, SynthesisModule, encoder_widths
from ugpnet_core.networks.ugpnet import UGPNet, build_model
from ugpnet_core.protocols import Prior, PriorOutput

SIZES = [(1, 1), (2, 3), (25, 25), (33, 51), (16, 8)]


def close(a: Tensor, b: Tensor, tolerance: float = 1e-5) -> bool:
    assert a.shape == b.shape
    return bool((a - b).abs().max() <= tolerance * b.abs().max())


class FakeBackbone(nn.Module):
    """Remembers its input. Its features are the enlarged pixels and a convolution of them; its
    head blurs, so that a pixel of x_reg depends on features around it."""

    def __init__(
        self, kind: Literal["direct", "residual"] = "direct", scale: int = 1, multiple: int = 1
    ) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.kind, self.scale, self.size_multiple = kind, scale, multiple
        self.feature_channels = 8
        self.body = nn.Conv2d(3, 5, 3, padding=1)
        self.last = nn.Conv2d(8, 3, 3, padding=1)
        self.seen = torch.empty(0)

    def forward_features(self, x: Tensor) -> Tensor:
        assert x.shape[2] % self.size_multiple == 0
        assert x.shape[3] % self.size_multiple == 0
        self.seen = x
        large = x.repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3)
        return torch.cat([large, self.body(large)], 1)

    def head(self, f: Tensor) -> Tensor:
        image: Tensor = self.last(f)
        return image


class FakePrior(nn.Module):
    """A prior of any sizes: the base code, enlarged, and the styles, added to every pixel."""

    def __init__(self, resolution: int, base_size: int, base_channels: int = 8) -> None:
        super().__init__()
        self.resolution, self.base_size, self.base_channels = resolution, base_size, base_channels
        self.num_styles, self.style_dim, self.feature_channels = 3, 5, 4
        self.base = nn.Conv2d(base_channels, 4, 1)
        self.style = nn.Linear(15, 4)
        self.rgb = nn.Conv2d(4, 3, 1)

    def synthesize(self, base: Tensor, styles: Tensor) -> PriorOutput:
        features = self.base(base) + self.style(styles.flatten(1))[:, :, None, None]
        features = F.interpolate(features, scale_factor=self.resolution // self.base_size)
        return PriorOutput(self.rgb(features), features)


def tiny_config(task: str = "denoise", resolution: int = 32, **others: Any) -> ModelConfig:
    nafnet = {"width": 4, "middle_blk_num": 1, "enc_blk_nums": [1], "dec_blk_nums": [1]}
    stylegan2 = {
        "resolution": resolution,
        "style_dim": 8,
        "num_mlp": 1,
        "narrow": 1 / 64,
        "base_size": 8,
    }
    return ModelConfig(
        backbone=ComponentConfig(name="nafnet", options=nafnet),
        prior=ComponentConfig(name="stylegan2", options=stylegan2),
        task=TaskConfig(name=task),
        **{"merging_channels": 6, "fusion_blocks": 2, **others},
    )


def randomised(module: nn.Module) -> nn.Module:
    """Away from initial values that are zero, which would hide mistakes."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module.eval()


def tiny_model(task: str = "denoise", **others: Any) -> UGPNet:
    model = build_model(tiny_config(task, **others))
    randomised(model)
    return model


def unreached(module: nn.Module) -> set[str]:
    """Parameters without a gradient."""
    named = module.named_parameters()
    return {name for name, p in named if p.grad is None or not p.grad.abs().max() > 0}


# --- adapters -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("scale", "multiple"), [(1, 1), (1, 4), (2, 8)])
@torch.no_grad()
def test_direct_adapter_pads_by_reflection_and_crops_image_and_features(
    size: tuple[int, int], scale: int, multiple: int
) -> None:
    backbone = FakeBackbone(scale=scale, multiple=multiple)
    adapter = restoration_module(backbone)
    assert isinstance(adapter, DirectAdapter)
    x = torch.rand(2, 3, *size)
    out = adapter(x)
    more = [(0, 0), (0, 0), (0, -size[0] % multiple), (0, -size[1] % multiple)]
    padded = torch.from_numpy(np.pad(x.numpy(), more, mode="reflect"))
    assert torch.equal(backbone.seen, padded)
    features = backbone.forward_features(padded)
    height, width = size[0] * scale, size[1] * scale
    assert torch.equal(out.features, features[..., :height, :width])
    assert torch.equal(out.image, backbone.head(features)[..., :height, :width])
    assert adapter.feature_channels == 8


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("multiple", [1, 8])
@torch.no_grad()
def test_residual_adapter_adds_in_the_feature_domain(size: tuple[int, int], multiple: int) -> None:
    backbone = FakeBackbone("residual", multiple=multiple)
    adapter = restoration_module(backbone, merging_channels=6)
    assert isinstance(adapter, ResidualAdapter)
    assert adapter.feature_channels == 6
    state = adapter.state_dict()

    def convolved(x: Tensor, name: str) -> Tensor:
        y = F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=1)
        return torch.where(y > 0, y, 0.2 * y)

    x = torch.rand(2, 3, *size)
    out = adapter(x)
    features = backbone.forward_features(backbone.seen)[..., : size[0], : size[1]]
    structure = x
    for layer in range(3):
        structure = convolved(structure, f"structure_encoder.conv.{layer}")
    expected = features + structure
    for block in range(2):
        for layer in range(3):
            expected = convolved(expected, f"merging.blocks.{block}.conv.{layer}")
    assert close(out.features, expected)
    assert close(out.image, convolved(expected, "merging.to_image"))
    assert state["structure_encoder.conv.2.weight"].shape == (8, 8, 3, 3)
    assert torch.allclose(adapter(x[1:]).image, out.image[1:], atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("enlarge", [1, 2])
@torch.no_grad()
def test_skip_adapter_adds_the_degraded_image_to_what_is_merged(
    size: tuple[int, int], enlarge: int
) -> None:
    backbone = FakeBackbone("residual", multiple=4)
    merging = restoration_module(backbone, 6, enlarge)
    adapter = restoration_module(backbone, 6, enlarge, adapter="skip")
    assert isinstance(adapter, ResidualAdapter)
    assert adapter.feature_channels == 6
    adapter.load_state_dict(merging.state_dict())
    x = torch.rand(2, 3, *size)
    out, without = adapter(x), merging(x)
    assert torch.equal(out.features, without.features)
    # The paper's ToImage ends in LeakyReLU(0.2), which can be undone; skip has none.
    made = torch.where(without.image > 0, without.image, without.image / 0.2)
    large = backbone.seen[..., : size[0] * enlarge, : size[1] * enlarge]
    assert torch.allclose(out.image, large + made, atol=1e-6)
    adapter.merging.to_image.weight.zero_()
    adapter.merging.to_image.bias.zero_()  # type: ignore[union-attr]
    assert torch.equal(adapter(x).image, large)
    if enlarge == 1:
        assert torch.equal(large, x)


def test_skip_adapter_leaves_direct_backbones_alone() -> None:
    assert isinstance(restoration_module(FakeBackbone("direct"), adapter="skip"), DirectAdapter)
    with pytest.raises(PluginError, match="its scale must be 1"):
        restoration_module(FakeBackbone("residual", scale=2), adapter="skip")


@pytest.mark.parametrize("size", SIZES)
def test_plain_adapter_adds_in_the_image_domain(size: tuple[int, int]) -> None:
    backbone = FakeBackbone("residual", multiple=4)
    adapter = restoration_module(backbone, adapter="plain")
    assert isinstance(adapter, PlainAdapter)
    assert adapter.feature_channels == backbone.feature_channels
    x = torch.rand(2, 3, *size)
    image, features, _ = adapter(x)
    height, width = size
    whole = backbone.forward_features(backbone.seen)
    assert torch.equal(features, whole[..., :height, :width])
    assert torch.equal(image, x + backbone.head(whole)[..., :height, :width])
    assert {name.split(".")[0] for name, _ in adapter.named_parameters()} == {"backbone"}


def test_plain_adapter_leaves_direct_backbones_alone() -> None:
    assert isinstance(restoration_module(FakeBackbone("direct"), adapter="plain"), DirectAdapter)
    with pytest.raises(PluginError, match="its scale must be 1"):
        restoration_module(FakeBackbone("residual", scale=2), adapter="plain")


@pytest.mark.parametrize("kind", ["direct", "residual"])
@pytest.mark.parametrize("form", ["merging", "skip"])
def test_gradients_reach_backbone_and_adapter(
    kind: Literal["direct", "residual"], form: Literal["merging", "skip"]
) -> None:
    adapter = restoration_module(FakeBackbone(kind, multiple=4), 4, adapter=form)
    out = adapter(torch.rand(2, 3, 6, 7))
    out.image.square().sum().backward()
    # The residual head is what the merging network replaces.
    head = {"backbone.last.weight", "backbone.last.bias"}
    assert unreached(adapter) == (head if kind == "residual" else set())


@pytest.mark.parametrize("kind", ["direct", "residual"])
@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 4, 8, 8), (1, 3, 0, 8), (0, 3, 8, 8)])
def test_what_is_no_image_is_refused(
    kind: Literal["direct", "residual"], shape: tuple[int, ...]
) -> None:
    for enlarge in (1, 8):
        with pytest.raises(SizeError, match=r"\(N, 3, H, W\)"):
            restoration_module(FakeBackbone(kind), 4, enlarge)(torch.zeros(shape))


def test_a_backbone_that_breaks_its_promises_is_a_plugin_error() -> None:
    x = torch.rand(1, 3, 8, 8)
    for kind in ("direct", "residual"):
        liar = FakeBackbone(kind)
        liar.feature_channels = 7
        with pytest.raises(PluginError, match=r"FakeBackbone\.forward_features.*\(1, 7, 8, 8\)"):
            restoration_module(liar)(x)
    smaller: Any = FakeBackbone()
    smaller.forward_features = lambda x: torch.zeros(1, 8, 4, 4)
    with pytest.raises(PluginError, match=r"\(1, 8, 4, 4\).*\(1, 8, 8, 8\)"):
        restoration_module(smaller)(x)
    grey: Any = FakeBackbone()
    grey.last = nn.Conv2d(8, 1, 1)
    with pytest.raises(PluginError, match=r"FakeBackbone\.head returned \(1, 1, 8, 8\)"):
        restoration_module(grey)(x)


def test_what_is_no_backbone_is_a_plugin_error() -> None:
    not_one: Any = nn.Conv2d(3, 3, 1)
    with pytest.raises(PluginError, match="Conv2d is no backbone: it lacks kind, feature_channels"):
        restoration_module(not_one)
    other_kind: Any = FakeBackbone()
    other_kind.kind = "both"
    with pytest.raises(PluginError, match="'both'; make it 'direct' or 'residual'"):
        restoration_module(other_kind)

    class Plain:
        kind, feature_channels, scale, size_multiple = "direct", 3, 1, 1
        forward_features = head = abs

    plain: Any = Plain()
    with pytest.raises(PluginError, match=r"Plain is no torch\.nn\.Module"):
        restoration_module(plain)
    with pytest.raises(PluginError, match="scale must be 1, not 2"):
        restoration_module(FakeBackbone("residual", scale=2))


# --- super-resolution -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["direct", "residual"])
@torch.no_grad()
def test_a_backbone_of_scale_1_gets_the_enlarged_input(kind: Literal["direct", "residual"]) -> None:
    backbone = FakeBackbone(kind)
    model = UGPNet(tiny_config("sr8"), backbone, FakePrior(32, 8), 8)
    x = torch.rand(2, 3, 4, 4)
    out = model.eval()(x)
    assert out.image.shape == out.regression.shape == out.synthesis.shape == (2, 3, 32, 32)
    for image, seen in zip(x, backbone.seen, strict=True):
        # OpenCV's bicubic has the same kernel (a = -0.75).
        large = cv2.resize(image.permute(1, 2, 0).numpy(), (32, 32), interpolation=cv2.INTER_CUBIC)
        assert torch.allclose(seen.permute(1, 2, 0), torch.from_numpy(large), atol=1e-5)


@torch.no_grad()
def test_a_direct_backbone_of_scale_8_sees_the_degraded_image() -> None:
    backbone = FakeBackbone(scale=8, multiple=2)
    model = UGPNet(tiny_config("sr8"), backbone, FakePrior(48, 6), 8).eval()
    x = torch.rand(1, 3, 6, 6)
    assert model(x).image.shape == (1, 3, 48, 48)
    assert torch.equal(backbone.seen, x)
    with pytest.raises(SizeError, match=r"\(N, 3, 6, 6\)"):
        model(torch.rand(1, 3, 48, 48))


def test_scales_that_do_not_fit_are_refused() -> None:
    prior = FakePrior(32, 8)
    with pytest.raises(ConfigError, match="enlarges 2 times and task 'sr8' needs 8"):
        UGPNet(tiny_config("sr8"), FakeBackbone(scale=2), prior, 8)
    with pytest.raises(ConfigError, match="enlarges 8 times and task 'denoise' needs 1"):
        UGPNet(tiny_config(), FakeBackbone(scale=8), prior, 1)
    with pytest.raises(ConfigError, match="36 is no multiple of the scale 8"):
        UGPNet(tiny_config("sr8"), FakeBackbone(), FakePrior(36, 9), 8)
    with pytest.raises(PluginError, match="declare it direct"):
        UGPNet(tiny_config("sr8"), FakeBackbone("residual", scale=8), prior, 8)


# --- synthesis ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resolution", "base_size", "base_channels", "widths"),
    [
        (512, 16, 512, [16, 32, 64, 128, 256, 512]),  # Tab. S.1
        (1024, 16, 512, [16, 32, 64, 128, 256, 512, 512]),
        (512, 32, 512, [16, 32, 64, 128, 256]),
        (128, 16, 128, [16, 32, 64, 128]),
        (32, 16, 512, [16, 32]),
        (64, 8, 20, [16, 20, 20, 20]),
    ],
)
def test_encoder_widths_follow_the_papers_rule(
    resolution: int, base_size: int, base_channels: int, widths: list[int]
) -> None:
    assert encoder_widths(FakePrior(resolution, base_size, base_channels)) == widths


def reference_code(module: SynthesisModule, x: Tensor) -> tuple[Tensor, Tensor]:
    """Base code and styles by Tab. S.1, in evaluation mode."""
    state, prior = module.state_dict(), module.generator

    def conv(x: Tensor, name: str, **options: int) -> Tensor:
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], **options)

    blocks = len(module.encoder.downblocks)
    for block in range(blocks):
        if x.shape[-1] == 2 * prior.base_size:
            style_map = x
        for layer in range(3):
            name = f"encoder.downblocks.{block}"
            x = conv(x, f"{name}.conv.{layer}", padding=1)
            mean, var = (state[f"{name}.bn.{layer}.running_{s}"] for s in ("mean", "var"))
            x = (x - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
            x = x * state[f"{name}.bn.{layer}.weight"][:, None, None]
            x = x + state[f"{name}.bn.{layer}.bias"][:, None, None]
            x = torch.where(x > 0, x, 0.2 * x)
        if block < blocks - 1:
            n, c, h, w = x.shape
            x = x.reshape(n, c, h // 2, 2, w // 2, 2).mean((3, 5))
    layer = 0
    while f"map2style.convs.{layer}.weight" in state:
        style_map = conv(style_map, f"map2style.convs.{layer}", stride=2, padding=1)
        style_map = torch.where(style_map > 0, style_map, 0.01 * style_map)
        layer += 2
    assert style_map.shape[2:] == (1, 1)
    styles = [
        style_map[:, :, 0, 0] @ state[f"map2style.linear.{i}.weight"].T
        + state[f"map2style.linear.{i}.bias"]
        for i in range(prior.num_styles)
    ]
    return conv(x, "encoder.conv1x1"), torch.stack(styles, 1)


@pytest.mark.parametrize(
    ("resolution", "base_size", "encoder_channels"),
    [(32, 16, None), (64, 16, None), (64, 8, [2, 3, 5, 4]), (48, 6, None), (24, 12, [4, 3])],
)
@torch.no_grad()
def test_encoder_and_map2style_follow_the_table(
    resolution: int, base_size: int, encoder_channels: Sequence[int] | None
) -> None:
    module = SynthesisModule(FakePrior(resolution, base_size), encoder_channels, 6)
    randomised(module)
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(0.1 * torch.randn_like(buffer))
        if name.endswith("running_var"):
            buffer.copy_(0.5 + torch.rand_like(buffer))
    x = torch.rand(2, 3, resolution, resolution)
    base, styles = reference_code(module, x)
    code = module.encode(x)
    assert close(code.base, base)
    assert close(code.styles, styles)
    assert code.base.shape == (2, 8, base_size, base_size)
    assert code.styles.shape == (2, 3, 5)
    assert close(module(x).features, module.generator.synthesize(base, styles).features)


@pytest.mark.parametrize("norm", ["group", "none"])
@torch.no_grad()
def test_a_norm_of_single_images_makes_training_like_evaluation(
    norm: Literal["group", "none"],
) -> None:
    def module(norm: Literal["batch", "group", "none"]) -> SynthesisModule:
        torch.manual_seed(0)
        return SynthesisModule(FakePrior(32, 8), [3, 16, 4], encoder_norm=norm)

    x = torch.rand(4, 3, 32, 32)

    def depends_on_the_batch(one: SynthesisModule) -> bool:
        together, alone = one.train().encode(x), one.encode(x[2:3])
        return not (close(together.base[2:3], alone.base, 1e-4))

    ours = module(norm)
    assert not depends_on_the_batch(ours)
    assert depends_on_the_batch(module("batch"))
    trained = ours.train().encode(x)
    assert close(trained.base, ours.eval().encode(x).base)
    assert close(trained.styles, ours.encode(x).styles)
    assert not list(ours.encoder.buffers())


@torch.no_grad()
def test_group_norm_is_over_groups_of_8_channels_or_over_all() -> None:
    for channels, groups in ((16, 2), (8, 1), (12, 1), (3, 1)):
        block = EncoderBlock(5, channels, "group")
        x = torch.rand(2, 5, 6, 7)
        first = F.conv2d(x, block.conv[0].weight, block.conv[0].bias, padding=1)  # type: ignore[arg-type]
        grouped = first.reshape(2, groups, -1)
        spread = grouped.var(-1, unbiased=False, keepdim=True) + 1e-5
        expected = (grouped - grouped.mean(-1, keepdim=True)) / spread.sqrt()
        assert close(block.bn[0](first), expected.reshape_as(first), 1e-4)


@pytest.mark.parametrize("norm", ["group", "none"])
def test_gradients_reach_an_encoder_of_any_norm(norm: Literal["group", "none"]) -> None:
    module = SynthesisModule(FakePrior(32, 8), encoder_norm=norm)
    randomised(module)
    out = module(torch.rand(2, 3, 32, 32))
    (out.image.square().sum() + out.features.square().sum()).backward()
    assert unreached(module) == set()


def test_map2style_is_as_wide_as_a_style_by_default() -> None:
    assert SynthesisModule(FakePrior(32, 8)).map2style.convs[0].out_channels == 5
    assert SynthesisModule(FakePrior(32, 8), None, 9).map2style.convs[0].out_channels == 9


@pytest.mark.parametrize(("resolution", "base_size"), [(16, 16), (16, 32), (100, 16), (48, 16)])
def test_a_base_size_that_halving_never_reaches_is_refused(resolution: int, base_size: int) -> None:
    with pytest.raises(ConfigError, match=rf"halves {resolution} pixels until {base_size}"):
        SynthesisModule(FakePrior(resolution, base_size))


@pytest.mark.parametrize("widths", [[], [4, 4], [4, 4, 4, 4]])
def test_a_wrong_number_of_encoder_widths_is_refused(widths: list[int]) -> None:
    with pytest.raises(ConfigError, match=rf"has {len(widths)} widths.*takes 3"):
        SynthesisModule(FakePrior(32, 8), widths)


def test_a_prior_that_is_no_module_is_a_plugin_error() -> None:
    class Plain:
        resolution, base_size, base_channels = 32, 8, 4

    plain: Any = Plain()
    with pytest.raises(PluginError, match=r"Plain is no torch\.nn\.Module"):
        SynthesisModule(plain)


def test_gradients_reach_encoder_map2style_and_prior() -> None:
    module = SynthesisModule(FakePrior(32, 8))
    randomised(module)
    out = module(torch.rand(2, 3, 32, 32))
    (out.image.square().sum() + out.features.square().sum()).backward()
    assert unreached(module) == set()


# --- fusion ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("width", [None, 5, 7])
@torch.no_grad()
def test_fusion_follows_equation_1(size: tuple[int, int], width: int | None) -> None:
    module = FusionModule(5, 4, width, blocks=3)
    state = module.state_dict()
    f_reg, f_syn = torch.randn(2, 5, *size), torch.randn(2, 4, *size)

    def conv(x: Tensor, name: str, padding: int = 1) -> Tensor:
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=padding)

    x = conv(f_syn, "conv") + (conv(f_reg, "project", 0) if width == 7 else f_reg)
    for block in range(3):
        y = conv(conv(x, f"body.{block}.body.0").clamp(min=0), f"body.{block}.body.2")
        x = (x + y).clamp(min=0)
    x_reg = torch.rand(2, 3, *size)
    assert close(module(f_reg, f_syn, x_reg), conv(x, "last"))
    correcting = FusionModule(5, 4, width, blocks=3, correction=True)
    correcting.load_state_dict(state)
    assert close(correcting(f_reg, f_syn, x_reg), x_reg + conv(x, "last"))
    assert x.shape[1] == (width or 5)
    assert any(key.startswith("project") for key in state) == (width == 7)


@pytest.mark.parametrize("width", [None, 7])
@pytest.mark.parametrize("correction", [False, True])
def test_gradients_reach_the_fusion_module(width: int | None, correction: bool) -> None:
    torch.manual_seed(0)
    module = FusionModule(5, 4, width, blocks=2, correction=correction)
    x_reg = torch.rand(2, 3, 8, 8, requires_grad=True)
    fused = module(torch.randn(2, 5, 8, 8), torch.randn(2, 4, 8, 8), x_reg)
    fused.square().sum().backward()
    assert unreached(module) == set()
    assert (x_reg.grad is not None) == correction


@torch.no_grad()
def test_a_correction_with_nothing_to_say_leaves_x_reg() -> None:
    module = FusionModule(5, 4, correction=True)
    module.last.weight.zero_()
    module.last.bias.zero_()  # type: ignore[union-attr]
    x_reg = torch.rand(2, 3, 7, 5)
    assert torch.equal(module(torch.randn(2, 5, 7, 5), torch.randn(2, 4, 7, 5), x_reg), x_reg)


# --- the whole model ------------------------------------------------------------------------------


@pytest.mark.parametrize(("task", "side"), [("denoise", 32), ("deblur", 32), ("sr8", 4)])
@pytest.mark.parametrize("settings", [{}, {"adapter": "skip", "fusion_output": "correction"}])
@torch.no_grad()
def test_every_task_builds_and_joins_its_modules(
    task: str, side: int, settings: dict[str, Any]
) -> None:
    model = tiny_model(task, **settings)
    x = torch.rand(2, 3, side, side)
    out = model(x)
    regression = model.restoration(x)
    synthesis = model.synthesis(regression.image)
    assert torch.equal(out.regression, regression.image)
    assert torch.equal(out.synthesis, synthesis.image)
    fused = model.fusion(regression.features, synthesis.features, regression.image)
    assert torch.equal(out.image, fused)
    assert out.image.shape == (2, 3, 32, 32)
    for together, alone in zip(out, model(x[1:]), strict=True):
        assert close(together[1:], alone)
    assert torch.equal(model(x).image, out.image)


@pytest.mark.parametrize("adapter", ["merging", "skip", "plain"])
@torch.no_grad()
def test_fusion_of_images_takes_nothing_else(
    adapter: Literal["merging", "skip", "plain"],
) -> None:
    config = tiny_config().model_copy(update={"fusion_inputs": "images", "adapter": adapter})
    model = build_model(config)
    x = torch.rand(2, 3, 32, 32)
    out = model(x)
    assert torch.equal(out.image, model.fusion(out.regression, out.synthesis, out.regression))
    # As wide as the network that it stands against.
    assert model.fusion.conv.out_channels == model.restoration.feature_channels
    assert model.fusion.conv.in_channels == 3


def test_the_task_is_made_for_the_resolution_of_the_prior() -> None:
    assert isinstance(build_model(tiny_config("deblur", 64)).synthesis.generator, Prior)
    with pytest.raises(ConfigError, match="no option 'sigmaa'"):
        build_model(
            tiny_config().model_copy(
                update={"task": TaskConfig(name="denoise", options={"sigmaa": 1})}
            )
        )


@pytest.mark.parametrize(
    "shape",
    [
        (1, 3, 32, 48),
        (1, 3, 48, 32),
        (1, 3, 16, 16),
        (1, 3, 64, 64),
        (1, 3, 33, 33),
        (1, 3, 25, 25),
        (1, 3, 1, 1),
        (1, 1, 32, 32),
        (3, 32, 32),
    ],
)
def test_any_size_but_its_own_is_refused(shape: tuple[int, ...]) -> None:
    model = tiny_model()
    for take in (model, model.synthesis, model.synthesis.encode):
        with pytest.raises(SizeError, match=r"\(N, 3, 32, 32\).*Restorer"):
            take(torch.zeros(shape))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"fusion_channels": 5},
        {"adapter": "skip", "fusion_output": "correction", "encoder_norm": "group"},
    ],
)
def test_gradients_reach_everything_that_learns(settings: dict[str, Any]) -> None:
    model = tiny_model(**settings)
    sum(one.square().sum() for one in model(torch.rand(2, 3, 32, 32))).backward()
    # Not used: the residual head, the mapping network, and what lies below the 8x8 base code.
    generator = "synthesis.generator."
    below = ("constant_input", "style_conv1", "to_rgb1", "style_mlp", "style_convs.0.")
    unused = ("restoration.backbone.ending", *(generator + name for name in below))
    names = {name for name, _ in model.named_parameters()}
    assert unreached(model) == {name for name in names if name.startswith(unused)}
