"""Degrade a folder of photographs, restore them with a model, and measure what came out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ugpnet_core.config import TaskConfig
from ugpnet_core.evaluation.classical import NonLocalMeans
from ugpnet_core.evaluation.measure import Keep, Progress, measure_methods
from ugpnet_core.evaluation.methods import Degraded, Runner, UGPNetRunner
from ugpnet_core.evaluation.photographs import TestSet, check_scale, degraded_set
from ugpnet_core.evaluation.results import Evaluation
from ugpnet_core.metrics.networks import MetricNetworks

if TYPE_CHECKING:
    from ugpnet_core.networks.ugpnet import UGPNet


def evaluate(
    model: UGPNet,
    files: Sequence[Path],
    *,
    root: Path,
    task: TaskConfig | None = None,
    seed: int = 0,
    networks: MetricNetworks | None = None,
    baselines: bool = False,
    device: str | torch.device = "cpu",
    batch_size: int = 8,
    keep: Keep | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure a model on photographs that are degraded with fixed seeds.

    Args:
        files: the photographs.
        root: the folder that names and seeds are relative to.
        task: default: the model's own.
        seed: with a file's name, it fixes the file's degradation and crops.
        networks: which figures are computed; default: PSNR and SSIM.
        baselines: measure non-local means, too.
        keep: sees every image.
        progress: sees how far it is.

    Raises:
        ConfigError: the task enlarges by another factor than the model.
        ImageError: none of the files can be used.
    """
    test_set = degraded_set(files, root, model.resolution, task or model.config.task, seed)
    return evaluate_on(
        model,
        test_set,
        networks=networks,
        baselines=baselines,
        device=device,
        batch_size=batch_size,
        keep=keep,
        progress=progress,
    )


def evaluate_on(
    model: UGPNet,
    test_set: TestSet,
    *,
    networks: MetricNetworks | None = None,
    baselines: bool = False,
    device: str | torch.device = "cpu",
    batch_size: int = 8,
    keep: Keep | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure a model on a set of its resolution; see :func:`evaluate`."""
    check_scale(test_set, model.scale, "the model")
    runners: list[Runner] = [Degraded(), UGPNetRunner(model, device=device)]
    if baselines:
        runners.insert(1, NonLocalMeans())
    return measure_methods(
        runners,
        test_set,
        networks=networks,
        batch_size=batch_size,
        keep=keep,
        progress=progress,
    )


def frechet_ratio(evaluation: Evaluation) -> float | None:
    """The Fréchet distance of x_hat over that of x_reg; below 1 is more natural."""
    restored = evaluation.value("x_hat", "frechet")
    regression = evaluation.value("x_reg", "frechet")
    return restored / regression if restored is not None and regression else None
