"""How fast the stages of a training are here, against what this machine computes at best.

    python -m benchmarks.training_speed [CONFIG [KEY=VALUE...]] [--seconds 100] [--json FILE]
        [--give-back]

For each stage and precision: images per second, and the share of this machine's own rate of
convolution (3x3, 64 to 64 channels, channels_last, the best of five) that the multiplications of
the stage come to, with its backward passes; then, with the pipeline of data feeding it, the part
of the time in which no batch was ready. Batches, widths and losses are those of the configuration
(default: the shipped recipe examples/configs/portraits/portraits.yaml); all losses are switched
on, and weights are random. Photographs and perceptual weights that are not here are replaced by
invented ones.

Without a configuration both precisions are measured (bfloat16 on a processor only where that has
instructions for it), otherwise its own. With a GPU the stages are measured there. The memory of
maps is kept, as ``ugpnet train`` keeps it; ``--give-back`` leaves it to the system's library.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from safetensors.torch import save_file
from torch.utils.data import Dataset
from torch.utils.flop_counter import FlopCounterMode

from ugpnet_core.config import PerceptualConfig, TrainConfig
from ugpnet_core.config_files import apply_override, read_sections
from ugpnet_core.devices import has_bfloat16, keep_memory
from ugpnet_core.factory import create_task_at
from ugpnet_core.image import write_image
from ugpnet_core.losses.contextual import PatchContextualLoss
from ugpnet_core.losses.perceptual import build_contextual_features, build_lpips
from ugpnet_core.losses.perceptual_weights import empty_trunk
from ugpnet_core.networks.ugpnet import build_model
from ugpnet_core.training.compiling import compile_network
from ugpnet_core.training.context import TrainingContext
from ugpnet_core.training.crops import CropPairs, read_crop_photographs
from ugpnet_core.training.data import Pair, Pairs, training_batches
from ugpnet_core.training.fusion import FusionStage
from ugpnet_core.training.photographs import read_photographs
from ugpnet_core.training.restoration import RestorationStage
from ugpnet_core.training.stage import Stage
from ugpnet_core.training.synthesis import SynthesisStage

RECIPES = Path(__file__).parents[1] / "examples" / "configs" / "portraits"
SHIPPED = RECIPES / "portraits.yaml"
SIDE = 192  # of invented photographs, at least
INVENTED = 16


class Speed(NamedTuple):
    """Of a stage: steps per second, and the multiplications and additions of one."""

    steps_per_second: float
    flops: float


def stages(config: TrainConfig) -> Iterator[Stage]:
    """The three stages on one new model; making one freezes what the one before trained."""
    AcceleratorState._reset_state(True)  # which remembers the precision of the one before
    accelerator = Accelerator(mixed_precision="bf16" if config.precision == "bfloat16" else "no")
    model = build_model(config.model).to(accelerator.device)
    if config.channels_last:
        model.to(memory_format=torch.channels_last)
    context = TrainingContext(config, model, accelerator)
    lpips = build_lpips(config.perceptual).to(accelerator.device)
    contextual = PatchContextualLoss(
        build_contextual_features(config.perceptual).to(accelerator.device),
        config.fusion.contextual_patch,
    )
    yield RestorationStage(context, config.restoration)
    yield SynthesisStage(context, config.synthesis, lpips)
    yield FusionStage(context, config.fusion, lpips, contextual)


def invented_pair(stage: Stage, config: TrainConfig) -> Pair:
    """A batch of the size that the stage learns from, on the device."""
    side = config.data.resolution
    if stage.name == "restoration" and config.data.crop is not None:
        side = config.data.crop
    clean = torch.rand(stage.settings.batch_size, 3, side, side)
    noisy = (clean + 0.3 * torch.randn_like(clean)).clamp(0, 1)
    return stage.context.to_device(Pair(clean, noisy))


def images_per_second(stage: Stage, config: TrainConfig, repeats: int) -> float:
    """The best of some steps, with every loss switched on."""
    speed = measure(stage, config, 0.0, repeats)
    return speed.steps_per_second * stage.settings.batch_size


def measure(stage: Stage, config: TrainConfig, seconds: float, repeats: int = 2) -> Speed:
    """The best of as many steps as fit into ``seconds``, after a first one that is counted."""
    # R1 is lazy: most steps have none, the last one of nearly all settings among them.
    step = stage.settings.iterations - 1
    pair = invented_pair(stage, config)
    with FlopCounterMode(display=False) as counter:
        stage.update([pair], step)
    best, tried = float("inf"), 0
    began = time.perf_counter()
    while tried < repeats or time.perf_counter() - began < seconds:
        started = time.perf_counter()
        stage.update([pair], step)
        _wait()
        best = min(best, time.perf_counter() - started)
        tried += 1
    return Speed(1 / best, counter.get_total_flops())


def waiting(
    stage: Stage, pairs: Dataset[Pair], seconds: float, workers: int
) -> tuple[float, float]:
    """Steps per second of a stage that is fed, and the part of the time that it waits."""
    count = stage.settings.batch_size
    source = training_batches(pairs, first=0, last=10**9, batch_size=count, workers=workers)
    step = stage.settings.iterations - 1
    with closing(source):
        stage.update([stage.context.to_device(next(source))], step)
        waited, steps, started = 0.0, 0, time.perf_counter()
        while time.perf_counter() - started < seconds or steps < 2:
            asked = time.perf_counter()
            pair = next(source)
            waited += time.perf_counter() - asked
            stage.update([stage.context.to_device(pair)], step)
            _wait()
            steps += 1
        total = time.perf_counter() - started
    return steps / total, waited / total


def convolution_rate(dtype: torch.dtype, device: torch.device) -> float:
    """Multiplications and additions per second of a 3x3 convolution, 64 to 64 channels,
    channels_last; the best of five."""
    count, side = (64, 256) if device.type == "cuda" else (4, 128)
    layout = torch.channels_last
    x = torch.randn(count, 64, side, side, device=device, dtype=dtype).to(memory_format=layout)
    weight = torch.randn(64, 64, 3, 3, device=device, dtype=dtype).to(memory_format=layout)
    best = float("inf")
    with torch.no_grad():
        F.conv2d(x, weight, padding=1)
        for _ in range(5):
            _wait()
            started = time.perf_counter()
            F.conv2d(x, weight, padding=1)
            _wait()
            best = min(best, time.perf_counter() - started)
    return 2 * x.numel() * 64 * 9 / best


def training_pairs(stage: Stage, config: TrainConfig) -> Dataset[Pair]:
    """What a stage learns from, as :mod:`ugpnet_core.training.run` has it."""
    data = config.data
    task = create_task_at(config.model.task, data.resolution)
    crop = data.crop if stage.name == "restoration" else None
    if data.crops and crop is not None:
        photographs = read_crop_photographs(data.crops, crop)
        return CropPairs(photographs, task, config.seed, stage.name, crop=crop, flip=data.flip)
    found = read_photographs(data.train, data.resolution, scale=task.scale, cache=data.cache)
    return Pairs(found, task, config.seed, stage.name, flip=data.flip, crop=crop)


def with_inventions(config: TrainConfig, folder: Path) -> TrainConfig:
    """The settings with invented photographs and perceptual weights for those that are missing."""
    data = config.data
    sources = [*(one for one in data.train if isinstance(one, Path)), *(c.path for c in data.crops)]
    if not all(one.exists() for one in sources if one.suffix != ".tar"):
        invent_photographs(folder / "photographs", max(SIDE, data.resolution))
        crops = [c.model_copy(update={"path": folder / "photographs"}) for c in data.crops]
        crops = [crop.model_copy(update={"scales": [1.0]}) for crop in crops]
        update = {"train": [folder / "photographs"], "crops": crops}
        config = config.model_copy(update={"data": data.model_copy(update=update)})
    weights = config.perceptual.weights
    if weights is None or not weights.exists():
        perceptual = PerceptualConfig(
            network="squeeze", weights=invent_trunk(folder), resize=config.perceptual.resize
        )
        config = config.model_copy(update={"perceptual": perceptual})
    return config


def invent_photographs(folder: Path, side: int) -> None:
    """Pictures with detail at several scales."""
    rng = torch.Generator().manual_seed(0)
    for index in range(INVENTED):
        scales = [torch.rand(1, 3, size, size, generator=rng) for size in (4, 16, 64)]
        layers = [F.interpolate(scale, side, mode="bilinear") for scale in scales]
        write_image(folder / f"{index}.png", torch.stack(layers).mean(0)[0])


def invent_trunk(folder: Path) -> Path:
    """A file with random weights of the SqueezeNet trunk."""
    path = folder / "squeezenet.safetensors"
    trunk = empty_trunk("squeeze").to_empty(device="cpu")
    for parameter in trunk.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    save_file(trunk.state_dict(), path)
    return path


def here() -> torch.device:
    """The device that is measured."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def table(config: TrainConfig, precisions: Sequence[str], seconds: float) -> list[dict[str, Any]]:
    """Measure every stage in every precision; prints a line for each."""
    device = here()
    threads = torch.get_num_threads()
    print(f"{device.type}, {threads} threads, torch {torch.__version__}", flush=True)
    each = seconds / (6 * len(precisions))
    rows: list[dict[str, Any]] = []
    for precision in precisions:
        now = config.model_copy(update={"precision": precision})
        rate = convolution_rate(getattr(torch, precision), device)
        print(f"{precision}: convolution at {rate / 1e9:.0f} GFLOP/s", flush=True)
        for stage in stages(now):
            compile_network(stage.trained, now.compile)
            speed = measure(stage, now, each)
            pairs = training_pairs(stage, now)
            fed, waits = waiting(stage, pairs, each, now.data.workers)
            count = stage.settings.batch_size
            row = {
                "name": config.name,
                "stage": stage.name,
                "precision": precision,
                "batch size": count,
                "images_per_second": speed.steps_per_second * count,
                "steps_per_second": speed.steps_per_second,
                "share of convolution": speed.flops * speed.steps_per_second / rate,
                "fed_images_per_second": fed * count,
                "waiting": waits,
                "workers": now.data.workers,
            }
            rows.append(row)
            print(
                f"  {stage.name:12s} {row['images_per_second']:8.1f} images/s  "
                f"{row['share of convolution']:5.1%} of that rate;  fed {fed * count:8.1f} "
                f"images/s, waits {waits:5.1%}",
                flush=True,
            )
    return rows


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path, nargs="?", help="default: the shipped recipe")
    parser.add_argument("overrides", nargs="*", help="settings to change, as key=value")
    parser.add_argument("--bfloat16", action="store_true", help="measure bfloat16 in any case")
    parser.add_argument("--seconds", type=float, default=100.0, help="of all measurements")
    parser.add_argument("--give-back", action="store_true", help="do not keep the memory of maps")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    given = parser.parse_intermixed_args()
    logging.getLogger("accelerate").setLevel(logging.ERROR)
    if not given.give_back:
        keep_memory()
    content = read_sections(given.config or SHIPPED)
    for override in given.overrides:
        apply_override(content, override)
    config = TrainConfig.model_validate(content)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    precisions = [config.precision]
    if given.config is None:
        both = given.bfloat16 or has_bfloat16(here())
        precisions = ["float32", "bfloat16"] if both else ["float32"]
    with tempfile.TemporaryDirectory() as folder:
        rows = table(with_inventions(config, Path(folder)), precisions, given.seconds)
    if given.json is not None:
        facts = {"device": _device(), "torch": torch.__version__, "stages": rows}
        given.json.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    main()
