"""Images per second of a training step of each stage, at the widths of the shipped model.

    python -m benchmarks.training_speed

The plain way (float32, channels first) is the base that the others are compared with, in one
run. On a CPU without bfloat16 instructions the bfloat16 rows are slow by far; they are left out
there unless asked for with --bfloat16.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import yaml
from accelerate import Accelerator
from safetensors.torch import save_file

from ugpnet_core.config import TrainConfig
from ugpnet_core.losses.contextual import PatchContextualLoss
from ugpnet_core.losses.perceptual import build_contextual_features, build_lpips
from ugpnet_core.losses.perceptual_weights import empty_trunk
from ugpnet_core.networks.ugpnet import build_model
from ugpnet_core.training.data import Pair
from ugpnet_core.training.fusion import FusionStage
from ugpnet_core.training.restoration import RestorationStage
from ugpnet_core.training.stage import Bench, Stage
from ugpnet_core.training.synthesis import SynthesisStage

RECIPE = Path(__file__).parents[1] / "examples" / "configs" / "portraits-denoise.yaml"


def stages(config: TrainConfig) -> Iterator[Stage]:
    """The three stages on one new model; making one freezes what the one before trained."""
    accelerator = Accelerator(mixed_precision="bf16" if config.precision == "bfloat16" else "no")
    model = build_model(config.model).to(accelerator.device)
    if config.channels_last:
        model.to(memory_format=torch.channels_last)
    bench = Bench(config, model, accelerator)
    lpips = build_lpips(config.perceptual).to(accelerator.device)
    contextual = PatchContextualLoss(
        build_contextual_features(config.perceptual).to(accelerator.device),
        config.fusion.contextual_patch,
    )
    yield RestorationStage(bench, config.restoration)
    yield SynthesisStage(bench, config.synthesis, lpips)
    yield FusionStage(bench, config.fusion, lpips, contextual)


def images_per_second(stage: Stage, config: TrainConfig, repeats: int) -> float:
    """The best of some steps, with every loss switched on."""
    size, count = config.data.resolution, stage.settings.batch_size
    step = stage.settings.iterations - 1
    best = float("inf")
    for _ in range(repeats + 1):
        clean = torch.rand(count, 3, size, size)
        noisy = (clean + 0.3 * torch.randn_like(clean)).clamp(0, 1)
        pair = stage.bench.to_device(Pair(clean, noisy))
        started = time.perf_counter()
        stage.update([pair], step)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return count / best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bfloat16", action="store_true", help="measure bfloat16 in any case")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    logging.getLogger("accelerate").setLevel(logging.ERROR)
    ways = [("float32", False), ("float32", True)]
    if arguments.bfloat16 or torch.cuda.is_available():
        ways += [("bfloat16", False), ("bfloat16", True)]
    base: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "squeezenet.safetensors"
        trunk = empty_trunk("squeeze").to_empty(device="cpu")
        for parameter in trunk.parameters():
            torch.nn.init.normal_(parameter, std=0.05)
        save_file(trunk.state_dict(), weights)
        for precision, channels_last in ways:
            content = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
            content["perceptual"]["weights"] = str(weights)
            content |= {"precision": precision, "channels_last": channels_last}
            config = TrainConfig.model_validate(content)
            rates = [
                images_per_second(stage, config, arguments.repeats) for stage in stages(config)
            ]
            base = base or rates
            layout = "channels_last" if channels_last else "channels first"
            figures = "  ".join(
                f"{name} {rate:5.1f}/s ({rate / reference:4.2f}x)"
                for name, rate, reference in zip(
                    ("restoration", "synthesis", "fusion"), rates, base, strict=True
                )
            )
            print(f"{precision:9s} {layout:15s} {figures}", flush=True)


if __name__ == "__main__":
    main()
