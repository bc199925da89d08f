"""Several processes, and accumulated batches, make the update that one large batch makes.

In double precision the weights agree to a few roundings, so that what is compared is the sum that
an update is made of, and not its conditioning.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import AdamW

from ugpnet_core.config import TrainConfig
from ugpnet_core.config_files import read_config
from ugpnet_core.losses.contextual import PatchContextualLoss
from ugpnet_core.losses.perceptual import build_contextual_features
from ugpnet_core.networks.ugpnet import build_model
from ugpnet_core.training.checkpoint import read_result
from ugpnet_core.training.context import TrainingContext
from ugpnet_core.training.data import Pair
from ugpnet_core.training.fusion import FusionStage
from ugpnet_core.training.prior import PriorStage
from ugpnet_core.training.processes import shares
from ugpnet_core.training.run import train
from ugpnet_core.training.stage import Stage
from ugpnet_core.training.synthesis import SynthesisStage

STAGES = ("prior", "restoration", "synthesis", "fusion")
DOCUMENT = Path(__file__).parents[2] / "docs" / "training.md"
SECONDS = 400  # a few suffice; a machine may be busy

# `ugpnet train` in double precision, once for each configuration. A prior draws no noise maps (they
# are drawn in each process for itself), and after each step all processes must have the same
# weights. Adam's epsilon is larger: otherwise a gradient of zero is a direction of its roundings.
DRIVER = """
import sys
import torch
from functools import partial
torch.set_default_dtype(torch.float64)
torch.Tensor.float = torch.Tensor.double
from ugpnet_core.cli import main
from ugpnet_core.training import prior, processes, single_loss, stage, synthesis
from ugpnet_core.training.context import TrainingContext
from ugpnet_core.training.data import Pair
from ugpnet_priors.stylegan2.generator import StyleGAN2Generator
noisy, *configs = sys.argv[1:]

from accelerate import Accelerator
Accelerator.end_training = lambda self: None  # the processes go on with the next configuration
stage.AdamW = partial(stage.AdamW, eps=1e-3)
to_device, optimizer_step = TrainingContext.to_device, processes.optimizer_step
generate = StyleGAN2Generator.generate

def checked(accelerator, network, optimizer, norm):
    optimizer_step(accelerator, network, optimizer, norm)
    digest = torch.stack([p.sum() for p in network.parameters()])
    assert torch.equal(accelerator.reduce(digest, "mean"), digest), "processes differ"

def doubled(self, pair):
    return to_device(self, Pair(*(image.double() for image in pair)))

TrainingContext.to_device = doubled
for module in (single_loss, synthesis, prior):
    module.optimizer_step = checked
for config in configs:
    if config != noisy:
        StyleGAN2Generator.generate = lambda self, styles, **_: generate(self, styles)
    else:
        StyleGAN2Generator.generate = generate
    status = main(["train", config, *(["--stage", "prior"] if config == noisy else [])])
    if status:
        sys.exit(status)
