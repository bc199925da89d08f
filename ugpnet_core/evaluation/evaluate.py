"""Degrade a folder of photographs, restore them with a model, and measure what came out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ugpnet_core.config import PerceptualConfig, TaskConfig
from ugpnet_core.degradations.seeding import rng_for
from ugpnet_core.errors import ConfigError, ImageError
from ugpnet_core.evaluation.baselines import (
    SEARCH_WINDOW,
    TEMPLATE_WINDOW,
    best_strength,
    non_local_means,
)
from ugpnet_core.evaluation.frechet import CROP_SIZE, CROPS_PER_IMAGE
from ugpnet_core.evaluation.measurement import Figures, Measurement, Sample
from ugpnet_core.evaluation.metrics import SSIM_WINDOW, quantised
from ugpnet_core.factory import create_task
from ugpnet_core.image import center_square, read_image, resize
from ugpnet_core.losses.perceptual import describe
from ugpnet_core.plugins import TaskEntry, find, validate_options
from ugpnet_core.protocols import Task

if TYPE_CHECKING:
    from ugpnet_core.networks.ugpnet import UGPNet

DEGRADED, REGRESSION, SYNTHESIS, RESTORED = "degraded", "x_reg", "x_syn", "x_hat"
NON_LOCAL_MEANS = "non-local means"
# Below this, covariances of 512 features say little.
FEW_CROPS = 2048
VERSIONS_OF = ("ugpnet-core", "torch", "torchvision", "torchmetrics", "lpips", "opencv-python")


@dataclass
class Evaluation:
    """What :func:`evaluate` found out.

    Attributes:
        protocol: how it was measured, in words, by subject.
        figures: per set of images (degraded, x_reg, ...) the means of psnr (dB), ssim and lpips,
            and the set's frechet distance; None where it was not computed.
        images: per photograph its name, and per set psnr, ssim and lpips.
        problems: files that were left out, and why.
        strength: of the non-local means, if they were asked for.
    """

    protocol: dict[str, str]
    figures: Figures
    images: list[tuple[str, Figures]]
    problems: list[tuple[str, str]] = field(default_factory=list)
    strength: int | None = None

    def frechet_ratio(self) -> float | None:
        """The Fréchet distance of x_hat over that of x_reg; below 1 is more natural."""
        restored = self.figures[RESTORED]["frechet"]
        regression = self.figures[REGRESSION]["frechet"]
        return restored / regression if restored is not None and regression else None


def task_at(config: TaskConfig, resolution: int) -> Task:
    """Make a task whose sizes fit a resolution, unless its options say otherwise."""
    return create_task(config.name, **_task_options(config, resolution))


def _task_options(config: TaskConfig, resolution: int) -> dict[str, Any]:
    """All options of a task, those left open by default included."""
    entry = find(TaskEntry, config.name).entry
    fitted = {"resolution": resolution} if "resolution" in entry.options.model_fields else {}
    return validate_options(entry, fitted | config.options)


def evaluate(
    model: UGPNet,
    files: Sequence[Path],
    *,
    root: Path,
    task: TaskConfig | None = None,
    seed: int = 0,
    perceptual: PerceptualConfig | None = None,
    baselines: bool = False,
    device: str | torch.device = "cpu",
    batch_size: int = 8,
    progress: Callable[[str, int, int], None] | None = None,
) -> Evaluation:
    """Measure a model on photographs that are degraded with fixed seeds.

    Args:
        files: the photographs.
        root: the folder that names and seeds are relative to.
        task: default: the model's own.
        seed: with a file's name, it fixes the file's degradation and crops.
        perceptual: networks of LPIPS and the Fréchet distance; None: these are not computed.
        baselines: measure non-local means, too.
        progress: called with a stage's name, the steps done and their number.

    Raises:
        ConfigError: the task enlarges by another factor than the model.
        ImageError: none of the files can be used.
        WeightsError: perceptual weights are missing or do not fit.
    """
    task_config = task or model.config.task
    degradation = task_at(task_config, model.resolution)
    if degradation.scale != model.scale:
        raise ConfigError(
            f"Task {task_config.name!r} makes images {degradation.scale} times smaller and the "
            f"model enlarges {model.scale} times; choose a task that fits the model."
        )
    model = model.eval().to(device)
    measure = Measurement(seed, perceptual, device)
    evaluation = Evaluation(_protocol(model, task_config, seed, perceptual), {}, [])

    def samples(stage: str) -> Iterator[Sample]:
        for done, path in enumerate(files):
            if progress:
                progress(stage, done, len(files))
            try:
                yield _sample(path, root, model.resolution, degradation, seed)
            except (ImageError, OSError) as error:
                problem = (_name(path, root), str(error))
                if problem not in evaluation.problems:
                    evaluation.problems.append(problem)
        if progress:
            progress(stage, len(files), len(files))

    def pairs() -> Iterator[tuple[Tensor, Tensor]]:
        for sample in samples("strength of non-local means"):
            yield _enlarged(sample.degraded, model.resolution), sample.clean

    if baselines:
        evaluation.strength = best_strength(pairs)
        evaluation.protocol["non-local means"] = (
            f"cv2.fastNlMeansDenoisingColored, windows {TEMPLATE_WINDOW} and {SEARCH_WINDOW}, "
            f"strength {evaluation.strength} (the best for this set by PSNR)"
        )
    for batch in _batches(samples("evaluation"), batch_size):
        with torch.inference_mode():
            output = model(torch.stack([sample.degraded for sample in batch]).to(device))
        for index, sample in enumerate(batch):
            degraded = _enlarged(sample.degraded, model.resolution)
            sets = {DEGRADED: degraded}
            if evaluation.strength is not None:
                sets[NON_LOCAL_MEANS] = non_local_means(degraded, evaluation.strength)
            sets[REGRESSION] = output.regression[index].cpu()
            sets[SYNTHESIS] = output.synthesis[index].cpu()
            sets[RESTORED] = output.image[index].cpu()
            evaluation.images.append((sample.name, measure(sample, sets)))
    if not evaluation.images:
        reason = f" ({evaluation.problems[0][1]})" if evaluation.problems else ""
        raise ImageError(f"There is no image in {root} that can be evaluated{reason}.")
    evaluation.figures = measure.figures(evaluation.images)
    evaluation.protocol["images"] = f"{len(evaluation.images)} of {len(files)} files in {root}"
    if perceptual is not None and len(evaluation.images) * CROPS_PER_IMAGE < FEW_CROPS:
        evaluation.protocol[describe(perceptual).frechet] += (
            f"; few crops ({len(evaluation.images) * CROPS_PER_IMAGE}), compare with care"
        )
    return evaluation


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _sample(path: Path, root: Path, resolution: int, task: Task, seed: int) -> Sample:
    name = _name(path, root)
    clean = quantised(center_square(read_image(path).pixels, resolution))
    return Sample(name, clean, quantised(task(clean, rng_for(seed, name))))


def _enlarged(image: Tensor, resolution: int) -> Tensor:
    return quantised(resize(image, (resolution, resolution)))


def _batches(samples: Iterator[Sample], size: int) -> Iterator[list[Sample]]:
    batch: list[Sample] = []
    for sample in samples:
        batch.append(sample)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _protocol(
    model: UGPNet, task: TaskConfig, seed: int, perceptual: PerceptualConfig | None
) -> dict[str, str]:
    side = model.resolution
    options = _task_options(task, side)
    settings = ", ".join(f"{name} {value}" for name, value in options.items())
    protocol = {
        "task": f"{task.name}{f' ({settings})' if settings else ''}, seed {seed} and file name",
        "photographs": f"RGB, largest centred square, antialiased bicubic to {side}x{side}, 8 bits",
        "compared": "every image clamped to [0, 1] and rounded to 8 bits, no border cut off"
        + (f"; degraded ones bicubically enlarged {model.scale} times" if model.scale > 1 else ""),
        "PSNR": "dB, over all pixels and channels of an image; mean over images",
        "SSIM": f"Gaussian window {SSIM_WINDOW}, sigma 1.5, per channel of RGB; mean over images",
    }
    if perceptual is not None:
        names = describe(perceptual)
        at = f"resized to {perceptual.resize}" if perceptual.resize else f"at {side}x{side}"
        crop = min(CROP_SIZE, side)
        protocol[names.lpips] = f"linear layers 0.1 of the lpips package, images {at}"
        protocol[names.frechet] = (
            f"Fréchet distance to the photographs, {CROPS_PER_IMAGE} random {crop}x{crop} crops "
            f"per image at the same places in every set (seed {seed}), RGB, last feature map "
            "averaged over positions, 512 numbers"
        )
    return protocol


def versions() -> dict[str, str]:
    """The versions of the libraries that a figure depends on."""
    found = {}
    for name in VERSIONS_OF:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
