"""The training loop: averages, schedules, the best weights, checkpoints, what it shows."""

from __future__ import annotations

import math
import re
import resource
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import pytest
import torch
from accelerate import Accelerator
from pydantic import ValidationError
from torch import Tensor, nn
from torch.optim import SGD

from ugpnet_core.config import RestorationStageConfig, StageConfig, TrainConfig
from ugpnet_core.errors import TrainingError
from ugpnet_core.factory import create_task
from ugpnet_core.networks.ugpnet import UGPNet
from ugpnet_core.training.checkpoint import read_checkpoint, read_result, result_path
from ugpnet_core.training.context import TrainingContext
from ugpnet_core.training.data import Pair, Pairs
from ugpnet_core.training.display import Display
from ugpnet_core.training.loop import Finished, run_stage
from ugpnet_core.training.photographs import Photographs, Picture
from ugpnet_core.training.run import train
from ugpnet_core.training.stage import Losses, Stage


class Level(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.zeros(()))


class Scripted(Stage):
    """Its network is one number that takes the given values; it restores x_gt + that number."""

    name: ClassVar[str] = "restoration"
    settings_class: ClassVar[type[StageConfig]] = RestorationStageConfig
    keeps: ClassVar[Literal["best", "last"]] = "best"

    def __init__(
        self, config: TrainConfig, levels: Sequence[float], losses: Sequence[float] = ()
    ) -> None:
        super().__init__(TrainingContext(config, None, Accelerator()), config.restoration)  # type: ignore[arg-type]
        network = Level()
        self.networks = {"network": network}
        self.optimizers = {"network": (SGD(network.parameters(), lr=1.0), 0.5)}
        self.levels, self.losses = levels, losses
        self.rates: list[float] = []
        self.drawn: list[tuple[float, list[Pair]]] = []

    @classmethod
    def from_config(cls, context: TrainingContext) -> Scripted:
        return cls(context.config, [])

    @classmethod
    def module_in(cls, model: UGPNet) -> nn.Module:
        return model.restoration

    def update(self, batches: Sequence[Pair], step: int) -> Losses:
        self.rates.append(self.optimizers["network"][0].param_groups[0]["lr"])
        self.drawn.append((float(torch.rand(())), list(batches)))
        self.networks["network"].load_state_dict({"level": torch.tensor(self.levels[step])})
        return {"l1": self.losses[step] if self.losses else 1.0}

    def restored(self, network: nn.Module, pair: Pair) -> Tensor:
        return pair.clean + network.state_dict()["level"]  # type: ignore[no-any-return]


class KeepsLast(Scripted):
    keeps: ClassVar[Literal["best", "last"]] = "last"


GREY = Photographs([Picture(torch.full((3, 4, 4), 127, dtype=torch.uint8))])
VALIDATION = [Pair(torch.full((1, 3, 4, 4), 0.5), torch.full((1, 3, 4, 4), 0.5))]


def run(stage: Stage) -> Finished:
    source = Pairs(GREY, create_task("denoise"), 0, stage.name)
    return run_stage(stage, source, VALIDATION, {"made by": "a test"})


def settings(count: int, **more: Any) -> dict[str, Any]:
    return {"iterations": count, "learning_rate": 0.5, "batch_size": 1, **more}


def test_the_best_weights_by_psnr_are_kept(training_config: Callable[..., TrainConfig]) -> None:
    levels = [0.4, 0.3, 0.1, 0.01, 0.2, 0.3]
    best = run(Scripted(training_config(restoration=settings(6), validate_every=1), levels))
    assert float(best.states["network"]["level"]) == pytest.approx(0.01)
    assert best.record["kept"] == "iteration 4"
    assert best.record["validation_psnr"] == pytest.approx(40.0, abs=1e-3)
    assert best.record["iterations"] == 6


def test_a_validation_that_comes_seldom_sees_seldom(
    training_config: Callable[..., TrainConfig],
) -> None:
    made = training_config(
        restoration=settings(5), validate_every=3, output=str(training_config().output) + "2"
    )
    kept = run(Scripted(made, [0.0, 0.1, 0.3, 0.0, 0.2]))
    assert kept.record["kept"] == "iteration 5"  # the last one is always looked at
    assert float(kept.states["network"]["level"]) == pytest.approx(0.2)


def test_a_stage_that_keeps_the_last_weights_does(
    training_config: Callable[..., TrainConfig],
) -> None:
    last = run(
        KeepsLast(training_config(restoration=settings(3), validate_every=1), [0.0, 0.1, 0.3])
    )
    assert float(last.states["network"]["level"]) == pytest.approx(0.3)
    assert last.record["kept"] == "last"
    assert last.record["validation_psnr"] > 100 - 1e-3