"""


def settings(training_settings: dict[str, Any], batch_size: int) -> dict[str, Any]:
    common = {"iterations": 3, "batch_size": batch_size}
    quiet = {"augmentation": "none", "path_length_weight": 0}
    return {
        **training_settings,
        "prior": {**common, **quiet, "r1_every": 2},
        "restoration": {**common, "ema": 0.9, "clip_gradient": 1.0},
        "synthesis": {**common, "ema": 0.9, "r1_every": 2},
        "fusion": common,
    }


def write(folder: Path, name: str, content: dict[str, Any]) -> str:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({**content, "output": str(folder / name)}))
    return str(path)


def start(*command: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
    )


def finish(process: subprocess.Popen[str], status: int = 0) -> str:
    try:
        shown = process.communicate(timeout=SECONDS)[0]
    finally:
        process.kill()
    assert process.returncode == status, shown
    return shown


def launch(name: str) -> list[str]:
    """The command that docs/training.md gives, up to what it starts."""
    (line,) = re.findall(rf"^{name} .*$", DOCUMENT.read_text(encoding="utf-8"), flags=re.M)
    words, _, _ = line.partition(" -m ugpnet_core.cli train CONFIG")
    program, *options = words.split()
    found = shutil.which(program, path=str(Path(sys.executable).parent))
    assert found is not None
    return [found, *options]


@pytest.fixture(scope="module")
def outputs(
    training_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """A training of all stages by one process, and by two with half the batch each."""
    folder = tmp_path_factory.mktemp("processes")
    driver = folder / "driver.py"
    driver.write_text(DRIVER)
    one = write(folder, "one", settings(training_settings, 8))
    two = write(folder, "two", settings(training_settings, 4))
    random = settings(training_settings, 4)
    random["prior"] = {
        "iterations": 1,
        "batch_size": 4,
        "path_length_every": 1,
        "augmentation": "fixed",
        "augmentation_probability": 0.5,
    }
    noisy = write(folder, "noisy", random)
    alone = start(sys.executable, str(driver), noisy, one)
    together = start(
        *launch("torchrun"),
        *(str(driver), noisy, noisy, two),
        ACCELERATE_USE_CPU="true",
    )
    finish(alone)
    finish(together)
    return {name: folder / name for name in ("one", "two", "noisy")}


@pytest.mark.parametrize("stage", STAGES)
def test_two_processes_train_as_one_with_the_same_global_batch(
    outputs: dict[str, Path], stage: str
) -> None:
    one, _, record = read_result(outputs["one"] / f"{stage}.safetensors")
    two, _, same_record = read_result(outputs["two"] / f"{stage}.safetensors")
    assert one.keys() == two.keys()
    for network, state in one.items():
        assert state.keys() == two[network].keys()
        for key, value in state.items():
            torch.testing.assert_close(
                two[network][key], value, rtol=1e-8, atol=1e-10, msg=f"{network}.{key}"
            )
    assert record["images"] == same_record["images"] == 3 * 8
    estimated = "of 24 images" if stage == "synthesis" else None
    assert record.get("batch_statistics") == same_record.get("batch_statistics") == estimated


def test_processes_stay_alike_where_each_draws_for_itself(outputs: dict[str, Path]) -> None:
    # That they do is asserted after each step, in the driver.
    assert (outputs["noisy"] / "prior.safetensors").exists()
    assert (outputs["two"] / "tiny.safetensors").exists()


def test_accelerate_launch_starts_two_processes_of_the_command(
    training_settings: dict[str, Any], tmp_path: Path
) -> None:
    common = {"iterations": 2, "learning_rate": 1e-3, "loss": "l1"}
    one = {**training_settings, "prior": None, "restoration": {**common, "batch_size": 4}}
    two = {**one, "restoration": {**common, "batch_size": 2}}
    words = ["-m", "ugpnet_core.cli", "train"]
    only = ["--stage", "restoration"]
    train(read_config(Path(write(tmp_path, "one", one))), "restoration")
    shown = finish(
        start(
            *(*launch("accelerate"), *words, write(tmp_path, "two", two), *only),
            ACCELERATE_USE_CPU="true",
        )
    )
    results = [read_result(tmp_path / name / "restoration.safetensors") for name in ("one", "two")]
    assert results[0][2]["images"] == results[1][2]["images"] == 8
    assert shown.count("Stage restoration is finished") == 1
    for key, value in results[0][0]["network"].items():
        torch.testing.assert_close(results[1][0]["network"][key], value, rtol=1e-4, atol=1e-6)


def test_what_is_drawn_for_an_update_is_dealt_out_once() -> None:
    class Process:
        num_processes = 3

        def __init__(self, index: int) -> None:
            self.process_index = index

    drawn = torch.arange(24)
    dealt = [shares(drawn, 2, Process(index)) for index in range(3)]
    assert sorted(torch.cat([torch.cat(two) for two in dealt]).tolist()) == list(range(24))
    assert dealt[1][0].tolist() == [2, 8, 14, 20]
    assert shares(drawn, 1, Accelerator())[0] is not None
    assert torch.equal(shares(drawn, 1, Accelerator())[0], drawn)


# Accumulation


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Double precision throughout; batch normalisation does not look at its batch."""
    monkeypatch.setattr(Tensor, "float", Tensor.double)
    monkeypatch.setattr("ugpnet_core.training.stage.AdamW", partial(AdamW, eps=1e-3))

    def frozen(self: nn.BatchNorm2d, mode: bool = True) -> nn.Module:
        return nn.Module.train(self, False)

    monkeypatch.setattr(nn.BatchNorm2d, "train", frozen)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def make(name: str, made: TrainConfig) -> Stage:
    torch.manual_seed(0)
    context = TrainingContext(made, build_model(made.model).double(), Accelerator())
    if name == "prior":
        assert made.prior is not None
        return PriorStage(context, made.prior)
    if name == "synthesis":
        return SynthesisStage(context, made.synthesis, None)
    features = build_contextual_features(made.perceptual).double()
    return FusionStage(context, made.fusion, None, PatchContextualLoss(features, 16))


@pytest.mark.parametrize("name", ["prior", "synthesis", "fusion"])
def test_accumulated_batches_make_the_update_of_a_large_one(
    training_config: Callable[..., TrainConfig],
    double: None,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = training_config(
        prior__augmentation="none",
        prior__path_length_weight=0,
        synthesis__clip_gradient=0.1,
        fusion__contextual_weight=5.0,
    )
    whole = Pair(*torch.rand(2, 8, 3, 32, 32, generator=torch.Generator().manual_seed(1)))
    halves = [Pair(*(image[first::2] for image in whole)) for first in range(2)]
    states, losses = [], []
    for batches in ([whole], halves):
        trained = make(name, made)
        if name == "prior":  # noise maps are drawn batch by batch
            network = trained.networks["network"]
            monkeypatch.setattr(network, "generate", quiet(network.generate))
        for step in range(2):
            torch.manual_seed(step)
            losses.append(trained.update(batches, step))
        states.append([dict(one.named_parameters()) for one in trained.networks.values()])
    for one, other in zip(*states, strict=True):
        for key, value in one.items():
            torch.testing.assert_close(other[key], value, rtol=1e-8, atol=1e-10, msg=key)
    assert losses[0].keys() == losses[2].keys()
    assert losses[2] == pytest.approx(losses[0], rel=1e-8)


def quiet(generate: Any) -> Callable[..., Any]:
    def without_noise(styles: Tensor, randomize_noise: bool = False, **more: Any) -> Any:
        return generate(styles)

    return without_noise
