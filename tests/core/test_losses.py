from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ugpnet_core.config import PerceptualConfig
from ugpnet_core.errors import WeightsError
from ugpnet_core.losses.adversarial import discriminator_loss, generator_loss, r1_penalty
from ugpnet_core.losses.contextual import PatchContextualLoss, contextual_loss, patches
from ugpnet_core.losses.perceptual import (
    Trunk,
    build_contextual_features,
    build_frechet_features,
    build_lpips,
    check_perceptual,
    describe,
    perceptual_config,
    resized,
)
from ugpnet_core.losses.perceptual_weights import TrunkName, empty_trunk
from ugpnet_core.losses.pixel import PIXEL_LOSSES, charbonnier_loss, l1_loss, psnr_loss


@pytest.fixture(autouse=True)
def _no_weights_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("UGPNET_PERCEPTUAL", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def random_weights(name: TrunkName) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    state = {}
    for key, value in empty_trunk(name).state_dict().items():
        fan_in = value[0].numel() if value.dim() > 1 else 100
        state[key] = torch.randn(value.shape, generator=generator) * (2 / fan_in) ** 0.5
    return state


@pytest.fixture(scope="module")
def squeeze_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "squeezenet.safetensors"
    save_file({k: v.half() for k, v in random_weights("squeeze").items()}, path)
    return path


@pytest.fixture(scope="module")
def squeeze(squeeze_file: Path) -> PerceptualConfig:
    return PerceptualConfig(network="squeeze", weights=squeeze_file, resize=None)


# Pixel losses


def test_pixel_losses_have_their_closed_forms() -> None:
    target = torch.full((2, 3, 5, 7), 0.5)
    x = target.clone()
    x[0] += 0.1
    x[1] -= 0.01
    assert l1_loss(x, target).item() == pytest.approx(0.055)
    assert psnr_loss(x, target).item() == pytest.approx((-20 - 40) / 2, abs=1e-3)
    expected = (math.hypot(0.1, 1e-3) + math.hypot(0.01, 1e-3)) / 2
    assert charbonnier_loss(x, target).item() == pytest.approx(expected)
    assert psnr_loss(x, x, floor=50).item() == pytest.approx(-50, abs=1e-4)
    # At the floor, the error that there is counts as much as the one that is allowed.
    x = torch.full((1, 3, 8, 8), 10 ** (-50 / 20))
    assert psnr_loss(x, 0 * x, floor=50).item() == pytest.approx(-50 + 10 * math.log10(2), abs=1e-3)
    assert list(PIXEL_LOSSES) == ["l1", "psnr", "charbonnier"]


@pytest.mark.parametrize("name", PIXEL_LOSSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pixel_losses_are_smallest_at_equality_and_finite(name: str, dtype: torch.dtype) -> None:
    y = torch.rand(2, 3, 1, 3)
    x = y.to(dtype).clone().requires_grad_()
    at_equality = PIXEL_LOSSES[name](x, x.detach())
    at_equality.backward()
    assert at_equality.dtype == torch.float32
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert at_equality < PIXEL_LOSSES[name](x + 0.1, x.detach())
    assert at_equality.item() == pytest.approx({"l1": 0, "psnr": -80, "charbonnier": 1e-3}[name])


@pytest.mark.parametrize("name", PIXEL_LOSSES)
def test_pixel_loss_gradients(name: str) -> None:
    x = torch.rand(2, 3, 3, 2).requires_grad_()
    y = torch.rand(2, 3, 3, 2)
    PIXEL_LOSSES[name](x, y).backward()
    direction = torch.randn_like(y)
    step = 1e-3
    with torch.no_grad():
        rise = PIXEL_LOSSES[name](x + step * direction, y) - PIXEL_LOSSES[name](
            x - step * direction, y
        )
    assert x.grad is not None
    assert rise.item() / (2 * step) == pytest.approx((x.grad * direction).sum().item(), rel=0.02)


# Adversarial losses


def test_adversarial_losses_have_their_closed_forms() -> None:
    real, fake = torch.tensor([[2.0], [0.0]]), torch.tensor([[-1.0], [3.0]])

    def softplus(v: float) -> float:
        return math.log1p(math.exp(v))

    assert generator_loss(fake).item() == pytest.approx((softplus(1) + softplus(-3)) / 2)
    expected = (softplus(-1) + softplus(3)) / 2 + (softplus(-2) + softplus(0)) / 2
    assert discriminator_loss(real, fake).item() == pytest.approx(expected)


def test_generator_loss_falls_where_the_discriminator_believes() -> None:
    logits = torch.zeros(3, 1, requires_grad=True)
    generator_loss(logits).backward()
    assert logits.grad is not None
    assert (logits.grad < 0).all()


def test_r1_of_a_linear_discriminator_is_a_quarter_of_its_squared_norm() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(3 * 5 * 4, 1)
    discriminator = nn.Sequential(nn.Flatten(), linear)
    weight = linear.weight
    real = torch.rand(3, 3, 5, 4).requires_grad_()
    penalty = r1_penalty(real, discriminator(real), weight=10.0, every=16)
    assert penalty.item() == pytest.approx(10 / 2 * 16 * weight.square().sum().item() / 4, rel=1e-5)
    penalty.backward()
    assert weight.grad is not None
    assert torch.allclose(weight.grad, 40 * weight, rtol=1e-4)


def test_r1_sums_over_an_image_and_averages_over_the_batch() -> None:
    real = torch.rand(4, 3, 2, 2).requires_grad_()
    logits = real.square().sum(dim=(1, 2, 3)).unsqueeze(1) / 2  # gradient: the image itself
    # A quarter: the published penalty counts for images of range 2.
    expected = real.detach().square().sum(dim=(1, 2, 3)).mean() / 2 / 4
    assert r1_penalty(real, logits, weight=1.0).item() == pytest.approx(expected.item(), rel=1e-5)


def test_r1_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match="requires_grad_"):
        r1_penalty(torch.rand(1, 3, 2, 2), torch.zeros(1, 1))


# Contextual loss


@pytest.mark.parametrize(("weighted", "key"), [(False, "loss_paper"), (True, "loss_weighted")])
def test_contextual_loss_matches_the_published_numbers(
    golden: Callable[[str], tuple[dict[str, Tensor], dict[str, Tensor]]], weighted: bool, key: str
) -> None:
    _, known = golden("contextual_loss")
    loss = contextual_loss(known["x"], known["y"], bandwidth=0.5, weighted=weighted)
    assert loss.item() == pytest.approx(known[key].item(), rel=1e-4)


@pytest.mark.parametrize("weighted", [False, True])
def test_contextual_loss_is_zero_at_equality_and_ignores_positions(weighted: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 16, 5, 3)
    assert contextual_loss(x, x, weighted=weighted).item() == pytest.approx(0, abs=1e-3)
    shuffled = x.flatten(2)[:, :, torch.randperm(15)].view_as(x)
    assert contextual_loss(shuffled, x, weighted=weighted).item() == pytest.approx(0, abs=1e-3)
    assert contextual_loss(torch.randn_like(x), x, weighted=weighted) > 0.5


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (4, 5)])
def test_contextual_loss_and_gradient_are_finite(size: tuple[int, int]) -> None:
    y = torch.rand(2, 8, *size)
    for x in (y.clone(), torch.zeros_like(y), torch.rand(2, 8, *size)):
        x.requires_grad_()
        loss = contextual_loss(x, y)
        loss.backward()
        assert loss.isfinite()
        assert x.grad is not None
        assert x.grad.isfinite().all()