def test_averaged_weights_follow_their_closed_form(
    training_config: Callable[..., TrainConfig],
) -> None:
    levels = [0.4, 0.1, 0.3, 0.2, 0.0]
    made = training_config(restoration=settings(5, ema=0.3), validate_every=100)
    averaged = run(KeepsLast(made, levels))
    expected = levels[0]
    for count, level in enumerate(levels[1:], start=1):
        decay = min(0.3, (1 + count) / (10 + count))
        expected = decay * expected + (1 - decay) * level
    assert float(averaged.states["network"]["level"]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({}, [1, 1, 1, 1, 1, 1]),
        ({"warmup": 4}, [0.25, 0.5, 0.75, 1, 1, 1]),
        ({"schedule": "step", "decay_at": 3}, [1, 1, 1, 0.1, 0.1, 0.1]),
        (
            {"schedule": "cosine", "warmup": 2},
            [0.5, *((1 + math.cos(math.pi * i / 6)) / 2 for i in range(1, 6))],
        ),
    ],
)
def test_learning_rates_follow_their_schedule(
    training_config: Callable[..., TrainConfig], schedule: dict[str, Any], expected: list[float]
) -> None:
    stage = Scripted(training_config(restoration=settings(6, **schedule)), [0.0] * 6)
    run(stage)
    assert stage.rates == pytest.approx([0.5 * factor for factor in expected])


