"""A training that was killed and resumed ends with the same weights, bit for bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from ugpnet_core.checkpoints.state_dict import read_safetensors
from ugpnet_core.training.checkpoint import read_result

# Runs `ugpnet train CONFIG` once from beginning to end, and once killed in every stage. Each
# training is a process of its own; forking them from one that has imported torch saves time.
DRIVER = """
import json, os, signal, sys, time
from pathlib import Path
from ugpnet_core.cli import main
from ugpnet_core.training import run
from ugpnet_core.training.prior import PriorStage
from ugpnet_core.training.single_loss import SingleLossStage
from ugpnet_core.training.synthesis import SynthesisStage
# What every training imports late is imported once here: the first optimiser brings a lot.
import torch, torchvision.models
torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])

config, output = sys.argv[1], Path(sys.argv[2])

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def die_in_step(stage, step):
    for cls in (PriorStage, SingleLossStage, SynthesisStage):
        def update(self, batches, now, original=cls.update):
            losses = original(self, batches, now)
            if (self.name, now) == (stage, step):
                die()
            return losses
        cls.update = update

def die_in_second_checkpoint(stage, step):
    replace = os.replace
    def dying(source, target):
        if Path(target).name == stage + ".pt" and Path(target).exists():
            die()
        replace(source, target)
    os.replace = dying

def train(output, arrange=None, *arguments, stage="all"):
    pid = os.fork()
    if pid == 0:
        if arrange is not None:
            arrange(*arguments)
        words = [config, "output=" + str(output), "--stage", stage, "--resume"]
        os._exit(main(["train", *words]))
    return pid

def result(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

results = {"whole": result(train(output / "whole"))}
broken = output / "broken"
for stage, arrange in (("prior", die_in_step), ("restoration", die_in_second_checkpoint),
                       ("synthesis", die_in_step), ("fusion", die_in_step)):
    results[stage] = result(train(broken, arrange, stage, 4))
    results[stage + " checkpoint"] = (broken / "checkpoints" / (stage + ".pt")).exists()
    results[stage + " result"] = (broken / (stage + ".safetensors")).exists()

results["resumed"] = result(train(broken))

# From outside, whenever the first checkpoint is seen.
outside = output / "outside"
pid = train(outside, stage="restoration")
while not list(outside.glob("checkpoints/*.pt")):
    time.sleep(0.001)
os.kill(pid, signal.SIGKILL)
results["outside"] = result(pid)
results["outside resumed"] = result(train(outside, stage="restoration"))
print(json.dumps(results))
"""
STAGES = ("prior", "restoration", "synthesis", "fusion")


@pytest.fixture(scope="module")
def runs(
    training_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("resume")
    # Steps are lost and made again: checkpoints are written after 3 and, by validation, 4 steps.
    settings = {**training_settings, "checkpoint_every": 3, "validate_every": 4, "log_every": 2}
    common = {"iterations": 6, "batch_size": 2}
    # What happens now and then, or changes with the step, does so after the resumption (from step
    # 3, of synthesis and fusion 4), which is no step of its own kind.
    settings["prior"] = {**common, "r1_every": 2, "path_length_every": 5, "ema": 0.9}
    settings["restoration"] = {**common, "ema": 0.9, "accumulate": 2, "warmup": 5}
    settings["synthesis"] = {**common, "ema": 0.9, "r1_every": 5, "adversarial_from": 1}
    settings["fusion"] = {**common, "schedule": "step", "decay_at": 5}
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


def test_the_trainings_were_killed_in_the_middle_and_ended_well(
    runs: tuple[Path, dict[str, Any]],
) -> None:
    _, results = runs
    for stage in STAGES:
        assert results[stage] == -9
        assert results[f"{stage} checkpoint"]
        assert not results[f"{stage} result"]
    assert results["outside"] == -9
    assert results["whole"] == results["resumed"] == results["outside resumed"] == 0


@pytest.mark.parametrize(
    ("stage", "broken"), [*((stage, "broken") for stage in STAGES), ("restoration", "outside")]
)
def test_a_resumed_stage_ends_with_the_same_weights(
    runs: tuple[Path, dict[str, Any]], stage: str, broken: str
) -> None:
    folder, _ = runs
    whole, _, record = read_result(folder / "whole" / f"{stage}.safetensors")
    resumed, _, same_record = read_result(folder / broken / f"{stage}.safetensors")
    assert whole.keys() == resumed.keys()
    for network, state in whole.items():
        assert state.keys() == resumed[network].keys()
        for key, value in state.items():
            assert torch.equal(value, resumed[network][key]), f"{network}.{key}"
    del record["minutes"], same_record["minutes"]
    assert record == same_record


def test_the_model_files_are_the_same_and_no_checkpoint_stays(
    runs: tuple[Path, dict[str, Any]],
) -> None:
    folder, _ = runs
    whole = read_safetensors(folder / "whole" / "tiny.safetensors")[0]
    resumed = read_safetensors(folder / "broken" / "tiny.safetensors")[0]
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(value, resumed[key]) for key, value in whole.items())
    assert not list((folder / "broken" / "checkpoints").glob("*.pt"))
