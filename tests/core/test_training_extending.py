"""A finished stage that is trained on: with its optimisers, and with its history in the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ugpnet_core.checkpoints.file import read_checkpoint_file
from ugpnet_core.config import TrainConfig
from ugpnet_core.errors import TrainingError
from ugpnet_core.model_files.model import read_card
from ugpnet_core.model_files.stage_results import read_stage_result
from ugpnet_core.training.checkpoint import checkpoint_path, read_result, result_path
from ugpnet_core.training.extending import state_path
from ugpnet_core.training.run import train

Make = Callable[..., TrainConfig]


def networks(folder: Path, stage: str) -> dict[str, Tensor]:
    states = read_result(result_path(folder, stage))[0]
    return {f"{name}.{key}": v for name, state in states.items() for key, v in state.items()}


def record(folder: Path, stage: str) -> Mapping[str, Any]:
    result = read_stage_result(read_checkpoint_file(result_path(folder, stage)))
    assert result is not None
    return result.record


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(v, other[k]) for k, v in one.items())


@pytest.mark.parametrize("stage", ["prior", "synthesis"])
def test_longer_is_the_same_as_long_from_the_beginning(
    training_config: Make, tmp_path: Path, stage: str
) -> None:
    """Networks, optimisers, averages and the discriminator go on: else the bits would differ."""

    def config(output: str, iterations: int) -> TrainConfig:
        changes = {f"{stage}__iterations": iterations, f"{stage}__ema": 0.9}
        return training_config(output=str(tmp_path / output), **changes)

    def run(made: TrainConfig, extend: bool = False) -> Path:
        if stage == "synthesis" and not extend:
            train(made, "prior")
            train(made, "restoration")
        train(made, stage, extend=extend)
        return made.output

    whole = run(config("whole", 3))
    parts = run(config("parts", 2))
    assert not same(networks(whole, stage), networks(parts, stage))
    run(config("parts", 3), extend=True)
    assert same(networks(whole, stage), networks(parts, stage))
    assert not checkpoint_path(parts, stage).exists()


def test_the_file_has_a_history_and_the_earlier_result_is_kept(training_config: Make) -> None:
    rate = {"restoration__learning_rate": 1e-3}
    train(training_config(prior=None), "restoration")
    output = training_config().output
    first, said = networks(output, "restoration"), list[str]()
    more = training_config(prior=None, restoration__iterations=3, **rate)
    train(more, "restoration", extend=True, say=said.append)
    aside = output / "earlier" / "restoration-2.safetensors"
    sentence = f"Stage restoration goes on after 2 iterations; its result so far is {aside}."
    assert sentence in said
    earlier = read_result(aside)[0]["network"]
    assert same({f"network.{key}": value for key, value in earlier.items()}, first)
    now = record(output, "restoration")
    assert (now["iterations"], now["images"]) == (3, 6)
    (before,) = now["history"]
    assert (before["iterations"], before["images"]) == (2, 4)
    assert before["settings"] == {"iterations": 2, "learning_rate": 1e-4}

    # Once more, with larger batches; and the model file tells all of it.
    most = training_config(prior=None, restoration__iterations=5, restoration__batch_size=3, **rate)
    train(most, extend=True)
    now = record(output, "restoration")
    assert now["images"] == 6 + 2 * 3
    assert [one["iterations"] for one in now["history"]] == [2, 3]
    stages = read_card(output / "tiny.safetensors").record["stages"]
    assert stages["restoration"] == now

    # The same command again has nothing to do.
    said.clear()
    train(most, extend=True, say=said.append)
    assert "Stage restoration is as the settings say; there is nothing to extend." in said


def test_a_killed_extension_is_resumed_like_any_stage(training_config: Make) -> None:
    config = training_config(prior=None)
    train(config, "restoration")
    more = training_config(prior=None, restoration__iterations=4, checkpoint_every=3)

    class Killed(Exception):
        pass

    def say(text: str) -> None:
        if "goes on after" in text:
            raise Killed

    with pytest.raises(Killed):
        train(more, "restoration", extend=True, say=say)
    assert checkpoint_path(config.output, "restoration").exists()
    with pytest.raises(TrainingError, match="was begun in"):
        train(more, "restoration", extend=True)
    train(more, "restoration", resume=True)
    assert record(config.output, "restoration")["history"][0]["iterations"] == 2


def test_without_the_kept_state_it_goes_on_with_new_optimisers(training_config: Make) -> None:
    def config(**changes: Any) -> TrainConfig:
        return training_config(prior=None, keep_state=False, **changes)

    output = config().output
    train(config())
    assert not state_path(output, "synthesis").exists()
    before, said = networks(output, "synthesis"), list[str]()
    still = {"learning_rate": 1e-30, "discriminator_learning_rate": 1e-30, "iterations": 3}
    changes = {f"synthesis__{key}": value for key, value in still.items()}
    # The fusion stage was made from the old synthesis module.
    with pytest.raises(TrainingError, match=r"fusion is finished and starts from stage synthesis"):
        train(config(**changes), extend=True)
    result_path(output, "fusion").unlink()
    train(config(**changes), "synthesis", extend=True, say=said.append)
    assert any(text.startswith("The optimisers of stage synthesis were not kept;") for text in said)
    for key, value in networks(output, "synthesis").items():
        if "running" not in key and "num_batches" not in key:
            assert torch.equal(value, before[key]), key


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"restoration__learning_rate": 0.1},
            r"made 2 iterations and restoration\.iterations is 2",
        ),
        (
            {"restoration__iterations": 9, "model__merging_channels": 8},
            r"was made by other inputs of stage restoration: model\.merging_channels",
        ),
        (
            {"restoration__iterations": 9, "seed": 3},
            r"was made by other inputs of stage restoration: seed \(was 0, is 3\); put",
        ),
    ],
)
def test_what_cannot_be_extended_is_refused_and_stays(
    training_config: Make, changes: dict[str, Any], message: str
) -> None:
    train(training_config(prior=None), "restoration")
    path = result_path(training_config().output, "restoration")
    before = path.read_bytes()
    with pytest.raises(TrainingError, match=message):
        train(training_config(prior=None, **changes), "restoration", extend=True)
    assert path.read_bytes() == before


def test_other_settings_without_extending_say_how(training_config: Make) -> None:
    train(training_config(prior=None), "restoration")
    with pytest.raises(TrainingError, match="train it on with --extend, or delete it"):
        train(training_config(prior=None, restoration__iterations=3), "restoration")


def test_what_comes_after_an_extended_stage_is_extended_with_it(training_config: Make) -> None:
    train(training_config(prior=None))
    changes = {f"{stage}__iterations": 3 for stage in ("restoration", "synthesis", "fusion")}
    train(training_config(prior=None, **changes), extend=True)
    for stage in ("restoration", "synthesis", "fusion"):
        assert [
            one["iterations"] for one in record(training_config().output, stage)["history"]
        ] == [2]
