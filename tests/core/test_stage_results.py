"""Results of stages say what they are; those of older code, which do not, are told."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import ugpnet_core as ug
from ugpnet_core.checkpoints.file import Checkpoint, read_checkpoint_file
from ugpnet_core.checkpoints.state_dict import write_safetensors
from ugpnet_core.config import TrainConfig
from ugpnet_core.errors import TrainingError, WeightsError
from ugpnet_core.inference.opened_prior import open_prior
from ugpnet_core.model_files.stage_results import FORMAT, StageResult, read_stage_result
from ugpnet_core.training.checkpoint import read_result, result_path
from ugpnet_core.training.own_modules import read_own_module
from ugpnet_core.training.run import train
from ugpnet_core.training.stages import STAGES

NO_PRIOR = "is the result of the {} stage, which holds no prior; give that of the stage prior or"


@pytest.fixture(scope="module")
def finished(training_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("results") / "run"
    train(TrainConfig.model_validate({**training_settings, "output": str(output)}))
    return output


def rewritten(path: Path, target: Path, metadata: Mapping[str, str]) -> Path:
    write_safetensors(read_checkpoint_file(path).content, metadata, target)
    return target


def older(path: Path, target: Path, model: Mapping[str, Any] | None = None) -> Path:
    """As older code wrote it; the oldest noted all settings of the model for each stage."""
    metadata = read_checkpoint_file(path).metadata
    made_by = json.loads(metadata["fingerprint"])
    made_by |= {f"model.{key}": json.dumps(value) for key, value in (model or {}).items()}
    kept = {"fingerprint": json.dumps(made_by), "record": metadata["record"]}
    return rewritten(path, target, kept)


def read(path: Path) -> StageResult:
    result = read_stage_result(read_checkpoint_file(path))
    assert result is not None
    return result


@pytest.mark.parametrize("stage", STAGES)
def test_a_result_says_its_stage_and_as_much_of_the_model_as_it_depends_on(
    finished: Path, training_settings: dict[str, Any], stage: str
) -> None:
    file = read_checkpoint_file(result_path(finished, stage))
    assert (file.metadata["format"], file.metadata["stage"]) == (FORMAT, stage)
    assert json.loads(file.metadata["config"]).keys() == STAGES[stage].depends_on
    result = read(file.path)
    made = TrainConfig.model_validate(training_settings).model
    for key in STAGES[stage].depends_on:
        assert getattr(result.config, key) == getattr(made, key), key
    assert result.record["iterations"] == 2
    states, _, record = read_result(file.path)
    assert record == result.record
    assert states.keys() == result.networks.keys()
    for network, state in states.items():
        for key, value in state.items():
            assert torch.equal(value, result.networks[network][key])


@pytest.mark.parametrize("oldest", [False, True])
@pytest.mark.parametrize("stage", STAGES)
def test_results_of_older_code_are_told_by_what_they_have(
    finished: Path, training_settings: dict[str, Any], tmp_path: Path, stage: str, oldest: bool
) -> None:
    made = TrainConfig.model_validate(training_settings).model.model_dump(mode="json")
    path = result_path(finished, stage)
    before = read(older(path, tmp_path / "older.safetensors", made if oldest else None))
    now = read(path)
    assert (before.stage, before.record) == (stage, now.record)
    assert all(
        getattr(before.config, k) == getattr(now.config, k) for k in STAGES[stage].depends_on
    )
    module = read_own_module(tmp_path / "older.safetensors", stage)
    assert module is not None
    assert module.tensors.keys() == now.networks["network"].keys()


@pytest.mark.parametrize("old", [False, True])
def test_the_results_of_prior_and_synthesis_stage_are_opened_as_priors(
    finished: Path, tmp_path: Path, old: bool
) -> None:
    def file(stage: str) -> Path:
        path = result_path(finished, stage)
        return older(path, tmp_path / f"{stage}.safetensors") if old else path

    trained = read(result_path(finished, "prior")).networks["network"]
    for made in (
        open_prior(file("prior")).prior,
        open_prior("stylegan2", weights=file("prior")).prior,
        ug.create_prior("stylegan2", weights=file("prior")),
    ):
        assert isinstance(made, nn.Module)
        assert all(torch.equal(value, trained[key]) for key, value in made.state_dict().items())
    assert open_prior(file("synthesis")).synthesis is not None
    for stage in ("restoration", "fusion"):
        with pytest.raises(WeightsError, match=NO_PRIOR.format(stage)):
            open_prior(file(stage))


def test_other_files_are_none(finished: Path) -> None:
    (model,) = finished.glob("tiny.safetensors")
    for path in (model, finished / "tiny-prior.safetensors"):
        assert read_stage_result(read_checkpoint_file(path)) is None
    assert read_stage_result(Checkpoint(model, "pickle", {}, {}, 0)) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "ugpnet-stage-2"}, f"'ugpnet-stage-2' and this version reads '{FORMAT}'; inst"),
        ({"config": "[]"}, "description inside .* is damaged; get the file again"),
        ({"config": '{"backbone": {}}'}, "description inside .* is damaged"),
        ({"record": "1"}, "description inside .* is damaged"),
    ],
)
def test_what_cannot_be_read_is_refused(
    finished: Path, tmp_path: Path, change: dict[str, str], message: str
) -> None:
    path = result_path(finished, "restoration")
    metadata = {**read_checkpoint_file(path).metadata, **change}
    with pytest.raises(WeightsError, match=message):
        read(rewritten(path, tmp_path / "changed.safetensors", metadata))


def test_a_result_of_older_code_is_gone_on_from(
    training_config: Callable[..., TrainConfig], finished: Path
) -> None:
    made = training_config()
    train(made, "prior")
    path = result_path(made.output, "prior")
    older(path, path)
    assert "format" not in read_checkpoint_file(path).metadata
    train(made, "prior")  # finished, and still the same
    with pytest.raises(TrainingError, match=r"stage prior: settings\.iterations \(was 2, is 3\)"):
        train(training_config(prior__iterations=3), "prior")
