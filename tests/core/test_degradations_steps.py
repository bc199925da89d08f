"""Steps that a composition takes now and then, in any order, or one of; and what they do."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor

from ugpnet_core.config import TaskConfig
from ugpnet_core.degradations.blur import disk_kernel
from ugpnet_core.degradations.steps import Defocus, OneOf, Rescale, Shuffle, Sometimes, happens
from ugpnet_core.errors import ConfigError
from ugpnet_core.factory import create_task_at
from ugpnet_core.protocols import Task
from ugpnet_core.seeding import rng_for

SIZES = [(1, 1), (2, 3), (33, 20)]


def composed(text: str, resolution: int = 512) -> Task:
    """The task that a line of YAML stands for."""
    return create_task_at(TaskConfig.model_validate(yaml.safe_load(text)), resolution)


def photograph(*size: int) -> Tensor:
    return torch.rand(3, *size, generator=torch.Generator().manual_seed(0))


def within(count: int, draws: int, probability: float) -> bool:
    """Whether a count is that of a probability, within five standard deviations."""
    return abs(count - draws * probability) <= 5 * math.sqrt(
        draws * probability * (1 - probability)
    )


@dataclass(frozen=True)
class Digit:
    """A step that writes a digit behind those that are there."""

    digit: int

    def __call__(self, image: Tensor, rng: np.random.Generator, size: tuple[int, int]) -> Tensor:
        return image * 10 + self.digit


def written(step: Callable[..., Tensor], draws: int) -> Counter[int]:
    """How often each number is left on an image of zeros."""
    zero, rng = torch.zeros(3, 1, 1), rng_for(0)
    return Counter(int(step(zero, rng, (1, 1)).max()) for _ in range(draws))


# Probabilities


@pytest.mark.parametrize("probability", [0.03, 0.5, 0.9])
def test_a_step_is_taken_as_often_as_it_says(probability: float) -> None:
    counts = written(Sometimes(Digit(1), probability), 4000)
    assert within(counts[1], 4000, probability)
    assert counts.keys() == {0, 1}


def test_what_is_certain_costs_no_draw() -> None:
    for probability, expected in ((1.0, True), (0.0, False)):
        rng = rng_for(0)
        assert all(happens(probability, rng) is expected for _ in range(100))
        assert rng.random() == rng_for(0).random()


def test_a_composition_with_probability_1_draws_what_one_without_draws() -> None:
    image = photograph(20, 30)
    plain = composed("[blur, {downsample: {factor: [1, 3]}}, {noise: {k: [20, 90]}}, jpeg]")
    certain = composed(
        "[{blur: {probability: 1}}, {downsample: {factor: [1, 3], probability: 1}}, "
        "{noise: {k: [20, 90], probability: 1.0, grey: 0, coarse: 0}}, {jpeg: {probability: 1}}]"
    )
    assert certain == plain
    never = composed("[{blur: {probability: 0}}, {noise: {probability: 0}}]")
    for seed in range(5):
        assert torch.equal(certain(image, rng_for(seed)), plain(image, rng_for(seed)))
        assert torch.equal(never(image, rng_for(seed)), image)


def test_a_step_that_is_not_taken_leaves_the_image_alone() -> None:
    image = photograph(8, 8)
    task = composed("[{noise: {sigma: 0.1, probability: 0.25}}]")
    same = sum(torch.equal(task(image, rng_for(seed)), image) for seed in range(400))
    assert within(same, 400, 0.75)


# Order and choice


def test_shuffle_takes_all_steps_in_every_order_alike() -> None:
    counts = written(Shuffle((Digit(1), Digit(2), Digit(3))), 3000)
    orders = {int("".join(order)) for order in itertools.permutations("123")}
    assert counts.keys() == orders
    assert all(within(count, 3000, 1 / 6) for count in counts.values())


def test_one_of_keeps_to_its_shares() -> None:
    shares = (0.7, 0.3, 0.0)
    counts = written(OneOf((Digit(1), Digit(2), Digit(3)), shares), 3000)
    assert counts[3] == 0
    assert all(within(counts[i + 1], 3000, share) for i, share in enumerate(shares))


def test_one_of_takes_all_alike_where_no_shares_are_given() -> None:
    image = torch.full((3, 8, 8), 0.5)
    choice = "{one_of: {steps: [{noise: {sigma: 0}}, {noise: {sigma: 0.1}}, grey]}}"
    task = composed(f"[{choice}]")
    noisy = sum(float(task(image, rng_for(seed)).std()) > 0.01 for seed in range(900))
    assert within(noisy, 900, 1 / 3)


def test_groups_stand_in_groups() -> None:
    text = """
    - shuffle:
        steps:
          - one_of: {steps: [{downsample: {factor: 2}}, blur, {shuffle: {steps: [grey, jpeg]}}]}
          - rescale: {factor: [0.5, 9], probability: 0.5}
          - one_of: {probability: 0.9, shares: [1], steps: [{noise: {grey: 0.5, coarse: 0.5}}]}
    - defocus
    """
    task = composed(text)
    for size in SIZES:
        for seed in range(12):
            x = task(photograph(*size), rng_for(seed))
            assert x.shape == (3, *size)
            assert x.min() >= 0
            assert x.max() <= 1
            assert torch.equal(x, task(photograph(*size), rng_for(seed)))


@pytest.mark.parametrize(
    ("steps", "scale"),
    [
        ("[{downsample: {factor: 2, probability: 0.5}}]", 1),
        ("[{downsample: {factor: 2, probability: 0.5}}, {downsample: {factor: 2}}]", 1),
        ("[{downsample: {factor: 2, probability: 0.5}}, upsample, {downsample: {factor: 2}}]", 2),
        ("[{downsample: {factor: 2}}, {upsample: {probability: 0.5}}]", 1),
        ("[{downsample: {factor: 2}}, {noise: {probability: 0.5}}]", 2),
        ("[{shuffle: {steps: [{downsample: {factor: 2}}, jpeg]}}]", 1),
        ("[{one_of: {steps: [{downsample: {factor: 2}}, jpeg]}}, {downsample: {factor: 2}}]", 1),
        ("[{shuffle: {steps: [{one_of: {steps: [upsample, jpeg]}}]}}]", 1),
        ("[{downsample: {factor: 3}}, {shuffle: {steps: [{rescale: {factor: 2}}, jpeg]}}]", 3),
        ("[{downsample: {factor: 3}}, rescale, grey, defocus]", 3),
    ],
)
def test_the_scale_never_depends_on_what_is_drawn(steps: str, scale: int) -> None:
    task = composed(steps)
    assert task.scale == scale
    for height, width in SIZES:
        for seed in range(6):
            x = task(photograph(height, width), rng_for(seed))
            assert x.shape == (3, -(-height // scale), -(-width // scale))
            assert x.is_contiguous()


# Out of focus


@pytest.mark.parametrize("radius", [0.3, 0.5, 0.8, 1.0, 1.7, 3.0, 4.4, 8.0])
def test_a_disk_has_sum_1_and_looks_the_same_from_all_sides(radius: float) -> None:
    kernel = disk_kernel(radius).double()
    assert kernel.shape[0] == kernel.shape[1]
    assert kernel.shape[0] % 2 == 1
    assert float(kernel.sum()) == pytest.approx(1, abs=1e-6)
    assert kernel.min() >= 0
    for turned in (kernel.T, kernel.flip(0), kernel.flip(1)):
        assert torch.equal(kernel, turned)
    axis = torch.arange(len(kernel)) - len(kernel) // 2
    distance = (axis[:, None] ** 2 + axis[None, :] ** 2).double().sqrt()
    assert (kernel[distance >= radius + 0.5] == 0).all()
    inside = kernel[distance <= radius - 0.5]
    assert torch.equal(inside, inside[:1].expand_as(inside))
    # Along an axis a disk has the second moment r^2 / 4; an antialiased rim adds up to 1 / 16.
    moment = float((kernel.sum(0) * axis**2).sum())
    if radius >= 1.7:
        assert moment == pytest.approx(radius**2 / 4 + 1 / 16, rel=0.08)
    if radius <= 0.5:
        assert moment == 0  # it leaves the image as it is


def test_defocus_makes_a_point_a_disk() -> None:
    image = torch.zeros(3, 21, 21)
    image[:, 10, 10] = 1
    x = Defocus((3.0, 3.0))(image, rng_for(0), (21, 21))
    expected = disk_kernel(3.0)
    assert torch.allclose(x[:, 7:14, 7:14], expected.expand(3, -1, -1), atol=1e-6)
    for size in SIZES:
        flat = torch.full((3, *size), 0.4)
        assert torch.allclose(composed("[defocus]")(flat, rng_for(0)), flat, atol=1e-5)


def test_radius_and_grain_scale_with_the_resolution() -> None:
    image = photograph(40, 40)
    small = composed("[{defocus: {radius: 8}}]", 128)
    assert torch.equal(
        small(image, rng_for(0)), composed("[{defocus: {radius: 2}}]")(image, rng_for(0))
    )
    coarse = "[{noise: {sigma: 0.1, coarse: 1, grain: %s}}]"
    at_128 = composed(coarse % 4, 128)(image, rng_for(0))
    assert torch.equal(at_128, composed(coarse % 1)(image, rng_for(0)))


# Smaller and back, grey, noise


@pytest.mark.parametrize("factor", ["[1, 4]", "4", "3", "2.7", "[0.4, 0.9]", "64"])
def test_rescale_keeps_size_and_place(factor: str) -> None:
    task = composed(f"[{{rescale: {{factor: {factor}}}}}]")
    assert task.scale == 1
    for size in SIZES:
        for seed in range(6):
            x = task(photograph(*size), rng_for(seed))
            assert x.shape == (3, *size)
            assert x.min() >= 0
            assert x.max() <= 1
    if factor == "64":
        return
    # Nothing moves, whatever the size: a slope is still one in the middle, but for its steps.
    slope = torch.linspace(0, 1, 33).expand(3, 33, 33)
    for seed in range(6):
        difference = (task(slope, rng_for(seed)) - slope)[:, :, 8:25]
        assert abs(float(difference.mean())) < 0.008


def test_rescale_uses_all_methods_both_ways() -> None:
    image = photograph(16, 16)
    step = Rescale((2.7, 2.7))
    ways = {step(image, rng_for(seed), (16, 16)).numpy().tobytes() for seed in range(120)}
    assert len(ways) == 9


def test_rescale_loses_the_more_the_larger_the_factor() -> None:
    image = torch.nn.functional.interpolate(photograph(16, 16)[None], 64, mode="bilinear")[0]

    def lost(factor: float) -> float:
        task = composed(f"[{{rescale: {{factor: {factor}}}}}]")
        made = [task(image, rng_for(seed)) for seed in range(12)]
        return float(torch.stack(made).sub(image).square().mean())

    assert lost(1) == 0
    assert 0 < 2 * lost(1.5) < lost(3) < 0.5 * lost(12)


def test_grey_is_the_luma_of_rec_601() -> None:
    image = (photograph(7, 9) * 255).round() / 255
    grey = composed("[grey]")(image, rng_for(0))
    assert torch.equal(grey[0], grey[1])
    assert torch.equal(grey[0], grey[2])
    pixels = (image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    for other in (
        np.asarray(Image.fromarray(pixels).convert("L")),
        cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY),
    ):
        assert (grey[0] * 255 - torch.from_numpy(other.copy())).abs().max() <= 1
    white = torch.ones(3, 2, 2)
    assert torch.equal(composed("[grey]")(white, rng_for(0)), white)


def test_noise_is_grey_or_coarse_as_often_as_it_says() -> None:
    flat = torch.full((3, 24, 24), 0.5)
    task = composed("[{noise: {sigma: 0.05, grey: 0.3, coarse: 0.2, grain: 1.2}}]")
    grey = coarse = 0
    for seed in range(500):
        error = task(flat, rng_for(seed)) - 0.5
        grey += torch.equal(error[0], error[1])
        neighbours = (error[..., 1:] * error[..., :-1]).mean() / error.square().mean()
        coarse += float(neighbours) > 0.42  # 0.84 on average, or 0
    assert within(grey, 500, 0.3)
    assert within(coarse, 500, 0.2)


# Mistakes


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("[{noise: {probability: 2}}]", "'probability' of step 'noise'.*less than or equal to 1"),
        ("[{grey: {probability: -1}}]", "'probability' of step 'grey'.*greater than or equal to 0"),
        ("[{jpeg: {probability: .nan}}]", "'probability' of step 'jpeg'"),
        ("[one_of]", "'steps' of step 'one_of': Field required; valid options: .*shares"),
        ("[{shuffle: [noise, jpeg]}]", r"write \{shuffle: \{steps: \[\.\.\.\]\}\}\.$"),
        ("[{one_of: [noise, jpeg]}]", r"write \{one_of: \{steps: "),
        ("[{shuffle: {steps: noise}}]", "'steps' of step 'shuffle': give a list of steps, such as"),
        ("[{shuffle: {steps: {noise: {}}}}]", "'steps' of step 'shuffle': give a list of steps"),
        ("[{shuffle: {steps: []}}]", "needs steps; valid: blur"),
        ("[{one_of: {steps: [nois]}}]", "no step 'nois'; did you mean 'noise'"),
        ("[{one_of: {steps: [{blur: {sigmo: 1}}]}}]", "'sigmo' of step 'blur'; did you mean"),
        ("[{one_of: {steps: [noise, jpeg], shares: [1]}}]", ": give 2 shares, one for each of st"),
        ("[{one_of: {steps: [noise], shares: [0.9]}}]", "shares must be probabilities of sum 1"),
        ("[{one_of: {steps: [noise, jpeg], shares: [2, -1]}}]", "must be probabilities of sum 1"),
        ("[{one_of: {steps: [noise], shares: [.nan]}}]", "must be probabilities of sum 1"),
        ("[{one_of: {steps: [grey, blur, jpeg], shares: [0.3333333, 0.3333333, 0.3333333]}}]",
         "must be probabilities of sum 1"),
        ("[{one_of: {steps: [{motion_blur: {kernels: k.safetensors, kernel_size: 9}}]}}]",
         "step 'motion_blur': kernels is a set of its own, leave out kernel_size"),
        ("[{defocus: {radius: 1000}}]", "'radius.0' of step 'defocus'.*less than or equal to 64"),
        ("[{noise: {grain: 0}}]", "'grain.0' of step 'noise'.*greater than or equal to 0.01"),
        ("[{noise: {grain: wide}}]", r"'grain' of step 'noise': give a number or \[low, high\]"),
        ("[{noise: {sigma: [0, 1, 2]}}]", r"'sigma' of step 'noise': give a number or \[low, hi"),
        ("[{rescale: {factor: 100}}]", "'factor.0' of step 'rescale'.*less than or equal to 64"),
        ("[{grey: {strength: 1}}]", "no option 'strength' of step 'grey'; valid: probability"),
    ],
)  # fmt: skip
def test_mistakes_are_named_in_one_sentence(steps: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        composed(steps)
    assert "\n" not in str(caught.value)
    assert "Value error" not in str(caught.value)


def test_yaml_words_that_are_numbers_are_numbers() -> None:
    assert composed("[{noise: {sigma: 1e-3}}]") == composed("[{noise: {sigma: 0.001}}]")
