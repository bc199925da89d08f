"""Trainings that stop before their end: in time, by signals, at any piece of work; and go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from accelerate import Accelerator

from ugpnet_core import cli
from ugpnet_core.config import TrainConfig
from ugpnet_core.factory import create_task
from ugpnet_core.networks.ugpnet import build_model
from ugpnet_core.training import loop as loop_module
from ugpnet_core.training import watch as watch_module
from ugpnet_core.training.checkpoint import read_checkpoint, read_result, write_checkpoint
from ugpnet_core.training.context import TrainingContext
from ugpnet_core.training.data import Pair, Pairs
from ugpnet_core.training.loop import Finished, run_stage
from ugpnet_core.training.photographs import read_photographs
from ugpnet_core.training.prior import PriorStage
from ugpnet_core.training.prior_quality import PriorQuality
from ugpnet_core.training.restoration import RestorationStage
from ugpnet_core.training.stage import Stage
from ugpnet_core.training.stopping import Stop, Stopped
from ugpnet_core.training.synthesis import SynthesisStage
from ugpnet_core.training.watch import Interrupted, Watch

Make = Callable[..., TrainConfig]
STAGES = ("prior", "restoration", "synthesis", "fusion")


# Parts


def test_minutes_count_from_when_they_began() -> None:
    assert not Stop().is_due(1e9)
    stop = Stop(2.0, began=time.monotonic() - 100)
    assert not stop.is_due(10)
    assert stop.is_due(30)
    assert stop.reason == "2 minutes"
    assert stop.is_due()  # once it is due it stays so


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_waits_only_for_what_has_a_state_to_keep(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    stop = Stop()
    with stop.listening():
        with pytest.raises(Stopped, match=f"stopped by {number.name}"):
            signal.raise_signal(number)
        signal.raise_signal(number)  # a second one finds it stopping already
    assert signal.getsignal(number) == before
    stop = Stop()
    with stop.listening(), stop.patience():
        assert not stop.is_due()
        signal.raise_signal(number)
        assert stop.is_due()
        assert stop.reason == number.name


def test_there_is_time_for_the_longest_piece_and_the_checkpoint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    stop = Stop(1.0)
    watch = Watch(stop, Accelerator(), size=int(2 * watch_module.BYTES_PER_SECOND))

    def work(seconds: float) -> None:
        now[0] += seconds
        watch.check()

    work(5)
    with watch.writing():
        now[0] += 10
    for _ in range(13):
        work(2)
    # 41 of 60 s are gone; the next piece may take 5, a checkpoint 10, and what comes after it 0.5.
    work(3.4)
    with pytest.raises(Interrupted):
        work(0.2)


# At any piece of work of a stage


class At(Stop):
    """Due when it is asked for the n-th time."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.left = number

    def is_due(self, reserve: float = 0.0) -> bool:
        self.left -= 1
        return self.left <= 0


def run(name: str, made: TrainConfig, stop: Stop | None = None) -> Finished:
    torch.manual_seed(0)
    context = TrainingContext(made, build_model(made.model), Accelerator())
    photographs = read_photographs(made.data.train, made.data.resolution)
    if name == "synthesis":
        stage: Stage = SynthesisStage(context, made.synthesis, None)
    elif name == "prior":
        assert made.prior is not None
        device = torch.device("cpu")
        quality = PriorQuality(features, photographs, 40, 0, device, "means")  # type: ignore[arg-type]
        stage = PriorStage(context, made.prior, quality)
    else:
        stage = RestorationStage(context, made.restoration)
    pairs = Pairs(photographs, create_task("denoise"), made.seed, name)
    generator = torch.Generator().manual_seed(3)
    validation = [Pair(*torch.rand(2, 2, 3, 32, 32, generator=generator)) for _ in range(2)]
    return run_stage(stage, pairs, validation, {"made by": '"a test"'}, stop)


class Means:
    def to(self, device: torch.device) -> Means:
        return self

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3)).repeat(1, 171)[:, :512]


