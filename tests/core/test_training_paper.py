"""The defaults are those of the paper, and so are the configurations of its experiments."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from ugpnet_core.config import (
    DataConfig,
    FusionStageConfig,
    ModelConfig,
    PerceptualConfig,
    PriorStageConfig,
    RestorationStageConfig,
    SynthesisStageConfig,
    TrainConfig,
)
from ugpnet_core.config_files import read_config
from ugpnet_core.factory import create_task, create_task_at
from ugpnet_core.model_files.model import load_model
from ugpnet_core.networks.ugpnet import build_model
from ugpnet_core.training.run import train

FOLDER = Path(__file__).parents[2] / "examples" / "configs" / "paper"
EXAMPLES = ("denoise", "deblur", "sr8", "church-256")
GOLDEN = Path(__file__).parents[1] / "golden"

# Supplement S.4, equations 2 and 3; the rest is what design.md states of the published training.
DEFAULTS: dict[type[Any], dict[str, Any]] = {
    RestorationStageConfig: {
        "batch_size": 8,
        "betas": (0.9, 0.999),
        "learning_rate": 1e-4,
        "iterations": 20_000,
        "loss": "backbone",
        "weight_decay": 0.0,
        "schedule": "constant",
        "warmup": 0,
    },
    SynthesisStageConfig: {
        "batch_size": 8,
        "betas": (0.9, 0.999),
        "learning_rate": 1e-4,
        "discriminator_learning_rate": 2.5e-5,
        "iterations": 40_000,
        "pixel_weight": 1.0,
        "perceptual_weight": 10.0,
        "adversarial_weight": 0.3,
        "adversarial_from": 0,
        "r1_weight": 10.0,
        "r1_every": 16,
        "augment": True,
        "schedule": "constant",
        "weight_decay": 0.0,
    },
    FusionStageConfig: {
        "batch_size": 8,
        "betas": (0.9, 0.999),
        "learning_rate": 1e-3,
        "schedule": "step",
        "decay_at": 8_000,
        "iterations": 40_000,
        "pixel_weight": 1.0,
        "perceptual_weight": 10.0,
        "contextual_weight": 0.05,
        "contextual_patch": 128,
        "contextual_bandwidth": 0.5,
        "contextual_weighted": False,
        "weight_decay": 0.0,
    },
    PriorStageConfig: {  # StyleGAN2's
        "betas": (0.0, 0.99),
        "learning_rate": 2e-3,
        "discriminator_learning_rate": 2e-3,
        "r1_weight": 10.0,
        "r1_every": 16,
        "path_length_weight": 2.0,
        "path_length_every": 4,
        "mixing": 0.9,
        "augmentation_target": 0.6,
    },
    ModelConfig: {"merging_channels": 64, "fusion_blocks": 8, "encoder_channels": None},
    PerceptualConfig: {"network": "vgg", "resize": 256},
    DataConfig: {"resolution": 512, "flip": True, "crop": None},
    TrainConfig: {"precision": "float32"},
}


@pytest.mark.parametrize("section", DEFAULTS, ids=lambda one: one.__name__)
def test_defaults_are_the_papers(section: type[Any]) -> None:
    fields = section.model_fields
    assert {key: fields[key].default for key in DEFAULTS[section]} == DEFAULTS[section]


def test_the_tasks_of_the_paper_have_its_strengths() -> None:
    denoise, deblur, sr8 = (create_task(name) for name in ("denoise", "deblur", "sr8"))
    assert (denoise.sigma, denoise.k) == (0.3, 30)  # type: ignore[attr-defined]
    assert (deblur.kernel_size, deblur.kernel_count) == (71, 1000)  # type: ignore[attr-defined]
    assert sr8.scale == 8


# Where the published training is another than what we do by default (docs/training.md).
THEIRS: dict[type[Any], dict[str, Any]] = {
    SynthesisStageConfig: {
        "r1_every": 10,
        "augment_as": "published",
        "discriminator_first": True,
    },
    PerceptualConfig: {"resize_filter": "bicubic"},
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_configuration_of_the_paper_states_what_are_the_defaults(name: str) -> None:
    config = read_config(FOLDER / f"{name}.yaml")
    sections = (config.restoration, config.synthesis, config.fusion)
    for section in sections:
        theirs = THEIRS.get(type(section), {})
        expected = {**DEFAULTS[type(section)], **theirs}
        assert {key: getattr(section, key) for key in expected} == expected
        assert section.model_copy(update={"weights": None}) == type(section)(**theirs)
    assert config.perceptual == PerceptualConfig(**THEIRS[PerceptualConfig])
    assert config.prior is None
    assert config.data.resolution == (256 if name == "church-256" else 512)
    assert config.data.validation_count == 1000


def test_the_document_says_which_settings_of_the_paper_are_not_ours() -> None:
    text = (FOLDER.parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    for names in THEIRS.values():
        for name in names:
            assert re.search(rf"^\| `(synthesis|perceptual)\.{name}` \|", text, re.MULTILINE), name


# Parameters of the networks that are used, as the published weights have them.
COUNTS = {"deblur": 69_557_104}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_networks_of_the_paper_can_be_built(name: str) -> None:
    config = read_config(FOLDER / f"{name}.yaml")
    with torch.device("meta"):
        model = build_model(config.model)
    generator = model.synthesis.generator
    assert (generator.base_size, generator.feature_channels) == (
        (16, 128) if name == "church-256" else (16, 64)
    )
    if name in COUNTS:
        assert sum(p.numel() for p in model.parameters()) == COUNTS[name]
    entry = {"denoise": "sidd", "deblur": "gopro", "church-256": "gopro"}.get(name)
    if entry is not None:
        published = json.loads((GOLDEN / f"nafnet_{entry}_width32.json").read_text())
        shapes = {key: list(p.shape) for key, p in model.restoration.backbone.state_dict().items()}  # type: ignore[attr-defined]
        assert shapes == {key: one["shape"] for key, one in published["state"].items()}


def test_the_churches_are_blurred_by_kernels_of_their_stated_size() -> None:
    config = read_config(FOLDER / "church-256.yaml")
    task: Any = create_task_at(config.model.task, config.data.resolution)
    assert task.kernel_count == 2000
    assert task.kernel(0).shape == (51, 51)
    faces: Any = create_task_at(read_config(FOLDER / "deblur.yaml").model.task, 512)
    assert faces.kernel(0).shape == (71, 71)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_configurations_train_when_they_are_shrunk(
    training_settings: dict[str, Any], name: str, tmp_path: Path
) -> None:
    perceptual, data = training_settings["perceptual"], training_settings["data"]
    backbone = {"num_feat": 4, "num_block": 1, "num_grow_ch": 2}
    if name != "sr8":
        backbone = training_settings["model"]["backbone"]["options"]
    shrunk: dict[str, Any] = {
        "output": str(tmp_path / "run"),
        "model.prior.options": training_settings["model"]["prior"]["options"],
        "model.merging_channels": 4,
        "model.fusion_blocks": 1,
        **{f"model.backbone.options.{key}": value for key, value in backbone.items()},
        **{f"data.{key}": value for key, value in data.items()},
        "data.workers": 0,
        "data.cache": True,
        "perceptual": perceptual,
        "restoration.weights": None,
        "synthesis.weights": None,
        "trackers": [],
        "threads": 1,
    }
    for stage in ("restoration", "synthesis", "fusion"):
        shrunk |= {f"{stage}.iterations": 1, f"{stage}.batch_size": 2}
    overrides = [f"{key}={json.dumps(value)}" for key, value in shrunk.items()]
    path = train(read_config(FOLDER / f"{name}.yaml", overrides))
    assert path == tmp_path / "run" / f"paper-{name}.safetensors"
    assert path is not None
    model = load_model(path)
    assert model(torch.rand(1, 3, 32 // model.scale, 32 // model.scale)).image.isfinite().all()
