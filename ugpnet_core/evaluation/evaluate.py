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
        model: The model, which is moved to the device.
        files: The photographs, files of any kind that can be read; each is cropped to a square and
            resized to the model's resolution.
        root: The folder that names and seeds are relative to.
        task: The degradation; by default the model's own.
        seed: A number that fixes, with a file's name, the file's degradation and crops.
        networks: The networks of the figures that need one; by default PSNR and SSIM are computed.
        baselines: Whether to measure non-local means, too.
        device: The device that the model runs on, as torch names it.
        batch_size: How many images go through the model at once.
        keep: A function that sees every image, for pictures in reports.
        progress: A function that is told how far it is.

    Returns:
        The figures of the degraded images, x_reg, x_syn and x_hat, with 95 % intervals, and the
        protocol behind them.

    Raises:
        ConfigError: The task enlarges by another factor than the model.
        ImageError: None of the files can be used.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import torch
        >>> import ugpnet_core as ug
        >>> folder = Path(tempfile.mkdtemp())
        >>> ug.write_image(folder / "flat.png", torch.full((3, 40, 40), 0.5))
        >>> model = ug.load_model("portraits-denoise")
        >>> measured = ug.evaluate(model, [folder / "flat.png"], root=folder)
        >>> [method.name for method in measured.methods]
        ['degraded', 'x_reg', 'x_syn', 'x_hat']
        >>> measured.value("x_hat", "psnr") > measured.value("degraded", "psnr")
        True
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