features = Means()


@pytest.mark.parametrize("name", ["prior", "restoration", "synthesis"])
def test_wherever_a_stage_stops_it_ends_the_same(
    training_config: Make, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_module, "STATISTICS_IMAGES", 4)
    common = {"iterations": 3, "batch_size": 2, "ema": 0.9, "learning_rate": 0.01}
    prior = {**common, "frechet_every": 2, "frechet_images": 40}

    def settings(number: int) -> TrainConfig:
        return training_config(
            prior=prior,
            restoration=common,
            synthesis={**common, "r1_every": 2},
            validate_every=2,
            sample_every=2,
            checkpoint_every=100,
            output=str(tmp_path / str(number)),
        )

    whole = run(name, settings(0))
    stopped_after = []
    for number in count(1):
        made = settings(number)
        try:
            run(name, made, At(number))
        except Stopped:
            checkpoint = made.output / "checkpoints" / f"{name}.pt"
            stopped_after.append(
                read_checkpoint(checkpoint)["step"] if checkpoint.exists() else None
            )
        else:
            break  # it was never asked so often
        resumed = run(name, made)
        for network, state in whole.states.items():
            for key, value in state.items():
                assert torch.equal(value, resumed.states[network][key]), (number, key)
        assert {**resumed.record, "minutes": 0} == {**whole.record, "minutes": 0}
        sheets = [f"{name}-{step:06d}.png" for step in (2, 3)]
        for sheet in sheets:
            one, other = (
                (folder / "samples" / sheet).read_bytes()
                for folder in (settings(0).output, made.output)
            )
            assert one == other
    # Once before the first step, once after it; after the second one also while it is looked at.
    assert stopped_after[:3] == [None, 1, 2]
    looks = {"prior": 6, "restoration": 4, "synthesis": 4}[name]
    assert stopped_after.count(2) == looks
    estimates = 2 + 2 if name == "synthesis" else 0
    assert stopped_after.count(3) == looks + estimates


def test_a_checkpoint_of_older_code_was_looked_at(training_config: Make) -> None:
    made = training_config(restoration={"iterations": 2, "batch_size": 2}, validate_every=1)
    with pytest.raises(Stopped, match=r"stage restoration stopped after 1 of 2 iterations"):
        run("restoration", made, At(2))
    path = made.output / "checkpoints" / "restoration.pt"
    state = read_checkpoint(path)
    assert state.pop("is_looked_at") is False
    write_checkpoint(path, state)
    assert run("restoration", made).record["kept"] == "iteration 2"


# The command


# Runs `ugpnet train CONFIG` in processes forked from one that has imported torch.
DRIVER = """
import json, os, signal, sys, time
from pathlib import Path
from ugpnet_core.cli import main
from ugpnet_core.training import run
from ugpnet_core.training.prior import PriorStage
from ugpnet_core.training.single_loss import SingleLossStage
from ugpnet_core.training.synthesis import SynthesisStage
import torch, torchvision.models
torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])

config, output = sys.argv[1], Path(sys.argv[2])

def before(owner, name, act):
    original = getattr(owner, name)
    def acting(*args, **more):
        act(*args)
        return original(*args, **more)
    setattr(owner, name, acting)

def send(number):
    os.kill(os.getpid(), number)

def in_step(stage, step, number):
    def act(self, batches, now):
        if (self.name, now) == (stage, step):
            send(number)
    for cls in (PriorStage, SingleLossStage, SynthesisStage):
        before(cls, "update", act)

def between(function, number):
    before(run, function, lambda *_: send(number))

def slowly(seconds):
    for cls in (PriorStage, SingleLossStage, SynthesisStage):
        before(cls, "update", lambda *_: time.sleep(seconds))

def train(output, arrange, *words):
    began = time.time()
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(output.with_suffix(".txt"), os.O_CREAT | os.O_WRONLY | os.O_APPEND), 2)
        if arrange is not None:
            arrange[0](*arrange[1:])
        os._exit(main(["train", config, "output=" + str(output), "--resume", *words]))
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    written = [path.stat().st_mtime for path in output.glob("checkpoints/*.pt")]
    return {"status": status, "took": time.time() - began,
            "written": max(written) - began if written else None,
            "checkpoints": sorted(path.stem for path in output.glob("checkpoints/*.pt")),
            "results": sorted(path.stem for path in output.glob("*.safetensors"))}

term, usr1 = signal.SIGTERM, signal.SIGUSR1
done = {"whole": train(output / "whole", None), "signals": [], "minutes": []}
for arrange in ((between, "read_training_data", usr1), (in_step, "prior", 1, term),
                (in_step, "restoration", 2, usr1), (between, "compile_network", usr1),
                (in_step, "synthesis", 1, term), (in_step, "fusion", 3, usr1),
                (between, "write_model", term), None):
    done["signals"].append(train(output / "signals", arrange))
while not done["minutes"] or done["minutes"][-1]["status"] == 3:
    done["minutes"].append(train(output / "minutes", (slowly, 0.7), "--minutes", "0.1"))
print(json.dumps(done))
"""