def test_contextual_loss_is_float32_under_autocast() -> None:
    x, y = torch.rand(2, 1, 8, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        loss = contextual_loss(x, y)
    assert loss.dtype == torch.float32
    assert loss.item() == contextual_loss(x, y).item()


@pytest.mark.parametrize(
    ("size", "side", "shape"),
    [
        ((8, 8), 4, (4, 4, 4)),
        ((9, 5), 4, (6, 4, 4)),
        ((3, 5), 8, (1, 3, 5)),
        ((3, 9), 4, (3, 3, 4)),
        ((4, 4), 4, (1, 4, 4)),
    ],
)
def test_patches_cover_every_pixel(
    size: tuple[int, int], side: int, shape: tuple[int, int, int]
) -> None:
    count, high, wide = shape
    image = torch.arange(size[0] * size[1]).view(1, 1, *size).float().repeat(2, 1, 1, 1)
    cut = patches(image, side)
    assert cut.shape == (2 * count, 1, high, wide)
    assert set(cut.flatten().tolist()) == set(image.flatten().tolist())


def test_patch_contextual_loss_sees_a_texture_only_inside_its_patch() -> None:
    torch.manual_seed(0)
    image = torch.rand(1, 3, 16, 16)
    swapped = torch.cat([image[..., 8:], image[..., :8]], dim=-1)

    def same(x: Tensor) -> Tensor:
        return x

    assert PatchContextualLoss(same, patch=16)(image, swapped).item() == pytest.approx(0, abs=1e-2)
    assert PatchContextualLoss(same, patch=8)(image, swapped) > 0.1
    assert PatchContextualLoss(same, patch=8)(image, image).item() == pytest.approx(0, abs=1e-2)


def test_patch_contextual_loss_trains_the_first_image_only(squeeze: PerceptualConfig) -> None:
    loss = PatchContextualLoss(build_contextual_features(squeeze), patch=32)
    x = torch.rand(1, 3, 37, 41).requires_grad_()
    target = torch.rand(1, 3, 37, 41).requires_grad_()
    loss(x, target).backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert target.grad is None
    with pytest.raises(ValueError, match="differ in shape"):
        loss(x, target[:, :, :-1])


# Perceptual networks


@pytest.mark.parametrize("network", ["squeeze", "vgg"])
def test_lpips_matches_the_lpips_package(
    network: str, squeeze: PerceptualConfig, tmp_path: Path
) -> None:
    config = squeeze
    state = random_weights("squeeze" if network == "squeeze" else "vgg16")
    if network == "squeeze":
        state = {key: value.half().float() for key, value in state.items()}
    else:
        torch.save({f"features.{k}": v for k, v in state.items()}, tmp_path / "vgg16-1.pth")
        config = PerceptualConfig(network="vgg", weights=tmp_path, resize=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lpips = pytest.importorskip("lpips")
        reference = lpips.LPIPS(net=network, pnet_rand=True, verbose=False)
    for name, module in reference.net.named_children():
        if name.startswith("slice"):
            layers = dict(module.named_children())
            module.load_state_dict({k: v for k, v in state.items() if k.split(".")[0] in layers})
    x, y = torch.rand(2, 2, 3, 35, 46)
    ours = build_lpips(config)(x, y, reduction="none")
    assert torch.allclose(ours, reference(x, y, normalize=True).flatten(), rtol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (7, 3), (33, 40)])
def test_lpips_is_zero_at_equality_and_differentiable_anywhere(
    size: tuple[int, int], squeeze: PerceptualConfig
) -> None:
    lpips = build_lpips(squeeze)
    y = torch.rand(2, 3, *size)
    x = torch.zeros_like(y).requires_grad_()
    lpips(x, y).backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert lpips(y, y).item() == 0
    assert lpips(x, y, reduction="none").shape == (2,)
    assert lpips(x, y).item() == pytest.approx(lpips(x, y, reduction="none").mean().item())
    assert not any(parameter.requires_grad for parameter in lpips.parameters())


def test_lpips_resizes_first(squeeze: PerceptualConfig) -> None:
    x, y = torch.rand(2, 1, 3, 64, 64)
    small = build_lpips(squeeze.model_copy(update={"resize": 32}))
    expected = build_lpips(squeeze)(resized(x, 32), resized(y, 32))
    assert small(x, y).item() == pytest.approx(expected.item())


@pytest.mark.parametrize("size", [(31, 40), (20, 12), (40, 31)])
def test_small_images_are_enlarged_to_32_pixels_by_repeating_their_border(
    size: tuple[int, int], squeeze: PerceptualConfig
) -> None:
    lpips = build_lpips(squeeze)
    x, y = torch.rand(2, 1, 3, *size, generator=torch.Generator().manual_seed(0))
    below, right = (max(32 - side, 0) for side in size)
    enlarged = (torch.nn.functional.pad(one, (0, right, 0, below), "replicate") for one in (x, y))
    assert lpips(x, y).item() == pytest.approx(lpips(*enlarged).item(), rel=1e-6)


def test_resizing_by_bicubic_takes_four_pixels_whatever_the_factor() -> None:
    """As in the published training: Keys' kernel with a = -0.75, half-way between two pixels."""
    image = torch.rand(1, 3, 64, 96)
    weights = torch.tensor([-0.09375, 0.59375, 0.59375, -0.09375])
    # The first of a pixel's four in each direction lies 1 before the middle of its 4x4 block.
    window = image[0, 0, 24:28, 40:44]
    expected = weights @ window @ weights
    by_four = resized(image, 16, "bicubic")
    assert by_four.shape == (1, 3, 16, 24)
    assert by_four[0, 0, 6, 10].item() == pytest.approx(expected.item(), abs=1e-5)
    # Noise keeps its strength, which averaging takes.
    assert by_four.std() > 2 * resized(image, 16).std()


@torch.no_grad()
def test_lpips_is_resized_as_the_configuration_says(squeeze: PerceptualConfig) -> None:
    x, y = torch.rand(2, 1, 3, 64, 64)
    for resize_filter in ("antialiased", "bicubic"):
        update = {"resize": 32, "resize_filter": resize_filter}
        lpips = build_lpips(squeeze.model_copy(update=update))
        as_it_is = build_lpips(squeeze.model_copy(update={"resize": None}))
        ready = [resized(image, 32, resize_filter) for image in (x, y)]
        assert lpips(x, y).item() == pytest.approx(as_it_is(*ready).item(), rel=1e-5)


def test_resized_keeps_the_shape_and_the_mean() -> None:
    image = torch.rand(1, 3, 40, 60)
    assert resized(image, 20).shape == (1, 3, 20, 30)
    assert resized(image, 17).shape == (1, 3, 17, 26)
    assert resized(image, 80).shape == (1, 3, 80, 120)
    assert resized(image, 20).mean().item() == pytest.approx(image.mean().item(), abs=1e-5)
    assert resized(image, 17).mean().item() == pytest.approx(image.mean().item(), abs=0.01)


def test_features_have_their_stride_and_width(squeeze: PerceptualConfig, tmp_path: Path) -> None:
    x = torch.rand(2, 3, 64, 48)
    assert build_contextual_features(squeeze)(x).shape == (2, 128, 15, 11)
    assert build_frechet_features(squeeze)(x).shape == (2, 512)
    torch.save(random_weights("vgg19"), tmp_path / "vgg19-1.pth")
    vgg = PerceptualConfig(network="vgg", weights=tmp_path)
    features = build_contextual_features(vgg)
    assert features(x).shape == (2, 256, 16, 12)
    assert (features(x) >= 0).all()  # after the ReLU: relu3_4
    assert isinstance(features.trunk, Trunk)
    convolutions = [layer for layer in features.trunk.layers if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 8  # 2 + 2 + 4


def test_figures_are_named_after_their_networks(squeeze: PerceptualConfig) -> None:
    assert describe(squeeze).lpips == "LPIPS (SqueezeNet trunk of BSD origin)"
    assert describe(squeeze).frechet == "FD-SqueezeNet"
    assert describe(PerceptualConfig()) == ("LPIPS-VGG", "VGG19 relu3_4", "FD-VGG16")


def test_missing_weights_are_named_before_anything_starts(tmp_path: Path) -> None:
    for config in (PerceptualConfig(), PerceptualConfig(weights=tmp_path)):
        with pytest.raises(WeightsError, match=r"VGG16.*vgg16\*\.pth.*perceptual\.weights: PATH"):
            check_perceptual(config)
    torch.save(random_weights("vgg16"), tmp_path / "vgg16-1.pth")
    check_perceptual(PerceptualConfig(weights=tmp_path), contextual=False)
    with pytest.raises(WeightsError, match="VGG19"):
        check_perceptual(PerceptualConfig(weights=tmp_path))
    with pytest.raises(WeightsError, match=r"SqueezeNet.*--perceptual-weights PATH"):
        check_perceptual(PerceptualConfig(network="squeeze"))


def test_wrong_weights_are_refused(squeeze_file: Path, tmp_path: Path) -> None:
    torch.save(random_weights("vgg19"), tmp_path / "vgg16-1.pth")
    with pytest.raises(WeightsError, match="does not hold VGG16"):
        check_perceptual(PerceptualConfig(weights=tmp_path))
    damaged = tmp_path / "squeezenet.safetensors"
    damaged.write_bytes(squeeze_file.read_bytes()[:1000])
    with pytest.raises(WeightsError, match=r"squeezenet\.safetensors is damaged .*get it again"):
        check_perceptual(PerceptualConfig(network="squeeze", weights=damaged))
    unsafe = tmp_path / "unsafe.pth"
    torch.save({"features.0.weight": Path()}, unsafe)
    with pytest.raises(WeightsError, match="never loaded"):
        check_perceptual(PerceptualConfig(network="squeeze", weights=unsafe))


def test_weights_can_come_from_the_environment(
    squeeze_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert perceptual_config(None).network == "vgg"
    assert perceptual_config(squeeze_file).network == "squeeze"
    assert perceptual_config(squeeze_file.parent).network == "squeeze"
    monkeypatch.setenv("UGPNET_PERCEPTUAL", str(squeeze_file))
    assert perceptual_config(None) == PerceptualConfig(
        network="squeeze", weights=squeeze_file, resize=None
    )
    check_perceptual(PerceptualConfig(network="squeeze"))
