"""A synthesis module that learns from the restoration modules of several models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ugpnet_core.checkpoints.state_dict import write_safetensors
from ugpnet_core.config import TrainConfig
from ugpnet_core.degradations.kernel_files import save_kernels
from ugpnet_core.degradations.kernels import kernel_set
from ugpnet_core.errors import ConfigError, TrainingError, WeightsError
from ugpnet_core.factory import create_task_at
from ugpnet_core.model_files.model import load_model
from ugpnet_core.training.checkpoint import read_result, result_path
from ugpnet_core.training.data import Pairs, training_batches
from ugpnet_core.training.fingerprint import compare
from ugpnet_core.training.mixture import MixedPairs, Restoration, read_restoration, regress
from ugpnet_core.training.photographs import read_photographs
from ugpnet_core.training.run import rehearse, train
from ugpnet_core.training.stages import STAGES
from ugpnet_core.training.stopping import Stop, Stopped

Make = Callable[..., TrainConfig]


@pytest.fixture(scope="module")
def others(training_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Outputs of two other models: super-resolution's restoration stage, a whole one for blur."""
    folder = tmp_path_factory.mktemp("others")
    model = training_settings["model"]
    for name, changes in (
        ("sr8", {"task": {"name": "sr8"}, "merging_channels": 8, "adapter": "skip"}),
        ("deblur", {"task": {"name": "deblur"}}),
    ):
        settings = {
            **training_settings,
            "prior": None,
            "name": name,
            "model": {**model, **changes},
            "output": str(folder / name),
        }
        train(TrainConfig.model_validate(settings), "restoration" if name == "sr8" else "all")
    return folder


def files(others: Path) -> list[str]:
    return [
        str(result_path(others / "sr8", "restoration")),
        str(others / "deblur/deblur.safetensors"),
    ]


def pairs_of(made: TrainConfig, tasks: list[str]) -> list[Pairs]:
    photographs = read_photographs(made.data.train, 32)
    configs = [made.model.task.model_copy(update={"name": name}) for name in tasks]
    return [Pairs(photographs, create_task_at(one, 32), 0, "synthesis") for one in configs]


def states(made: TrainConfig, stage: str = "synthesis") -> dict[str, Tensor]:
    return read_result(result_path(made.output, stage))[0]["network"]


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(v, other[k]) for k, v in one.items())


def test_each_sample_is_that_of_one_task_and_depends_on_its_number_alone(
    training_config: Make,
) -> None:
    pairs = pairs_of(training_config(), ["denoise", "sr8"])
    mixed = MixedPairs(pairs)
    samples = [mixed[index] for index in range(40)]
    rows = [{int(one.source) for one in samples[at : at + 2]} for at in range(0, 40, 2)]
    assert rows == [{0, 1}] * 20  # a row of samples has each task once
    firsts = sum(int(one.source) for one in samples[::2])
    assert 4 < firsts < 16  # in an order that is drawn
    for index, sample in enumerate(samples):
        clean, degraded = pairs[int(sample.source)][index]
        assert torch.equal(sample.clean, clean)
        assert torch.equal(sample.clean, pairs[0][index].clean)  # as without a mixture
        side = degraded.shape[-1]
        assert side == (32, 4)[int(sample.source)]
        assert torch.equal(sample.degraded[:, :side, :side], degraded)
        assert float(sample.degraded.abs().sum()) == pytest.approx(float(degraded.abs().sum()))
    again = MixedPairs(pairs_of(training_config(), ["denoise", "sr8"]))[17]
    assert all(torch.equal(one, other) for one, other in zip(again, samples[17], strict=True))


def test_each_sample_is_restored_by_the_module_of_its_task(
    training_config: Make, others: Path
) -> None:
    restorations = [read_restoration(Path(file), 32) for file in files(others)]
    assert [(one.task.name, one.task.scale) for one in restorations] == [("sr8", 8), ("deblur", 1)]
    whole = load_model(files(others)[1])
    mixed = MixedPairs(pairs_of(training_config(), ["sr8", "deblur"]))
    (batch,) = training_batches(mixed, first=0, last=1, batch_size=8)
    with torch.no_grad():
        made = regress(restorations, batch)
        for index in range(8):
            number = int(batch.source[index])
            side = (4, 32)[number]
            module = restorations[number].module if number == 0 else whole.restoration
            one = module(batch.degraded[index : index + 1, :, :side, :side]).image[0]
            torch.testing.assert_close(made[index], one, rtol=1e-5, atol=1e-6)
    # The weights are those of the file.
    kept = read_result(result_path(others / "sr8", "restoration"))[0]["network"]
    assert same(dict(restorations[0].module.state_dict()), kept)
    assert isinstance(restorations[0], Restoration)