@pytest.fixture(scope="module")
def runs(
    training_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("stopping")
    common = {"iterations": 4, "batch_size": 2, "ema": 0.9}
    settings = {**training_settings, **dict.fromkeys(STAGES, common), "checkpoint_every": 100}
    config = folder / "tiny.yaml"
    config.write_text(yaml.safe_dump(settings))
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(config), str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout.splitlines()[-1])


def test_signals_stop_every_stage_and_what_lies_between(
    runs: tuple[Path, dict[str, Any]],
) -> None:
    folder, done = runs
    assert done["whole"]["status"] == 0
    *stopped, last = done["signals"]
    assert [one["status"] for one in stopped] == [3] * 7
    assert last["status"] == 0
    prior = ["prior", "tiny-prior"]
    assert [one["checkpoints"] for one in stopped] == [
        *([], ["prior"], ["restoration"], ["restoration"], ["synthesis"], ["fusion"], [])
    ]
    assert stopped[2]["results"] == prior
    assert stopped[-1]["results"] == sorted([*prior, "restoration", "synthesis", "fusion"])
    lines = (folder / "signals.txt").read_text().splitlines()
    said = [line for line in lines if line.startswith("Unfinished: ")]
    goal = f"Go on with: ugpnet train {folder / 'tiny.yaml'} output={folder / 'signals'}"
    assert said == [
        f"Unfinished: {what}. {goal} --resume"
        for what in (
            "stopped by SIGUSR1",
            "stage prior stopped after 2 of 4 iterations (SIGTERM)",
            "stage restoration stopped after 3 of 4 iterations (SIGUSR1)",
            "stopped by SIGUSR1",
            "stage synthesis stopped after 2 of 4 iterations (SIGTERM)",
            "stage fusion stopped after 4 of 4 iterations (SIGUSR1)",
            "stopped by SIGTERM",
        )
    ]


def test_minutes_are_kept_with_the_checkpoint_written(runs: tuple[Path, dict[str, Any]]) -> None:
    folder, done = runs
    *stopped, last = done["minutes"]
    assert len(stopped) >= 2
    assert last["status"] == 0
    # "Or so": a step may take longer than any before it, on a machine that is busy.
    assert all(one["written"] is None or one["written"] < 6 + 1 for one in stopped)
    said = (folder / "minutes.txt").read_text()
    assert "iterations (0.1 minutes). Go on with: ugpnet train" in said
    assert "--minutes=0.1" in said


