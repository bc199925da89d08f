"""A finished stage that is trained on: with its optimisers, and with its history in the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ugpnet_core.checkpoints.file import read_checkpoint_file
from ugpnet_core.config import TrainConfig
from ugpnet_core.errors import TrainingError
from ugpnet_core.image import write_image
from ugpnet_core.model_files.model import read_card
from ugpnet_core.model_files.stage_results import read_stage_result
from ugpnet_core.training import extending, run
from ugpnet_core.training.checkpoint import (
    checkpoint_path,
    read_result,
    result_path,
    write_checkpoint,
    write_result,
)
from ugpnet_core.training.extending import state_path
from ugpnet_core.training.run import train

Make = Callable[..., TrainConfig]


class Killed(Exception):
    pass


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

    def made(made_by: TrainConfig, extend: bool = False) -> Path:
        if stage == "synthesis" and not extend:
            train(made_by, "prior")
            train(made_by, "restoration")
        train(made_by, stage, extend=extend)
        return made_by.output

    whole = made(config("whole", 3))
    parts = made(config("parts", 2))
    assert not same(networks(whole, stage), networks(parts, stage))
    made(config("parts", 3), extend=True)
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
    assert before["inputs"] == {}

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
    inputs = {"restoration": set(), "synthesis": {"content of restoration"}}
    inputs["fusion"] = {"content of restoration", "content of synthesis"}
    for stage, names in inputs.items():
        (before,) = record(training_config().output, stage)["history"]
        assert before["iterations"] == 2
        assert before["inputs"].keys() == names


def test_the_history_says_what_was_learned_from(training_config: Make, tmp_path: Path) -> None:
    train(training_config(prior=None), "restoration")
    folder = tmp_path / "others"
    for index in range(2):
        write_image(folder / f"{index}.png", torch.rand(3, 32, 32))
    changes = {"data__train": [str(folder)], "data__flip": False, "restoration__iterations": 3}
    train(training_config(prior=None, **changes), "restoration", extend=True)
    (before,) = record(training_config().output, "restoration")["history"]
    listing = "names and sizes of the photographs for training"
    assert before["settings"] == {"iterations": 2}
    assert before["inputs"].keys() == {"data.flip", "number of training images", listing}
    assert before["inputs"]["data.flip"] is True
    assert before["inputs"]["number of training images"] != 2
    assert isinstance(before["inputs"][listing], str)


@pytest.mark.parametrize(
    ("keep_state", "changes", "stays"),
    [
        (False, {}, True),
        (True, {"data__flip": False}, True),
        (False, {"data__validation_count": 1}, False),
    ],
)
def test_the_best_weights_stay_where_none_become_better(
    training_config: Make, keep_state: bool, changes: dict[str, Any], stays: bool
) -> None:
    """Unless they were measured on other photographs."""
    # What is nearly the degraded image at first, one large step spoils.
    settings = {"prior": None, "keep_state": keep_state, "model__adapter": "skip"}
    train(training_config(**settings), "restoration")
    output = training_config().output
    first, before = networks(output, "restoration"), record(output, "restoration")
    more = {"restoration__iterations": 3, "restoration__learning_rate": 0.3, **changes}
    train(training_config(**settings, **more), "restoration", extend=True)
    now = record(output, "restoration")
    assert same(networks(output, "restoration"), first) == stays
    assert now["kept"] == ("iteration 2" if stays else "iteration 3")
    assert (now["validation_psnr"] == before["validation_psnr"]) == stays


@pytest.mark.parametrize(
    "kills", [["finishing"], ["preparing"], ["finishing", "preparing"]], ids="-".join
)
def test_the_optimisers_survive_a_kill_at_any_moment(
    training_config: Make, monkeypatch: pytest.MonkeyPatch, kills: list[str]
) -> None:
    config = training_config(prior=None)
    more = training_config(prior=None, restoration__iterations=3)

    def killed(*_: Any, is_new: bool = True) -> None:
        raise Killed

    def killed_after_writing(*given: Any) -> None:
        write_checkpoint(*given)
        raise Killed

    with monkeypatch.context() as patch, suppress(Killed):
        if "finishing" in kills:
            patch.setattr(run, "keep_state", killed)
        train(config, "restoration")
    if "preparing" in kills:
        with monkeypatch.context() as patch:
            patch.setattr(extending, "write_checkpoint", killed_after_writing)
            with pytest.raises(Killed):
                train(more, "restoration", extend=True)
        train(config, "restoration")  # the old settings again: nothing has happened
    assert result_path(config.output, "restoration").exists()
    said: list[str] = []
    train(more, "restoration", extend=True, say=said.append)
    assert not any("were not kept" in text for text in said)
    assert len(record(config.output, "restoration")["history"]) == 1


def test_what_only_began_as_an_extended_stage_is_to_be_trained_again(
    training_config: Make,
) -> None:
    """The synthesis stage starts as the prior, and trains its own copy of it."""
    config = training_config()
    for stage in ("prior", "restoration", "synthesis"):
        train(config, stage)
    more = training_config(prior__iterations=3, synthesis__iterations=3)
    for wanted in ("all", "prior"):
        with pytest.raises(TrainingError, match="synthesis is finished and began as the result of"):
            train(more, wanted, extend=True)
    assert "history" not in record(config.output, "prior")
    # Likewise where the prior became another some other way.
    path = result_path(config.output, "prior")
    result = read_stage_result(read_checkpoint_file(path))
    assert result is not None
    made_by, before = read_result(path)[1], path.read_bytes()
    changed = {**result.networks, "more": {"weight": torch.ones(1)}}
    write_result(path, replace(result, networks=changed), made_by)
    longer = training_config(synthesis__iterations=3)
    with pytest.raises(TrainingError, match="content of prior"):
        train(longer, "synthesis", extend=True)
    path.write_bytes(before)
    result_path(config.output, "synthesis").unlink()
    train(more, "prior", extend=True)
    train(more, "synthesis")
    assert "history" not in record(config.output, "synthesis")
    assert len(record(config.output, "prior")["history"]) == 1


def test_a_killed_extension_and_what_comes_after_it_are_compared_at_once(
    training_config: Make,
) -> None:
    train(training_config(prior=None))
    result_path(training_config().output, "restoration").unlink()
    more = training_config(prior=None, restoration__iterations=3)
    said: list[str] = []
    with pytest.raises(TrainingError, match="synthesis is finished and starts from stage restor"):
        train(more, extend=True, say=said.append)
    assert not said


def test_a_kept_module_does_not_stand_in_the_way(training_config: Make, tmp_path: Path) -> None:
    train(training_config(prior=None, fusion__iterations=1))
    first = training_config().output
    kept: dict[str, Any] = {"prior": None, "output": str(tmp_path / "kept")}
    kept |= {"synthesis__weights": str(result_path(first, "synthesis"))}
    kept |= {"synthesis__iterations": 0}
    train(training_config(**kept))
    more = {"restoration__iterations": 3, "fusion__iterations": 3, "data__flip": False}
    train(training_config(**kept, **more), extend=True)
    output = tmp_path / "kept"
    histories = {stage: "history" in record(output, stage) for stage in ("restoration", "fusion")}
    assert histories == {"restoration": True, "fusion": True}
    assert "history" not in record(output, "synthesis")
    # It can still be trained on.
    more |= {"synthesis__iterations": 1, "fusion__iterations": 4}
    train(training_config(**kept | more), extend=True)
    assert [one["iterations"] for one in record(output, "synthesis")["history"]] == [0]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"prior": None}, "The discriminator starts untrained: stage synthesis had none."),
        ({}, "Stage synthesis had no discriminator; it begins with that of the prior."),
    ],
)
def test_what_a_discriminator_begins_as_that_was_not_there_is_said(
    training_config: Make, changes: dict[str, Any], sentence: str
) -> None:
    without = training_config(**changes, synthesis__adversarial_weight=0)
    for stage in ("prior", "restoration", "synthesis")["prior" in changes :]:
        train(without, stage)
    said: list[str] = []
    more = training_config(**changes, synthesis__iterations=3)
    train(more, "synthesis", extend=True, say=said.append)
    assert sentence in said
    assert not any("were not kept" in text for text in said)


def test_another_augmentation_is_the_one_that_is_used(training_config: Make) -> None:
    fixed = {"prior__augmentation": "fixed", "prior__augmentation_probability": 0.5}
    train(training_config(**fixed), "prior")
    none = {"prior__augmentation": "none", "prior__iterations": 3}
    train(training_config(**none), "prior", extend=True)
    assert record(training_config().output, "prior")["augmentation"] == "none, 0.000"
