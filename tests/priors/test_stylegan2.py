"""StyleGAN2 against the published numbers, and against the textbook formulation written out."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ugpnet_core.errors import ConfigError, SizeError
from ugpnet_core.plugins import validate_options
from ugpnet_core.protocols import Prior
from ugpnet_priors.stylegan2 import ugpnet_priors
from ugpnet_priors.stylegan2.discriminator import (
    StyleGAN2Discriminator,
    discriminator_for,
    minibatch_stddev,
)
from ugpnet_priors.stylegan2.generator import StyleGAN2Generator
from ugpnet_priors.stylegan2.options import channel_widths

State = dict[str, Tensor]
Golden = Callable[[str], tuple[State, State]]


def close(a: Tensor, b: Tensor, tolerance: float = 1e-4) -> bool:
    assert a.shape == b.shape
    return bool((a - b).abs().max() <= tolerance * b.abs().max())


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """Away from the initial values, many of which are zero and would hide mistakes."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


def tiny(resolution: int = 32, **options: object) -> StyleGAN2Generator:
    settings: dict[str, object] = {"style_dim": 8, "num_mlp": 2, "narrow": 1 / 64, "base_size": 8}
    generator = StyleGAN2Generator(resolution, **{**settings, **options})  # type: ignore[arg-type]
    randomised(generator)
    return generator


# --- the textbook formulation, slow and per image -----------------------------------------------


def upfirdn(x: Tensor, up: int, down: int, pad: tuple[int, int]) -> Tensor:
    """Zero insertion, padding, filtering with (1, 3, 3, 1), decimation."""
    n, c, h, w = x.shape
    inserted = x.new_zeros(n, c, h * up, w * up)
    inserted[:, :, ::up, ::up] = x
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8 * up
    kernel = torch.outer(taps, taps)[None, None]
    padded = F.pad(inserted, (*pad, *pad)).reshape(n * c, 1, *(s * up + sum(pad) for s in (h, w)))
    y = F.conv2d(padded, kernel)
    return y.reshape(n, c, *y.shape[2:])[:, :, ::down, ::down]


def affine(x: Tensor, weight: Tensor, bias: Tensor, lr_mul: float = 1.0) -> Tensor:
    return x @ (weight * lr_mul / math.sqrt(weight.shape[1])).T + bias * lr_mul


