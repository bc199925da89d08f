"""Whether training waits for its images: loader against restoration stage, task by task.

    python -m benchmarks.loader_speed [--sizes 64 128 512] [--seconds 1] [--threads N]

For each task and size: images per second that the loader delivers (photographs in memory, mirrored,
degraded, in batches), by its thread and by two processes; images per second of the restoration
stage at the widths of examples/configs/portraits/denoise.yaml, on its own; and how many times
faster the loader is. Then the stage is fed by the loader's thread: "fed" is its speed relative to
the stage on its own (the loader takes its share of the processor), and "waits" is the part of the
time in which no batch was ready. The network works at full resolution whatever the task, so its
speed is measured once per size.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate import Accelerator

from benchmarks.training_speed import RECIPES, images_per_second, invent_photographs
from ugpnet_core.config import TaskConfig, TrainConfig
from ugpnet_core.factory import create_task_at
from ugpnet_core.networks.ugpnet import build_model
from ugpnet_core.training.context import TrainingContext
from ugpnet_core.training.data import Pair, Pairs, training_batches
from ugpnet_core.training.photographs import Photographs, read_photographs
from ugpnet_core.training.restoration import RestorationStage

TASKS: dict[str, Any] = {
    "denoise": {"name": "denoise"},
    "deblur": {"name": "deblur"},
    "sr8": {"name": "sr8"},
    "blind": {"name": "blind"},
    "photo": {"name": "photo"},
    "composition": [
        "motion_blur",
        {"downsample": {"factor": [1, 4]}},
        {"noise": {"k": [20, 100]}},
        "jpeg",
    ],
}


def restoration_stage(size: int, task: Any) -> tuple[RestorationStage, TrainConfig]:
    """The stage of the recipe for another size and task; batches have about as many pixels."""
    content = yaml.safe_load((RECIPES / "denoise.yaml").read_text(encoding="utf-8"))
    content["data"] |= {"resolution": size, "crop": None}
    content["model"]["task"] = task
    content["model"]["prior"]["options"]["resolution"] = size
    content["restoration"]["batch_size"] = max(1, 4 * 128**2 // size**2)
    config = TrainConfig.model_validate(content)
    model = build_model(config.model).to(memory_format=torch.channels_last)
    context = TrainingContext(config, model, Accelerator(cpu=True))
    return RestorationStage(context, config.restoration), config


def batches(
    photographs: Photographs, task: Any, size: int, batch_size: int, workers: int
) -> Generator[Pair]:
    """What the loader delivers; more than is asked for here."""
    made = create_task_at(TaskConfig.model_validate(task), size)
    pairs = Pairs(photographs, made, 0, "restoration")
    return training_batches(
        pairs, first=0, last=100_000, batch_size=batch_size, rank=0, world=1, workers=workers
    )


def delivered(source: Generator[Pair], batch_size: int, seconds: float) -> float:
    """Images per second of the loader on its own, after what was ready ahead has been used."""
    for _ in range(8):
        next(source)
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < seconds or count < 8 * batch_size:
        next(source)
        count += batch_size
    rate = count / (time.perf_counter() - started)
    source.close()
    return rate


def fed(
    stage: RestorationStage, source: Generator[Pair], batch_size: int, seconds: float
) -> tuple[float, float]:
    """Images per second of the stage with the loader, and the part of the time that it waited."""
    pair = next(source)
    waited, count, started = 0.0, 0, time.perf_counter()
    while time.perf_counter() - started < seconds or count < 2 * batch_size:
        stage.update([stage.context.to_device(pair)], stage.settings.iterations - 1)
        count += batch_size
        asked = time.perf_counter()
        pair = next(source)
        waited += time.perf_counter() - asked
    total = time.perf_counter() - started
    source.close()
    return count / total, waited / total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 512])
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement, at least")
    parser.add_argument("--threads", type=int, help="of torch (default: all processors)")
    arguments = parser.parse_args()
    seconds = arguments.seconds
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    logging.getLogger("accelerate").setLevel(logging.ERROR)
    print("size task         loader/s: thread, 2 processes  training/s  ratio   fed  waits")
    for size in arguments.sizes:
        with tempfile.TemporaryDirectory() as folder:
            invent_photographs(Path(folder), size)
            photographs = read_photographs([Path(folder)], size)
        training = images_per_second(*restoration_stage(size, TASKS["denoise"]), 3)
        for name, task in TASKS.items():
            stage, _ = restoration_stage(size, task)
            count = stage.settings.batch_size
            thread, processes = (
                delivered(batches(photographs, task, size, count, workers), count, seconds)
                for workers in (0, 2)
            )
            source = batches(photographs, task, size, count, 0)
            together, waiting = fed(stage, source, count, seconds)
            print(
                f"{size:4d} {name:11s}  {thread:16.0f} {processes:12.0f}  {training:10.2f} "
                f"{thread / training:5.0f}x {together / training:5.2f} {waiting:6.1%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
