"""Tasks composed of steps, in Python and in YAML."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

import ugpnet_core as ug
from ugpnet_core.cli import main
from ugpnet_core.config import ModelConfig, TaskConfig, TrainConfig
from ugpnet_core.degradations.pairing import pair
from ugpnet_core.errors import ConfigError
from ugpnet_core.factory import create_task, create_task_at
from ugpnet_core.image import read_image, write_image
from ugpnet_core.model_files.model import load_model, save_model
from ugpnet_core.networks.ugpnet import build_model
from ugpnet_core.protocols import Task
from ugpnet_core.seeding import rng_for


def photograph(*size: int) -> Tensor:
    smooth = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(smooth, size, mode="bilinear")[0]


def composed(text: str, resolution: int = 512) -> Task:
    """The task that a line of YAML stands for."""
    return create_task_at(TaskConfig.model_validate(yaml.safe_load(text)), resolution)


@pytest.mark.parametrize(
    ("steps", "task", "options"),
    [
        ("[blur, downsample, noise, jpeg]", "blind", {}),
        ("[blur, downsample, noise, jpeg, upsample]", "blind", {}),
        ("[{noise: {sigma: 0.3, k: 30}}]", "denoise", {}),
        ("[motion_blur]", "deblur", {}),
        ("[{motion_blur: {kernel_size: 31, kernel_seed: 3}}]", "deblur", {"kernel_size": 31}),
        ("[{downsample: {factor: 4, method: bicubic}}]", "sr4", {}),
    ],
)
def test_the_named_tasks_are_compositions(steps: str, task: str, options: dict[str, Any]) -> None:
    if "kernel_seed" in steps:
        options = {**options, "kernel_seed": 3}
    image = photograph(45, 50)
    ours = composed(steps)
    for seed in range(3):
        x = ours(image, rng_for(seed, 0))
        assert torch.equal(x, ug.degrade(image, task, seed, options))
        assert x.shape == (3, *(-(-side // ours.scale) for side in (45, 50)))


@pytest.mark.parametrize(
    ("steps", "scale"),
    [
        ("[noise]", 1),
        ("[{downsample: {factor: 3}}]", 3),
        ("[{downsample: {factor: [3, 3]}}, jpeg, {downsample: {factor: 2}}]", 6),
        ("[{downsample: {factor: 3}}, upsample]", 1),
        ("[{downsample: {factor: 3}}, noise, {upsample: {method: bicubic}}, jpeg]", 1),
        ("[{downsample: {factor: [1, 4]}}, jpeg]", 1),
        ("[{downsample: {factor: 2.5}}]", 1),
        ("[{downsample: {factor: [1, 4]}}, {downsample: {factor: 2}}]", 1),
        ("[{downsample: {factor: [1, 4]}}, upsample, {downsample: {factor: 2}}]", 2),
    ],
)
def test_the_scale_is_known_beforehand(steps: str, scale: int) -> None:
    task = composed(steps)
    assert task.scale == scale
    for size in ((31, 42), (1, 5)):
        for seed in range(4):
            x = task(photograph(*size), rng_for(seed))
            assert x.shape == (3, *(-(-side // scale) for side in size))
            assert x.min() >= 0
            assert x.max() <= 1
            assert x.is_contiguous()


def test_a_range_is_drawn_for_each_image_and_a_number_is_fixed() -> None:
    flat = torch.full((3, 64, 64), 0.5)

    def deviations(text: str) -> list[float]:
        task = composed(text)
        return [float(task(flat, rng_for(seed)).std()) for seed in range(40)]

    fixed = deviations("[{noise: {sigma: 0.05}}]")
    assert min(fixed) > 0.047
    assert max(fixed) < 0.053
    drawn = deviations("[{noise: {sigma: [0.02, 0.1]}}]")
    assert 0.019 < min(drawn) < 0.035
    assert 0.085 < max(drawn) < 0.103
    # 1 / (2 k) is the variance of the photons, so k from 20 to 500 gives 0.158 to 0.032.
    photons = deviations("[{noise: {sigma: 0, k: [20, 500]}}]")
    assert 0.030 < min(photons) < 0.036
    assert 0.050 < max(photons) < 0.163


def test_steps_come_in_the_order_of_the_list() -> None:
    noise, blur = "{noise: {sigma: 0.1}}", "{blur: {sigma: 2}}"
    flat = torch.full((3, 64, 64), 0.5)
    noisy = composed(f"[{blur}, {noise}]")(flat, rng_for(0))
    smooth = composed(f"[{noise}, {blur}]")(flat, rng_for(0))
    assert noisy.std() > 4 * smooth.std()


def test_pixels_scale_with_the_resolution_and_factors_do_not() -> None:
    image = photograph(64, 64)
    for steps in ("[{blur: {sigma: 8}}]", "[motion_blur]"):
        at_512 = composed(steps)(image, rng_for(0)) - image
        at_128 = composed(steps, 128)(image, rng_for(0)) - image
        assert at_128.abs().mean() < 0.6 * at_512.abs().mean()
    assert composed("[{downsample: {factor: 4}}]", 128).scale == 4
    stated = TaskConfig(name="composition", options={"steps": ["motion_blur"], "resolution": 512})
    as_stated = create_task_at(stated, 128)(image, rng_for(0))
    assert torch.equal(as_stated, composed("[motion_blur]")(image, rng_for(0)))


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (
            "[]",
            "needs steps; valid: blur, defocus, motion_blur, downsample, noise, jpeg, upsample, ",
        ),
        ("[nose]", "no step 'nose'; did you mean 'noise'[?] Valid: blur, defocus"),
        ("[{blur: {sigmo: 1}}]", "'sigmo' of step 'blur'; did you mean 'sigma'.*isotropic"),
        ("[{blur: {sigma: [3, 1]}}]", "'sigma' of step 'blur'.*3 is larger than 1"),
        ("[{blur: {sigma: 0}}]", "'sigma.0' of step 'blur'.*greater than 0"),
        ("[{blur: {sigma: yes}}]", "'sigma' of step 'blur'.*number or .low, high."),
        ("[{noise: {sigma: .nan}}]", "finite"),
        ("[{jpeg: {quality: [60, 101]}}]", "'quality.1' of step 'jpeg'"),
        ("[{downsample: {method: sharp}}]", "'method' of step 'downsample'"),
        ("[{motion_blur: {resolution: 9}}]", "no option 'resolution' of step 'motion_blur'"),
        ("[{blur: 3}]", "no step of a composition; write a name"),
        ("[{blur: {}, noise: {}}]", "no step of a composition; write a name"),
        ("[7]", "no step of a composition; write a name"),
    ],
)
def test_mistakes_are_named(steps: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        composed(steps)


def test_a_list_is_a_task_wherever_one_is_configured(
    training_config: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    steps = [{"blur": {"sigma": [0.5, 2]}}, {"downsample": {"factor": [1, 4]}}, "noise", "jpeg"]
    config = training_config(model__task=steps)
    assert config.model.task == TaskConfig(name="composition", options={"steps": steps})
    again = ModelConfig.model_validate_json(config.model.model_dump_json())
    assert again == config.model
    # It lies in the model file, and the model knows it.
    model = build_model(config.model)
    assert model.scale == 1
    save_model(model, tmp_path / "model.safetensors")
    assert load_model(tmp_path / "model.safetensors").config.task == config.model.task


def test_a_mistake_in_a_training_is_found_before_it_starts(
    training_config: Callable[..., TrainConfig],
) -> None:
    with pytest.raises(ConfigError, match="no step 'blurr'"):
        build_model(training_config(model__task=["blurr"]).model)


def test_the_schema_for_editors_knows_both_forms(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config-schema"]) == 0
    task = json.loads(capsys.readouterr().out)["$defs"]["TaskConfig"]
    assert {form["type"] for form in task["anyOf"]} == {"object", "array"}


def test_degrade_takes_a_composition(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "clean.png", photograph(40, 30))
    command = ["degrade", str(tmp_path / "clean.png"), "-o", str(tmp_path / "x.png")]
    command += ["--task", "composition", "--resolution", "24"]
    assert main([*command, "--set", "steps=[{downsample: {factor: 3}}, noise]"]) == 0
    assert read_image(tmp_path / "x.png").pixels.shape == (3, 8, 8)
    assert main([*command, "--set", "steps=[downsize]"]) == 2
    assert "did you mean 'downsample'? Valid: blur, defocus" in capsys.readouterr().err


def test_what_was_grey_before_it_was_degraded_is_wanted_back_grey() -> None:
    image = torch.rand(3, 20, 20, generator=torch.Generator().manual_seed(0))
    first = create_task("composition", steps=["grey", {"noise": {"sigma": 0.1}}])
    later = create_task("composition", steps=[{"noise": {"sigma": 0.1}}, "grey"])
    clean, x = pair(first, image, rng_for(0))
    assert torch.equal(clean[0], clean[1])
    assert not torch.equal(x[0], x[1])
    assert torch.equal(x, first(image, rng_for(0)))
    assert torch.equal(pair(later, image, rng_for(0))[0], image)
    greys = 0
    photo = create_task("photo", grey=0.3)
    for seed in range(60):
        clean, x = pair(photo, image, rng_for(seed))
        assert torch.equal(x, photo(image, rng_for(seed)))
        greys += torch.equal(clean[0], clean[1])
        assert torch.equal(clean, image) or torch.equal(clean[0], clean[1])
    assert 6 < greys < 30
    denoise = create_task("denoise")
    assert torch.equal(pair(denoise, image, rng_for(1))[0], image)
