"""Stages that other trainings finished, reused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from ugpnet_core.checkpoints.state_dict import write_safetensors
from ugpnet_core.config import TrainConfig
from ugpnet_core.factory import create_backbone
from ugpnet_core.image import write_image
from ugpnet_core.training.checkpoint import read_result, result_path
from ugpnet_core.training.run import train

Make = Callable[..., TrainConfig]


def run(config: TrainConfig, *reuse: Path, stage: Any = "all") -> list[str]:
    said: list[str] = []
    train(config, stage, reuse=reuse, say=said.append)
    return said


def reused(said: list[str]) -> set[str]:
    return {line.split()[1] for line in said if "is reused from there" in line}


def states(folder: Path, stage: str) -> dict[str, dict[str, Tensor]]:
    return read_result(result_path(folder, stage))[0]


@pytest.fixture(scope="module")
def trained_once(
    training_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    output = tmp_path_factory.mktemp("trained") / "once"
    settings = {**training_settings, "prior": None, "output": str(output)}
    run(TrainConfig.model_validate(settings))
    return output


@pytest.fixture
def finished(trained_once: Path, tmp_path: Path) -> Path:
    """The output of a training without a prior stage."""
    return shutil.copytree(trained_once, tmp_path / "finished")


def test_stages_of_the_same_making_are_reused_with_equal_results(
    training_config: Make, finished: Path, tmp_path: Path
) -> None:
    changes: dict[str, Any] = {"prior": None, "model__fusion_inputs": "images", "name": "other"}
    alone = training_config(**changes, output=str(tmp_path / "alone"))
    sharing = training_config(**changes, output=str(tmp_path / "sharing"))
    assert reused(run(alone)) == set()
    assert reused(run(sharing, tmp_path / "nothing", finished)) == {"restoration", "synthesis"}
    for stage in ("restoration", "synthesis", "fusion"):
        a, b = states(alone.output, stage), states(sharing.output, stage)
        assert a.keys() == b.keys()
        for network in a:
            torch.testing.assert_close(a[network], b[network], rtol=0, atol=0)
    # The shared one is a file of its own name, which replacing the other's does not change.
    before = result_path(sharing.output, "restoration").read_bytes()
    write_safetensors({"other": torch.zeros(1)}, {}, result_path(finished, "restoration"))
    assert result_path(sharing.output, "restoration").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "expected", "stage"),
    [
        ({"seed": 1}, set(), "restoration"),
        ({"restoration__learning_rate": 1.01e-4}, set(), "all"),
        ({"model__adapter": "plain"}, set(), "restoration"),
        ({"synthesis__iterations": 3}, {"restoration"}, "all"),
        ({"name": "renamed"}, {"restoration", "synthesis", "fusion"}, "all"),
    ],
)
def test_other_settings_forbid_it_from_the_stage_on_that_they_change(
    training_config: Make, finished: Path, changes: dict[str, Any], expected: set[str], stage: str
) -> None:
    assert reused(run(training_config(prior=None, **changes), finished, stage=stage)) == expected


def test_other_content_of_an_input_forbids_it(
    training_config: Make, tmp_path: Path, photographs: Path
) -> None:
    weights = tmp_path / "backbone.safetensors"
    config = training_config(prior=None)
    options = config.model.backbone.options

    def write(seed: int) -> None:
        torch.manual_seed(seed)
        backbone = cast(nn.Module, create_backbone("nafnet", **options))
        write_safetensors(backbone.state_dict(), {}, weights)

    folder = tmp_path / "learn"
    for index in range(2):
        write_image(folder / f"{index}.png", torch.rand(3, 32, 32))
    changes: dict[str, Any] = {"prior": None, "restoration__weights": str(weights)}
    changes |= {"data__train": [str(folder)]}
    first = training_config(**changes, output=str(tmp_path / "first"))
    write(0)
    run(first, stage="restoration")
    same = training_config(**changes, output=str(tmp_path / "same"))
    assert reused(run(same, first.output, stage="restoration")) == {"restoration"}
    write(1)
    other = training_config(**changes, output=str(tmp_path / "other"))
    assert reused(run(other, first.output, stage="restoration")) == set()
    write(0)
    write_image(folder / "more.png", torch.rand(3, 32, 32))
    more = training_config(**changes, output=str(tmp_path / "more"))
    assert reused(run(more, first.output, stage="restoration")) == set()


def test_a_damaged_result_elsewhere_is_said_and_not_used(
    training_config: Make, finished: Path
) -> None:
    result_path(finished, "restoration").write_bytes(b"nothing")
    config = training_config(prior=None)
    said = run(config, finished, stage="restoration")
    assert any(line.startswith("Not reused: ") and "is damaged" in line for line in said)
    assert result_path(config.output, "restoration").exists()


def test_a_stage_that_was_trained_on_is_not_one_from_the_beginning(
    training_config: Make, finished: Path, tmp_path: Path
) -> None:
    more = {"prior": None, "restoration__iterations": 3}
    for stage in ("synthesis", "fusion"):
        result_path(finished, stage).unlink()
    extended = training_config(**more, output=str(finished))
    train(extended, "restoration", extend=True)
    new = training_config(**more, output=str(tmp_path / "new"))
    said = run(new, finished, stage="restoration")
    assert reused(said) == set()
    path = result_path(finished, "restoration")
    assert any(line.startswith(f"Not reused: {path} was trained on") for line in said)
