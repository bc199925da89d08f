"""Task ``photo``: how often things happen, what stays, and that its steps are a composition's."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

import ugpnet_core as ug
from ugpnet_core.config import TaskConfig
from ugpnet_core.degradations.photo import Photo
from ugpnet_core.errors import ConfigError
from ugpnet_core.factory import create_task_at
from ugpnet_core.protocols import PairingTask
from ugpnet_core.seeding import rng_for

NOTHING: dict[str, Any] = dict.fromkeys(("grey", "blur", "rescale", "noise", "jpeg"), 0.0)


def photograph(*size: int) -> Tensor:
    smooth = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(smooth, size, mode="bilinear")[0]


def within(count: int, draws: int, probability: float) -> bool:
    """Whether a count is that of a probability, within five standard deviations."""
    return abs(count - draws * probability) <= 5 * math.sqrt(
        draws * probability * (1 - probability)
    )


@pytest.mark.parametrize("untouched", [0.1, 0.4])
def test_a_share_of_the_images_stays_as_it_is(untouched: float) -> None:
    image = photograph(8, 8)
    # JPEG is certain where anything happens at all, and changes every image.
    task = Photo(untouched=untouched, **{**NOTHING, "jpeg": 1.0})
    same = sum(torch.equal(task(image, rng_for(seed)), image) for seed in range(1000))
    assert within(same, 1000, untouched)
    assert torch.equal(Photo(untouched=1)(image, rng_for(0)), image)
    assert torch.equal(Photo(untouched=0, **NOTHING)(image, rng_for(0)), image)


@pytest.mark.parametrize(
    ("what", "often", "expected"),
    # JPEG may happen twice. Of the blurs, the smallest disks leave an image as it is.
    [("noise", 0.65, 0.65), ("jpeg", 0.3, 1 - 0.7**2), ("grey", 0.12, 0.12), ("rescale", 0.3, 0.3)],
)
def test_each_thing_happens_as_often_as_it_says(what: str, often: float, expected: float) -> None:
    image = photograph(12, 12)
    task = Photo(untouched=0, **{**NOTHING, what: often})
    changed = sum(not torch.equal(task(image, rng_for(seed)), image) for seed in range(800))
    assert within(changed, 800, expected)
    assert getattr(Photo(), what) == often


def test_blur_happens_as_often_as_it_says() -> None:
    image = torch.zeros(3, 17, 17)
    image[:, 8, 8] = 1
    task = Photo(untouched=0, **{**NOTHING, "blur": 0.4})
    spread = sum(float(task(image, rng_for(seed)).max()) < 0.999 for seed in range(800))
    # A fifth of the blurs are disks of radius 0.3 to 3, which up to 0.5 leave a point a point.
    untouched_disks = 0.2 * (0.5 - 0.3) / (3.0 - 0.3)
    # So do Gaussians of a deviation below 0.25 or so; a few.
    assert within(spread, 800, 0.4 * (1 - untouched_disks - 0.01))


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 3), (15, 15), (33, 20)])
@pytest.mark.parametrize("level", [None, 0.0, 1.0])
def test_any_size_keeps_its_size_and_range(size: tuple[int, int], level: float | None) -> None:
    image = torch.rand(3, *size) if level is None else torch.full((3, *size), level)
    before = image.clone()
    task = Photo(untouched=0, grey=0.5, blur=0.9, rescale=0.8, noise=0.8, jpeg=0.6)
    for seed in range(40):
        x = task(image, rng_for(seed))
        assert x.shape == image.shape
        assert x.dtype == torch.float32
        assert x.is_contiguous()
        assert x.min() >= 0
        assert x.max() <= 1 + 1e-6  # enlarging rounds
        assert torch.isfinite(x).all()
    assert torch.equal(image, before)


def test_it_draws_from_its_generator_alone() -> None:
    image = photograph(40, 30)
    torch.manual_seed(0)
    first = [Photo()(image, rng_for(seed)) for seed in range(20)]
    state = torch.get_rng_state()
    torch.manual_seed(1)
    again = [Photo()(image, rng_for(seed)) for seed in reversed(range(20))][::-1]
    assert all(map(torch.equal, first, again))
    assert len({x.numpy().tobytes() for x in first}) > 10
    torch.manual_seed(0)
    assert torch.equal(torch.get_rng_state(), state)  # nothing was drawn from it
    assert torch.equal(first[3], ug.degrade(image, "photo", 3)) is False  # another generator
    assert torch.equal(ug.degrade(image, "photo", 3), ug.degrade(image, "photo", 3))


def test_what_comes_grey_is_wanted_back_grey() -> None:
    image = photograph(12, 12)
    luma = (image * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(0).expand_as(image)
    grey = 0
    task = Photo(grey=0.5)
    for seed in range(300):
        clean, x = task.pair(image, rng_for(seed))
        assert torch.equal(x, task(image, rng_for(seed)))
        is_grey = torch.allclose(clean, luma, atol=1e-6)
        assert is_grey or torch.equal(clean, image)
        grey += is_grey
    assert within(grey, 300, 0.9 * 0.5)


def test_its_steps_are_a_composition() -> None:
    image = photograph(33, 40)
    task = Photo(noise=0.8, jpeg=0.5, blur=0.7)
    # As YAML would hold them.
    steps = yaml.safe_load(yaml.safe_dump(task.steps()))
    assert steps == task.steps()
    composed = create_task_at(TaskConfig(name="composition", options={"steps": steps}), 512)
    assert composed.scale == 1
    for seed in range(40):
        rng = rng_for(seed)
        untouched = rng.random() < 0.1
        expected = image if untouched else composed(image, rng)
        assert isinstance(composed, PairingTask)
        assert torch.equal(task(image, rng_for(seed)), expected)


def test_who_changes_its_steps_changes_a_copy() -> None:
    steps = Photo().steps()
    steps[1]["one_of"]["steps"].clear()
    steps[1]["one_of"]["shares"].clear()
    steps[-1]["jpeg"]["quality"][0] = 1
    inner = steps[2]["shuffle"]["steps"]
    assert inner[2] == {"jpeg": {"probability": 0.3, "quality": [25, 95]}}
    inner[1]["one_of"]["steps"][0]["noise"]["sigma"] = 5
    fresh = Photo().steps()
    assert len(fresh[1]["one_of"]["steps"]) == len(fresh[1]["one_of"]["shares"]) == 3
    assert fresh[2]["shuffle"]["steps"][1]["one_of"]["steps"][0]["noise"]["sigma"] == [0, 0.06]
    assert "&" not in yaml.safe_dump(fresh)  # nothing is there twice


def test_noise_has_the_size_of_pixels_at_every_resolution() -> None:
    image = photograph(32, 32)
    config = TaskConfig(name="photo")
    for seed in range(8):
        small, large = (create_task_at(config, side)(image, rng_for(seed)) for side in (64, 1024))
        assert torch.equal(small, large)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"untouched": 2}, "'untouched' of task 'photo'.*less than or equal to 1"),
        ({"noise": -0.1}, "'noise' of task 'photo'.*greater than or equal to 0"),
        ({"noize": 1}, "no option 'noize' of task 'photo'; did you mean 'noise'"),
        ({"resolution": 128}, "no option 'resolution' of task 'photo'"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ug.create_task("photo", **options)


def test_the_document_has_its_steps() -> None:
    text = (Path(__file__).parents[2] / "docs" / "degradations.md").read_text(encoding="utf-8")
    found = re.search(r"```yaml\n# as-photo\.yaml\n(.+?)```", text, re.DOTALL)
    assert found is not None
    task = yaml.safe_load(found[1])["model"]["task"]
    assert task["options"]["steps"] == Photo().steps()