def test_minutes_end_a_stage_and_pace_a_cosine(
    training_config: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock goes on 10 seconds in each step; the first takes a minute longer."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    class Slow(KeepsLast):
        def update(self, batches: Sequence[Pair], step: int) -> Losses:
            now[0] += 70.0 if step == 0 else 10.0
            return super().update(batches, step)

    limited = settings(10**7, schedule="cosine", minutes=3)
    stage = Slow(training_config(restoration=limited, validate_every=1000), [0.1] * 100)
    finished = run(stage)
    # 70 s, then eleven steps until the 180 s are over.
    assert finished.record["iterations"] == finished.record["images"] == 12
    assert finished.record["validation_psnr"] == pytest.approx(20.0, abs=0.01)
    parts = [0.0, *(step / 11 for step in range(11))]
    expected = [0.5 * (1 + math.cos(math.pi * part)) / 2 for part in parts]
    assert stage.rates == pytest.approx(expected, rel=1e-6)


def test_a_stage_of_minutes_that_goes_on_keeps_its_time(
    training_config: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    class Broken(Exception):
        pass

    class Slow(KeepsLast):
        fails_at = -1

        def update(self, batches: Sequence[Pair], step: int) -> Losses:
            if step == self.fails_at:
                raise Broken
            now[0] += 10.0
            return super().update(batches, step)

    limited = settings(10**7, schedule="cosine", minutes=2)
    config = training_config(restoration=limited, checkpoint_every=1, validate_every=1000)
    stage = Slow(config, [0.1] * 100)
    stage.fails_at = 6
    with pytest.raises(Broken):
        run(stage)
    now[0] += 5000.0  # between the two runs
    again = Slow(config, [0.1] * 100)
    assert run(again).record["iterations"] == 12
    assert again.rates[0] == pytest.approx(0.25)  # half of the time was over


def test_a_step_sees_its_own_samples_and_random_numbers(
    training_config: Callable[..., TrainConfig],
) -> None:
    changes = {"checkpoint_every": 2, "restoration": settings(4, accumulate=2, batch_size=3)}
    whole = Scripted(training_config(**changes), [0.0] * 4)
    run(whole)
    assert [len(batches) for _, batches in whole.drawn] == [2] * 4
    assert len({number for number, _ in whole.drawn}) == 4
    changes["output"] = str(training_config().output) + "2"
    stopped = Scripted(training_config(**changes), [0.0] * 4, losses=[1.0, 1.0, math.nan])
    with pytest.raises(TrainingError):
        run(stopped)
    resumed = Scripted(training_config(**changes), [0.0] * 4)
    run(resumed)
    assert len(resumed.drawn) == 2
    for (number, batches), (expected, others) in zip(resumed.drawn, whole.drawn[2:], strict=True):
        assert number == expected
        for one, other in zip(batches, others, strict=True):
            assert torch.equal(one.degraded, other.degraded)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_with_advice(
    training_config: Callable[..., TrainConfig], bad: float
) -> None:
    made = training_config(restoration=settings(3), checkpoint_every=1)
    with pytest.raises(TrainingError) as caught:
        run(Scripted(made, [0.0] * 3, losses=[1.0, bad, 1.0]))
    checkpoint = made.output / "checkpoints" / "restoration.pt"
    assert str(caught.value) == (
        f"The l1 loss of stage restoration is {bad} at step 1; the last good checkpoint is "
        f"{checkpoint}, after 1 iterations: go on from there with --resume, or delete it and set a "
        "lower restoration.learning_rate or a restoration.clip_gradient."
    )
    assert read_checkpoint(checkpoint)["step"] == 1
    # It still is the last good one after a resumption that ends in the same way.
    with pytest.raises(TrainingError, match=r"restoration\.pt, after 1 iterations"):
        run(Scripted(made, [0.0] * 3, losses=[1.0, bad, 1.0]))


def test_before_the_first_checkpoint_there_is_none_to_name(
    training_config: Callable[..., TrainConfig],
) -> None:
    made = training_config(restoration=settings(3))
    with pytest.raises(TrainingError, match="at step 0, before the first checkpoint; set a lower"):
        run(Scripted(made, [0.0] * 3, losses=[math.nan] * 3))
    assert not list(made.output.rglob("*.pt"))


@pytest.mark.parametrize("ema", [None, 0.5])
def test_weights_that_are_no_numbers_are_not_kept_though_losses_are_finite(
    training_config: Callable[..., TrainConfig], ema: float | None
) -> None:
    made = training_config(restoration=settings(4, ema=ema), checkpoint_every=1, validate_every=2)
    with pytest.raises(TrainingError) as caught:
        run(Scripted(made, [0.0, math.inf, 0.0, 0.0]))
    checkpoint = made.output / "checkpoints" / "restoration.pt"
    for part in ("level of the network of stage", "after 2 iterations; the last good", "after 1 "):
        assert part in str(caught.value)
    state = read_checkpoint(checkpoint)
    assert state["step"] == 1
    assert state["best"]["state"] is None


def test_losses_are_shown_as_means_with_rate_and_time_left(
    training_config: Callable[..., TrainConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    made = training_config(restoration=settings(4), log_every=2)
    run(Scripted(made, [0.0] * 4, losses=[1.0, 3.0, 5.0, 7.0]))
    lines = [line for line in capsys.readouterr().err.splitlines() if "images/s" in line]
    assert [line.split("  ")[:2] for line in lines] == [
        ["restoration 2/4", "l1 2"],
        ["restoration 4/4", "l1 6"],
    ]
    assert lines[1].endswith("0 s left")


def test_a_narrow_terminal_has_room_for_everything(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    losses = dict.fromkeys(("l1", "perceptual", "adversarial", "discriminator", "r1"), 1.25)
    with Display("restoration", 100_000, 12_345, quiet=False) as display:
        display.update(12_346)
        display.figures(losses, 123.4)
    shown = capsys.readouterr().err
    for part in ("restoration", "12346/100000", "123.4 images/s", "left", "discriminator 1.25"):
        assert part in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    assert "…" not in shown


def test_a_full_disk_is_an_error_that_keeps_the_last_checkpoint(
    training_config: Callable[..., TrainConfig],
) -> None:
    made = training_config(restoration=settings(3), checkpoint_every=1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    class FillsTheDisk(Scripted):
        def update(self, batches: Sequence[Pair], step: int) -> Losses:
            if step == 1:
                resource.setrlimit(resource.RLIMIT_FSIZE, (64, limits[1]))
            return super().update(batches, step)

    try:
        with pytest.raises(TrainingError, match=r"restoration\.pt cannot be written .*--resume"):
            run(FillsTheDisk(made, [0.0] * 3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    checkpoints = made.output / "checkpoints"
    assert [file.name for file in checkpoints.iterdir()] == ["restoration.pt"]
    assert read_checkpoint(checkpoints / "restoration.pt")["step"] == 1
    resumed = Scripted(made, [0.0] * 3)
    run(resumed)
    assert len(resumed.rates) == 2


def test_a_damaged_checkpoint_is_named(training_config: Callable[..., TrainConfig]) -> None:
    made = training_config(restoration=settings(1))
    path = made.output / "checkpoints" / "restoration.pt"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half of")
    with pytest.raises(TrainingError, match=r"restoration\.pt is damaged; delete it"):
        run(Scripted(made, [0.0]))


def test_a_stage_ends_early_where_nothing_becomes_better(
    training_config: Callable[..., TrainConfig],
) -> None:
    """With a learning rate that changes nothing, only the first validation is an improvement."""
    settings = {"iterations": 9, "learning_rate": 1e-30, "stop_after": 2}
    changes = {f"restoration__{key}": value for key, value in settings.items()}
    config = training_config(prior=None, validate_every=2, **changes)
    train(config, "restoration")
    record = read_result(result_path(config.output, "restoration"))[2]
    assert record["iterations"] == 6
    assert record["kept"] == "iteration 2"
    assert record["stopped"] == "after 2 validations without a better PSNR"
    # It is a setting that decides the result.
    other = training_config(prior=None, **{**changes, "restoration__stop_after": 3})
    with pytest.raises(TrainingError, match=r"settings\.stop_after"):
        train(other, "restoration")


def test_a_stage_without_psnr_cannot_end_early(
    training_config: Callable[..., TrainConfig],
) -> None:
    with pytest.raises(ValidationError, match="stop_after goes by PSNR"):
        training_config(prior__stop_after=2)