@pytest.mark.parametrize("how", ["signals", "minutes"])
@pytest.mark.parametrize("stage", STAGES)
def test_what_was_stopped_and_went_on_ends_with_the_same_weights(
    runs: tuple[Path, dict[str, Any]], how: str, stage: str
) -> None:
    whole, _, record = read_result(runs[0] / "whole" / f"{stage}.safetensors")
    other, _, same_record = read_result(runs[0] / how / f"{stage}.safetensors")
    for network, state in whole.items():
        assert all(torch.equal(value, other[network][key]) for key, value in state.items())
    assert {**record, "minutes": 0} == {**same_record, "minutes": 0}


def test_a_signal_to_the_whole_group_does_not_cost_the_loaders(
    training_settings: dict[str, Any], tmp_path: Path
) -> None:
    settings = {
        **training_settings,
        "prior": None,
        "data": {**training_settings["data"], "workers": 1},
        "restoration": {"iterations": 400, "batch_size": 2},
        "checkpoint_every": 5,
        "output": str(tmp_path / "run"),
    }
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(settings))
    words = ["train", str(config), "--stage", "restoration", "--resume"]
    process = subprocess.Popen(
        [sys.executable, "-m", "ugpnet_core.cli", *words],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    checkpoint = tmp_path / "run" / "checkpoints" / "restoration.pt"
    while process.poll() is None and not checkpoint.exists():
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGTERM)
    shown = process.communicate(timeout=120)[1]
    assert process.returncode == 3, shown
    assert "Unfinished: stage restoration stopped after" in shown
    assert "Traceback" not in shown
    step = read_checkpoint(checkpoint)["step"]
    assert 5 <= step < 400


# Several processes

TOGETHER = """
import os, signal, sys
from accelerate import Accelerator
from ugpnet_core.cli import main
from ugpnet_core.training.single_loss import SingleLossStage
from ugpnet_core.training.synthesis import SynthesisStage
Accelerator.end_training = lambda self: None  # the processes go on with the next training
whole, broken = sys.argv[1:]

def in_step(stage, step, rank):
    for cls in (SingleLossStage, SynthesisStage):
        def update(self, batches, now, original=cls.update):
            if (self.name, now, os.environ["RANK"]) == (stage, step, rank):
                os.kill(os.getpid(), signal.SIGTERM)
            return original(self, batches, now)
        cls.update = update

statuses = [main(["train", whole])]
in_step("restoration", 1, "1")
in_step("synthesis", 2, "0")
statuses += [main(["train", broken, "--resume"]) for _ in range(3)]
print("statuses", statuses)
"""


def test_processes_stop_together_and_end_the_same(
    training_settings: dict[str, Any], tmp_path: Path
) -> None:
    driver = tmp_path / "driver.py"
    driver.write_text(TOGETHER)
    configs = []
    for name in ("whole", "broken"):
        common = {"iterations": 4, "batch_size": 2, "ema": 0.9}
        stages = dict.fromkeys(STAGES[1:], common)
        settings = {**training_settings, **stages, "prior": None, "output": str(tmp_path / name)}
        configs.append(tmp_path / f"{name}.yaml")
        configs[-1].write_text(yaml.safe_dump(settings))
    torchrun = Path(sys.executable).parent / "torchrun"
    words = [str(torchrun), "--standalone", "--nproc_per_node", "2", str(driver)]
    done = subprocess.run(
        [*words, *map(str, configs)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("statuses [0, 3, 3, 0]") == 2
    said = [line for line in done.stderr.splitlines() if line.startswith("Unfinished: ")]
    assert [line.partition(". Go on")[0] for line in said] == [
        "Unfinished: stage restoration stopped after 2 of 4 iterations (another process)",
        "Unfinished: stage synthesis stopped after 3 of 4 iterations (SIGTERM)",
    ]
    for stage in STAGES[1:]:
        whole, other = (
            read_result(tmp_path / name / f"{stage}.safetensors")[0] for name in ("whole", "broken")
        )
        for network, state in whole.items():
            assert all(torch.equal(value, other[network][key]) for key, value in state.items())


def test_minutes_must_be_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "none.yaml", "--minutes", "-1"]) == 2
    assert "minutes" in capsys.readouterr().err
