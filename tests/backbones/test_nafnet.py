"""NAFNet against the published numbers, and against its formulas written out slowly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ugpnet_core as ug
from ugpnet_backbones.nafnet.network import LocalPool, NAFNet
from ugpnet_core.errors import ConfigError, SizeError

State = dict[str, Tensor]
Golden = Callable[[str], tuple[State, State]]
Window = tuple[int, int]

GOPRO: dict[str, Any] = {"middle_blk_num": 1, "enc_blk_nums": [1, 1, 1, 28]}
SIDD: dict[str, Any] = {
    "middle_blk_num": 12,
    "enc_blk_nums": [2, 2, 4, 8],
    "dec_blk_nums": [2, 2, 2, 2],
}
LOCAL: dict[str, Any] = {
    **GOPRO,
    "local_pooling": True,
    "train_size": [1, 3, 64, 64],
    "base_size": [96, 96],
    "fast_imp": False,
}


def close(a: Tensor, b: Tensor, tolerance: float = 1e-4) -> bool:
    assert a.shape == b.shape
    return bool((a - b).abs().max() <= tolerance * b.abs().max())


def tiny(**options: Any) -> NAFNet:
    """Away from the initial values: beta and gamma are zero there, which hides the blocks."""
    torch.manual_seed(0)
    settings = {"width": 4, "enc_blk_nums": [1, 2], "dec_blk_nums": [1, 1], **options}
    network = NAFNet(**settings).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return network


# --- the formulas, slow ---------------------------------------------------------------------------


def window_means(x: Tensor, window: Window) -> Tensor:
    """The mean over the window around each pixel, pixel by pixel."""
    height, width = x.shape[2:]
    rows, columns = min(window[0], height), min(window[1], width)
    out = torch.empty_like(x)
    for i in range(height):
        for j in range(width):
            top = min(max(i - (height - (height - rows + 1)) // 2, 0), height - rows)
            left = min(max(j - (width - (width - columns + 1)) // 2, 0), width - columns)
            out[:, :, i, j] = x[:, :, top : top + rows, left : left + columns].mean((2, 3))
    return out


def reference(sd: State, x: Tensor, windows: Sequence[Window] | None = None) -> Tensor:
    """The residual; windows are those of each level, None for global pooling."""
    levels = sum(name.startswith("downs.") for name in sd) // 2
    height, width = x.shape[2:]

    def conv(x: Tensor, name: str, **options: Any) -> Tensor:
        return F.conv2d(x, sd[f"{name}.weight"], sd.get(f"{name}.bias"), **options)

    def norm(x: Tensor, name: str) -> Tensor:
        centred = x - x.mean(1, keepdim=True)
        y = centred / (centred.square().mean(1, keepdim=True) + 1e-6).sqrt()
        return y * sd[f"{name}.weight"][:, None, None] + sd[f"{name}.bias"][:, None, None]

    def gate(x: Tensor) -> Tensor:
        half = x.shape[1] // 2
        return x[:, :half] * x[:, half:]

    def blocks(x: Tensor, name: str, level: int) -> Tensor:
        count = 0
        while f"{name}.{count}.beta" in sd:
            b = f"{name}.{count}"
            y = conv(norm(x, f"{b}.norm1"), f"{b}.conv1")
            y = gate(conv(y, f"{b}.conv2", padding=1, groups=y.shape[1]))
            pooled = window_means(y, windows[level]) if windows else y.mean((2, 3), keepdim=True)
            x = x + sd[f"{b}.beta"] * conv(y * conv(pooled, f"{b}.sca.1"), f"{b}.conv3")
            y = gate(conv(norm(x, f"{b}.norm2"), f"{b}.conv4"))
            x = x + sd[f"{b}.gamma"] * conv(y, f"{b}.conv5")
            count += 1
        return x

    down, right = -height % 2**levels, -width % 2**levels
    f = conv(F.pad(x, (0, right, 0, down)), "intro", padding=1)
    skips = []
    for level in range(levels):
        f = blocks(f, f"encoders.{level}", level)
        skips.append(f)
        f = conv(f, f"downs.{level}", stride=2)
    f = blocks(f, "middle_blks", levels)
    for index in range(levels):
        level = levels - 1 - index
        f = F.pixel_shuffle(conv(f, f"ups.{index}.0"), 2) + skips[level]
        f = blocks(f, f"decoders.{index}", level)
    return conv(f, "ending", padding=1)[:, :, :height, :width]


def published_windows(options: dict[str, Any], train: Window, base: Window) -> list[Window]:
    """Windows as the published code finds them: by a pass of an image of the training size."""
    network = tiny(**options)
    sizes: dict[int, Window] = {}

    def note(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        channels, height, width = inputs[0].shape[1:]
        level = (channels // network.feature_channels).bit_length() - 1
        sizes[level] = (height * base[0] // train[0], width * base[1] // train[1])

    for module in network.modules():
        if isinstance(module, nn.AdaptiveAvgPool2d):
            module.register_forward_pre_hook(note)
    with torch.no_grad():
        network(torch.rand(1, 3, *train))
    return [sizes[level] for level in sorted(sizes)]


# --- published numbers ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "step", "parameters"),
    [
        ("nafnet_gopro_width32", GOPRO, 1, 17_111_907),
        ("nafnet_sidd_width32", SIDD, 1, 29_159_715),
        ("nafnet_local_gopro_width32", LOCAL, 2, 17_111_907),
    ],
)
@torch.no_grad()
def test_published_numbers(
    golden: Golden, name: str, options: dict[str, Any], step: int, parameters: int
) -> None:
    weights, expected = golden(name)
    network = ug.create_backbone("nafnet", width=32, **options)
    assert isinstance(network, NAFNet)
    network.load_state_dict(weights, strict=True)
    assert sum(p.numel() for p in network.parameters()) == parameters
    x = expected["input"]
    assert close(network(x)[..., ::step, ::step], expected["output"])
    if "features" in expected:
        features = network.forward_features(x)
        assert features.shape == (1, 32, *x.shape[2:])
        assert close(features[..., ::8, ::8], expected["features"])


# --- the formulas ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"width": 1, "enc_blk_nums": [1], "dec_blk_nums": [3], "middle_blk_num": 2},
        {"width": 5, "enc_blk_nums": [0, 1, 1], "dec_blk_nums": [1, 0, 2], "middle_blk_num": 0},
        {"width": 3, "enc_blk_nums": [], "dec_blk_nums": []},
    ],
)
@torch.no_grad()
def test_other_widths_and_depths_follow_the_formulas(options: dict[str, Any]) -> None:
    network = tiny(**options)
    x = torch.rand(2, 3, 13, 18)
    assert close(network(x) - x, reference(network.state_dict(), x), 1e-5)


@pytest.mark.parametrize(
    ("train_size", "base_size", "train", "base"),
    [
        (8, None, (8, 8), (12, 12)),
        ([1, 3, 12, 8], None, (12, 8), (18, 12)),
        ([10, 13], None, (10, 13), (15, 19)),  # no multiples of 4: the crop is padded
        (9, [5, 40], (9, 9), (5, 40)),
        (16, 7, (16, 16), (7, 7)),
    ],
)
@torch.no_grad()
def test_local_pooling_follows_the_formulas(
    train_size: int | list[int], base_size: int | list[int] | None, train: Window, base: Window
) -> None:
    network = tiny(local_pooling=True, train_size=train_size, base_size=base_size)
    windows = published_windows({}, train, base)
    x = torch.rand(2, 3, 22, 27)
    assert close(network(x) - x, reference(network.state_dict(), x, windows), 1e-5)


@pytest.mark.parametrize("window", [(1, 1), (2, 3), (5, 4), (7, 2), (7, 6), (9, 9)])
def test_local_pool_is_the_mean_of_each_window(window: Window) -> None:
    # A large offset would show the rounding of running sums.
    x = 1000 + torch.rand(2, 3, 7, 6)
    pooled = LocalPool(window)(x).expand_as(x)
    assert (pooled - window_means(x.double(), window)).abs().max() < 2e-3


@torch.no_grad()
def test_local_pooling_changes_nothing_where_the_window_holds_all() -> None:
    x = torch.rand(1, 3, 12, 11)
    assert close(tiny(local_pooling=True, train_size=8)(x), tiny()(x), 1e-6)
    assert not close(tiny(local_pooling=True, train_size=4)(x), tiny()(x), 1e-3)


# --- sizes and batches ----------------------------------------------------------------------------


@pytest.mark.parametrize("local_pooling", [False, True])
@pytest.mark.parametrize("size", [(250, 250), (333, 517), (1, 1), (2, 3), (16, 7)])
@torch.no_grad()
def test_any_size(size: Window, local_pooling: bool) -> None:
    options = {"width": 2, "local_pooling": local_pooling, "train_size": 16}
    network = tiny(**options, enc_blk_nums=[1, 1, 1], dec_blk_nums=[0, 0, 1])
    x = torch.rand(2, 3, *size)
    y = network(x)
    assert y.shape == x.shape
    assert network.forward_features(x).shape == (2, 2, *size)
    # As if a multiple of 8 had been given whose rest is black; and image by image.
    padded = F.pad(x, (0, -size[1] % 8, 0, -size[0] % 8))
    assert close(y, network(padded)[..., : size[0], : size[1]], 1e-6)
    assert close(y[1:], network(x[1:]), 1e-5)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 1, 8, 8), (1, 4, 8, 8), (1, 3, 0, 8)])
def test_what_is_no_image_is_refused(shape: tuple[int, ...]) -> None:
    for take in (tiny(), tiny().forward_features):
        with pytest.raises(SizeError, match=r"\(N, 3, H, W\)"):
            take(torch.zeros(shape))


@pytest.mark.parametrize("local_pooling", [False, True])
def test_gradients_reach_every_parameter(local_pooling: bool) -> None:
    network = tiny(local_pooling=local_pooling, train_size=8).train()
    network(torch.rand(2, 3, 16, 16)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_training_starts_at_the_identity_of_each_block() -> None:
    network = NAFNet(width=4)
    scales = [p for n, p in network.named_parameters() if n.endswith(("beta", "gamma"))]
    assert len(scales) == 2 * 36
    assert not any(scale.any() for scale in scales)


# --- the plugin -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"enc_blk_nums": [1, 1]},
        {"width": 0},
        {"img_channel": 1},
        {"middle_blk_num": -1},
        {"enc_blk_nums": [1, -1, 1, 1]},
        {"local_pooling": True, "train_size": 0},
        {"local_pooling": True, "train_size": [64]},
        {"local_pooling": True, "base_size": 0},
        {"local_pooling": True, "fast_imp": True},
        {"wdith": 8},
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        ug.create_backbone("nafnet", **options)