class After(Stop):
    """Due when it is asked for the n-th time."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.left = number

    def is_due(self, reserve: float = 0.0) -> bool:
        self.left -= 1
        return self.left <= 0


def test_a_synthesis_stage_learns_from_all_of_them_and_another_model_takes_it(
    training_config: Make, others: Path, tmp_path: Path
) -> None:
    changes: dict[str, Any] = {"prior": None, "synthesis__iterations": 4, "synthesis__ema": 0.5}
    alone = training_config(**changes, output=str(tmp_path / "alone"))
    changes["synthesis__restorations"] = files(others)
    mixed = training_config(**changes, output=str(tmp_path / "mixed"))
    broken = training_config(**changes, output=str(tmp_path / "broken"))
    for config in (alone, mixed, broken):
        train(config, "restoration")
    train(alone, "synthesis")
    train(mixed, "synthesis")
    assert not same(states(alone), states(mixed))
    record = read_result(result_path(mixed.output, "synthesis"))[2]
    assert record["tasks"] == "denoise, sr8, deblur"
    assert record["batch_statistics"] == "of 8 images"
    with pytest.raises(Stopped, match="stage synthesis stopped after 2 of 4"):
        train(broken, "synthesis", stop=After(4))
    train(broken, "synthesis", resume=True)
    assert same(states(broken), states(mixed))

    shared = {"iterations": 0, "weights": str(result_path(mixed.output, "synthesis"))}
    second = training_config(
        prior=None, model__task={"name": "sr8"}, synthesis=shared, output=str(tmp_path / "second")
    )
    path = train(second)
    assert path is not None
    assert same(dict(load_model(path).synthesis.state_dict()), states(mixed))


def test_what_cannot_be_mixed_is_refused_at_once(
    training_config: Make, others: Path, tmp_path: Path, photographs: Path
) -> None:
    write_safetensors({"other": torch.zeros(1)}, {}, tmp_path / "other.safetensors")
    fusion = str(result_path(others / "deblur", "fusion"))
    pair = {"clean": str(photographs / "inner"), "degraded": str(photographs / "inner")}
    wanting: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"synthesis__restorations": ["gone.pth"]}, WeightsError, "no weights file gone.pth"),
        ({"synthesis__restorations": [fusion]}, WeightsError, "holds no restoration module; give"),
        (
            {"synthesis__restorations": [str(tmp_path / "other.safetensors")]},
            WeightsError,
            "holds no restoration module; give",
        ),
        (
            {"synthesis__restorations": files(others), "data__train": [pair]},
            ConfigError,
            "inner comes with degraded ones; give data.train without pairs",
        ),
    ]
    for changes, error, message in wanting:
        config = training_config(prior=None, **changes)
        for start in (train, rehearse):
            with pytest.raises(error, match=message):
                start(config)
        assert not config.output.exists()
    with pytest.raises(
        ConfigError, match=r"task 'sr8' \(scale 8\), which cannot degrade .* 36 pix"
    ):
        read_restoration(Path(files(others)[0]), 36)


def test_other_content_of_a_module_or_of_its_task_is_refused(
    training_config: Make, tmp_path: Path
) -> None:
    kernels = tmp_path / "shakes.safetensors"
    save_kernels(kernel_set(2, 9, seed=0), kernels)
    task = {"name": "deblur", "options": {"kernels": str(kernels)}}
    other = training_config(prior=None, model__task=task, output=str(tmp_path / "other"))
    train(other, "restoration")
    file = result_path(other.output, "restoration")
    config = training_config(prior=None, synthesis__restorations=[str(file)])
    train(config, "restoration")
    train(config, "synthesis")
    train(config, "synthesis")  # finished, and still the same
    save_kernels(kernel_set(2, 9, seed=1), kernels)
    with pytest.raises(TrainingError, match=r"content of restorations\.0\.task\.kernels"):
        train(config, "synthesis")
    save_kernels(kernel_set(2, 9, seed=0), kernels)
    file.unlink()
    train(other.model_copy(update={"seed": 5}), "restoration")
    with pytest.raises(TrainingError, match=r"stage synthesis: content of restorations\.0 "):
        train(config, "synthesis")


def test_a_synthesis_stage_of_older_code_learned_from_its_own_module_alone(
    training_config: Make, tmp_path: Path
) -> None:
    config = training_config(prior=None)
    train(config)
    for stage in ("synthesis", "fusion"):
        made_by = read_result(result_path(config.output, stage))[1]
        new = {"settings.restorations", "settings.weights"}
        before = {key: value for key, value in made_by.items() if key not in new}
        compare(STAGES[stage], before, made_by, tmp_path)
    other = {**made_by, "settings.weights": json.dumps("other.safetensors")}
    with pytest.raises(TrainingError, match=r"settings\.weights \(was null, is"):
        compare(STAGES["fusion"], before, other, tmp_path)