def act(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


def modulated(
    sd: State, name: str, x: Tensor, w: Tensor, enlarge: bool, demodulate: bool
) -> Tensor:
    """Equations 1 to 3: a weight of its own for every image."""
    key = f"{name}.modulated_conv"
    s = affine(w, sd[f"{key}.modulation.weight"], sd[f"{key}.modulation.bias"])
    weight = sd[f"{key}.weight"]
    cin, k = weight.shape[2:4]
    weight = weight * s[:, None, :, None, None] / math.sqrt(cin * k * k)
    if demodulate:
        weight = weight / (weight.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
    images = []
    for image, own in zip(x, weight, strict=True):
        if enlarge:
            y = F.conv_transpose2d(image[None], own.transpose(0, 1), stride=2)
            images.append(upfirdn(y, 1, 1, (1, 1)) * 4)
        else:
            images.append(F.conv2d(image[None], own, padding=k // 2))
    return torch.cat(images)


def style_conv(sd: State, name: str, x: Tensor, w: Tensor, noise: Tensor, enlarge: bool) -> Tensor:
    y = modulated(sd, name, x, w, enlarge, True) + sd[f"{name}.weight"] * noise
    return act(y + sd[f"{name}.activate.bias"][:, None, None])


def to_rgb(sd: State, name: str, x: Tensor, w: Tensor, skip: Tensor | None) -> Tensor:
    y = modulated(sd, name, x, w, False, False) + sd[f"{name}.bias"]
    return y if skip is None else y + upfirdn(skip, 2, 1, (2, 1))


def reference_w(sd: State, z: Tensor) -> Tensor:
    x = z / (z.square().mean(1, keepdim=True) + 1e-8).sqrt()
    for layer in range(1, 99):
        if f"style_mlp.{layer}.weight" not in sd:
            break
        x = act(affine(x, sd[f"style_mlp.{layer}.weight"], sd[f"style_mlp.{layer}.bias"], 0.01))
    return x


def reference_image(sd: State, styles: Tensor, base: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Image and features from W+ styles, or from a base code and the styles above it."""
    skip: Tensor | None = None
    used = iter(styles.unbind(1))
    last = sum(name.startswith("noises.") for name in sd) - 1
    if base is None:
        x = sd["constant_input.weight"].expand(len(styles), -1, -1, -1)
        x = style_conv(sd, "style_conv1", x, next(used), sd["noises.noise0"], False)
        skip = to_rgb(sd, "to_rgb1", x, w := next(used), None)
        first = 0
    else:
        x, first = base, 2 * int(math.log2(base.shape[2])) - 5
    for layer in range(first, last):
        enlarge = layer % 2 == 0
        style = w if enlarge else next(used)
        noise = sd[f"noises.noise{layer + 1}"]
        x = style_conv(sd, f"style_convs.{layer}", x, style, noise, enlarge)
        if not enlarge:
            skip = to_rgb(sd, f"to_rgbs.{layer // 2}", x, w := next(used), skip)
    assert skip is not None
    assert next(used, None) is None
    return (skip + 1) / 2, x


def reference_logits(sd: State, image: Tensor) -> Tensor:
    def conv(x: Tensor, key: str, stride: int = 1, padding: int = 0) -> Tensor:
        weight = sd[f"{key}.weight"]
        scale = 1 / math.sqrt(weight[0].numel())
        return F.conv2d(x, weight * scale, stride=stride, padding=padding)

    def biased(x: Tensor, key: str) -> Tensor:
        return act(x + sd[f"{key}.bias"][:, None, None])

    x = biased(conv(image * 2 - 1, "conv_body.0.0"), "conv_body.0.1")
    for block in range(1, int(math.log2(image.shape[2])) - 1):
        key = f"conv_body.{block}"
        y = biased(conv(x, f"{key}.conv1.0", padding=1), f"{key}.conv1.1")
        y = conv(upfirdn(y, 1, 1, (2, 2)), f"{key}.conv2.1", stride=2)
        skip = conv(upfirdn(x, 1, 1, (1, 1)), f"{key}.skip.1", stride=2)
        x = (biased(y, f"{key}.conv2.2") + skip) / math.sqrt(2)
    deviation = (x.var(0, unbiased=False) + 1e-8).sqrt().mean()
    x = torch.cat([x, deviation.expand(len(x), 1, 4, 4)], 1)
    x = biased(conv(x, "final_conv.0", padding=1), "final_conv.1").flatten(1)
    x = act(affine(x, sd["final_linear.0.weight"], sd["final_linear.0.bias"]))
    return affine(x, sd["final_linear.1.weight"], sd["final_linear.1.bias"])


# --- published numbers --------------------------------------------------------------------------


@pytest.mark.parametrize("channels_last", [False, True])
@torch.no_grad()
def test_generator_computes_the_published_numbers(golden: Golden, channels_last: bool) -> None:
    weights, expected = golden("stylegan2_basicsr_64")
    generator = StyleGAN2Generator(64, style_dim=64, narrow=0.125)
    generator.load_state_dict(weights, strict=True)
    if channels_last:
        generator.to(memory_format=torch.channels_last)
    w = generator.map_styles(expected["z"])
    assert close(w[:, None].expand(-1, generator.num_latents, -1), expected["styles"])
    assert close(generator(expected["z"]).image, (expected["image"] + 1) / 2)


@torch.no_grad()
def test_discriminator_computes_the_published_numbers(golden: Golden) -> None:
    weights, expected = golden("stylegan2_basicsr_64_discriminator")
    discriminator = StyleGAN2Discriminator(64, narrow=0.125)
    discriminator.load_state_dict(weights, strict=True)
    assert close(discriminator((expected["image"] + 1) / 2), expected["logits"])
    _, generated = golden("stylegan2_basicsr_64")
    logits = discriminator((generated["image"] + 1) / 2)
    assert close(logits, generated["discriminator_logits"])


@torch.no_grad()
def test_published_512_layout_has_12_styles_and_64_features() -> None:
    with torch.device("meta"):
        generator = StyleGAN2Generator()
    assert isinstance(generator, Prior)
    assert (generator.resolution, generator.base_size, generator.num_styles) == (512, 16, 12)
    assert (generator.base_channels, generator.feature_channels) == (512, 64)
    # The figure for FFHQ at 512 with channel multiplier 2, without the noise maps.
    assert sum(p.numel() for p in generator.parameters()) == 30_276_583


def test_widths_follow_the_rule() -> None:
    assert channel_widths(1024) == {
        4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64, 1024: 32
    }  # fmt: skip
    assert channel_widths(64, 1, 0.5, {8: 7}) == {4: 256, 8: 7, 16: 256, 32: 256, 64: 128}
    assert channel_widths(64, 2, 1e-6) == dict.fromkeys((4, 8, 16, 32, 64), 1)


# --- the textbook formulation -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resolution", "options"),
    [
        (8, {}),
        (16, {"num_mlp": 1, "style_dim": 5}),
        (64, {"channel_multiplier": 1, "channels": {4: 3, 16: 6, 64: 5}}),
    ],
)
@pytest.mark.parametrize("n", [1, 3])
@torch.no_grad()
def test_generator_equals_the_textbook(resolution: int, options: dict[str, object], n: int) -> None:
    generator = tiny(resolution, **options)
    sd = generator.state_dict()
    z = torch.randn(n, generator.style_dim)
    w = reference_w(sd, z)
    assert close(generator.map_styles(z), w, 1e-5)
    image, features = reference_image(sd, w[:, None].expand(-1, generator.num_latents, -1))
    out = generator(z)
    assert close(out.image, image, 1e-5)
    assert close(out.features, features, 1e-5)
    styles = torch.randn(n, generator.num_latents, generator.style_dim)
    assert close(generator.generate(styles).image, reference_image(sd, styles)[0], 1e-5)


@pytest.mark.parametrize(("resolution", "base_size"), [(32, 8), (32, 16), (32, 32), (128, 16)])
@torch.no_grad()
def test_synthesize_equals_the_textbook(resolution: int, base_size: int) -> None:
    generator = tiny(resolution, base_size=base_size)
    assert generator.num_styles == 2 * int(math.log2(resolution / base_size)) + 2
    base = torch.randn(2, generator.base_channels, base_size, base_size)
    styles = torch.randn(2, generator.num_styles, generator.style_dim)
    image, features = reference_image(generator.state_dict(), styles, base)
    out = generator.synthesize(base, styles)
    assert close(out.image, image, 1e-5)
    assert close(out.features, features, 1e-5)
    assert out.features.shape == (2, generator.feature_channels, resolution, resolution)


@torch.no_grad()
def test_synthesize_goes_on_as_ordinary_generation_does() -> None:
    generator = tiny(64, base_size=16)
    captured: list[Tensor] = []
    layer = generator.style_convs[2]  # the enlarging one at 16x16
    handle = layer.register_forward_hook(lambda _module, _inputs, y: captured.append(y))
    styles = torch.randn(2, generator.num_latents, generator.style_dim)
    ordinary = generator.generate(styles)
    handle.remove()
    synthesised = generator.synthesize(captured[0], styles[:, -generator.num_styles :])
    assert torch.equal(synthesised.features, ordinary.features)
    # Only the to-RGB skip of the lower levels is missing: what differs has no fine detail.
    difference = ordinary.image - synthesised.image
    assert difference.abs().max() > 0
    pooled = F.avg_pool2d(difference, 4)
    smooth = F.interpolate(pooled, scale_factor=4.0, mode="bilinear")[..., 16:-16, 16:-16]
    assert (difference[..., 16:-16, 16:-16] - smooth).std() < 0.3 * difference.std()


@pytest.mark.parametrize("resolution", [8, 32])
@pytest.mark.parametrize("n", [1, 3])
def test_discriminator_and_its_r1_gradients_equal_the_textbook(resolution: int, n: int) -> None:
    discriminator = StyleGAN2Discriminator(resolution, narrow=1 / 64, channels={4: 6})
    randomised(discriminator)
    discriminator.double()
    image = torch.rand(n, 3, resolution, resolution, dtype=torch.float64, requires_grad=True)
    state: State = dict(discriminator.named_parameters())
    results = []
    torch.set_default_dtype(torch.float64)
    try:
        for logits in (discriminator(image), reference_logits(state, image)):
            (gradient,) = torch.autograd.grad(logits.sum(), image, create_graph=True)
            penalty = gradient.square().sum((1, 2, 3)).mean()
            # Biases after the last activation have no influence on the image's gradient.
            second = torch.autograd.grad(penalty, list(state.values()), allow_unused=True)
            results.append((logits, gradient, second))
    finally:
        torch.set_default_dtype(torch.float32)
    (logits, gradient, second), (expected_logits, expected_gradient, expected_second) = results
    assert close(logits, expected_logits, 1e-9)
    assert close(gradient, expected_gradient, 1e-9)
    for name, ours, theirs in zip(state, second, expected_second, strict=True):
        if name.endswith("weight"):
            assert ours is not None
            assert theirs is not None
            assert ours.abs().max() > 0, name
            assert close(ours, theirs, 1e-7), name


# --- learning -----------------------------------------------------------------------------------


def test_gradients_reach_what_learns_and_only_that() -> None:
    generator = tiny(32, base_size=16)
    generator(torch.randn(2, 8), randomize_noise=True).image.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in generator.parameters())

    generator.zero_grad()
    base = torch.randn(2, generator.base_channels, 16, 16, requires_grad=True)
    styles = torch.randn(2, generator.num_styles, 8, requires_grad=True)
    generator.synthesize(base, styles).image.square().sum().backward()
    assert base.grad is not None
    assert styles.grad is not None
    assert styles.grad.abs().amax((0, 2)).min() > 0  # every style is used
    reached = {name for name, p in generator.named_parameters() if p.grad is not None}
    prefixes = ("style_convs.3", "style_convs.4", "style_convs.5", "to_rgbs.1", "to_rgbs.2")
    assert reached == {n for n, _ in generator.named_parameters() if n.startswith(prefixes)}


def test_training_starts_as_in_the_paper() -> None:
    torch.manual_seed(0)
    generator = StyleGAN2Generator(16, style_dim=64, narrow=1 / 8)
    for name, parameter in generator.named_parameters():
        if name.endswith("modulation.bias"):
            assert (parameter == 1).all(), name
        elif name.endswith("bias") or (name.endswith(".weight") and parameter.shape == (1,)):
            assert (parameter == 0).all(), name
        else:
            wanted = 100 if name.startswith("style_mlp") else 1
            assert parameter.std().item() == pytest.approx(wanted, rel=0.2), name
    features = generator(torch.randn(4, 64)).features
    # Demodulation and the activation's gain keep the size of the maps (equation 3).
    assert 0.2 < features.square().mean().sqrt() < 5


def test_bfloat16_autocast_stays_near() -> None:
    generator = tiny(16)
    discriminator = StyleGAN2Discriminator(16, narrow=1 / 64)
    z = torch.randn(2, 8)
    exact = generator(z).image
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = generator(z).image
        discriminator(rough).float().sum().backward()
    assert close(rough.float(), exact, 0.1)


def test_bfloat16_keeps_slopes_and_their_slopes_near() -> None:
    # R1 needs both; filters that a discriminator strides over have derivatives of their own.
    discriminator = StyleGAN2Discriminator(16, narrow=1 / 32)
    x = torch.rand(2, 3, 16, 16, requires_grad=True)

    def slopes() -> list[Tensor]:
        (first,) = torch.autograd.grad(discriminator(x).float().sum(), x, create_graph=True)
        first.float().square().sum().backward()
        found = [first, *(p.grad for p in discriminator.parameters() if p.grad is not None)]
        discriminator.zero_grad()
        return [slope.detach().float().flatten() for slope in found]

    exact = torch.cat(slopes())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = torch.cat(slopes())
    assert F.cosine_similarity(exact, rough, dim=0) > 0.99
    assert float(rough.norm()) == pytest.approx(float(exact.norm()), rel=0.05)


# --- behaviour ----------------------------------------------------------------------------------


@torch.no_grad()
def test_images_do_not_depend_on_the_batch_and_repeat() -> None:
    generator = tiny(32)
    z = torch.randn(3, 8)
    together = generator(z).image
    assert torch.equal(together, generator(z).image)
    alone = torch.cat([generator(one[None]).image for one in z])
    assert close(together, alone, 1e-6)
    assert torch.equal(tiny(32).noises[4], StyleGAN2Generator(32, narrow=0.1).noises[4])


@torch.no_grad()
def test_fresh_noise_differs_and_follows_its_seed() -> None:
    generator = tiny(16)
    z = torch.randn(2, 8)

    def fresh(seed: int) -> Tensor:
        rng = torch.Generator().manual_seed(seed)
        image: Tensor = generator(z, randomize_noise=True, rng=rng).image
        return image

    assert torch.equal(fresh(1), fresh(1))
    assert not torch.equal(fresh(1), fresh(2))
    base = torch.randn(1, generator.base_channels, 8, 8)
    styles = torch.randn(1, generator.num_styles, 8)
    stored = generator.synthesize(base, styles).image
    assert not torch.equal(generator.synthesize(base, styles, randomize_noise=True).image, stored)


@torch.no_grad()
def test_truncation_moves_towards_the_mean() -> None:
    generator = tiny(16)
    mean = generator.mean_latent(64, torch.Generator().manual_seed(0))
    assert mean.shape == (1, 8)
    assert torch.equal(mean, generator.mean_latent(64, torch.Generator().manual_seed(0)))
    z = torch.randn(1, 8)
    w = mean + 0.3 * (generator.map_styles(z) - mean)
    truncated = generator(z, truncation=0.3, truncation_latent=mean).image
    assert torch.equal(truncated, generator.generate(w[:, None].expand(-1, 6, -1)).image)
    with pytest.raises(ConfigError, match="mean_latent"):
        generator(z, truncation=0.5)


@torch.no_grad()
def test_style_mixing_switches_at_the_index() -> None:
    generator = tiny(16)
    a, b = torch.randn(2, 1, 8)
    wa, wb = (generator.map_styles(z)[:, None] for z in (a, b))
    mixed = generator([a, b], mixing_index=2).image
    styles = torch.cat([wa.expand(-1, 2, -1), wb.expand(-1, 4, -1)], 1)
    assert torch.equal(mixed, generator.generate(styles).image)
    drawn = generator([a, b], rng=torch.Generator().manual_seed(3)).image
    assert torch.equal(drawn, generator([a, b], rng=torch.Generator().manual_seed(3)).image)
    for index in (0, 6):
        with pytest.raises(ConfigError, match="from 1 to 5"):
            generator([a, b], mixing_index=index)
    with pytest.raises(ConfigError, match="not 3"):
        generator([a, b, a])


@torch.no_grad()
def test_saved_weights_give_the_same_image(tmp_path: Path) -> None:
    generator = tiny(16)
    generator.to(memory_format=torch.channels_last)
    contiguous = {name: tensor.contiguous() for name, tensor in generator.state_dict().items()}
    save_file(contiguous, tmp_path / "g.safetensors")
    again = StyleGAN2Generator(16, style_dim=8, num_mlp=2, narrow=1 / 64, base_size=8)
    again.load_state_dict(load_file(tmp_path / "g.safetensors"), strict=True)
    z = torch.randn(2, 8)
    assert close(again(z).image, generator(z).image, 1e-5)


def test_minibatch_deviation_takes_the_largest_group_that_divides() -> None:
    x = torch.randn(6, 4, 2, 2)
    deviation = minibatch_stddev(x, 4, 2)  # groups of three: images 0, 2, 4 and 1, 3, 5
    assert deviation.shape == (6, 2, 2, 2)
    expected = x[1::2, 2:].var(0, unbiased=False).add(1e-8).sqrt().mean()
    assert torch.allclose(deviation[[1, 3, 5], 1], expected.expand(3, 2, 2))
    discriminator = StyleGAN2Discriminator(8, narrow=1 / 64)
    for n in (1, 2, 4, 5, 7, 8):
        assert discriminator(torch.rand(n, 3, 8, 8)).shape == (n, 1)


# --- errors and the plugin ----------------------------------------------------------------------


def test_wrong_shapes_say_what_to_pass() -> None:
    generator = tiny(32, base_size=16)
    base = torch.zeros(2, generator.base_channels, 16, 16)
    styles = torch.zeros(2, generator.num_styles, 8)
    for bad_base, bad_styles in (
        (base[:, :-1], styles),
        (base[..., :8], styles),
        (base, styles[:, :-1]),
        (base, styles[:1]),
    ):
        with pytest.raises(SizeError, match="Pass"):
            generator.synthesize(bad_base, bad_styles)
    with pytest.raises(SizeError, match=r"\(N, 8\)"):
        generator(torch.zeros(2, 9))
    with pytest.raises(SizeError, match=r"Resize images to \(N, 3, 16, 16\)"):
        StyleGAN2Discriminator(16, narrow=0.01)(torch.zeros(1, 3, 16, 17))


@pytest.mark.parametrize(
    "options",
    [
        {"resolution": 100},
        {"resolution": 4},
        {"resolution": 16, "base_size": 32},
        {"base_size": 12},
        {"resolution": 32, "channels": {64: 8}},
        {"narrow": 0},
        {"resolutoin": 64},
    ],
)
def test_impossible_options_are_refused(options: dict[str, object]) -> None:
    (entry,) = ugpnet_priors()
    with pytest.raises(ConfigError):
        validate_options(entry, options)


def test_generator_and_discriminator_take_the_same_options() -> None:
    (entry,) = ugpnet_priors()
    options = validate_options(
        entry, {"resolution": 32, "narrow": 0.02, "channels": {"8": 3}, "style_dim": 8}
    )
    generator, discriminator = StyleGAN2Generator(**options), discriminator_for(**options)
    assert generator.state_dict()["style_convs.0.activate.bias"].shape == (3,)
    last_block = "conv_body.3.conv1.1.bias"
    assert discriminator.state_dict()[last_block].shape == (3,)
    assert discriminator(generator(torch.randn(2, 8)).image).shape == (2, 1)
    wide = discriminator_for(**{**options, "discriminator_narrow": 0.04})
    assert wide.state_dict()[last_block].shape == (20,)


def test_the_hook_does_not_import_torch() -> None:
    code = (
        "import sys, ugpnet_priors.stylegan2 as p; p.ugpnet_priors(); print('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "False", result.stderr
