"""The figures that are computed, and the networks that some of them need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ugpnet_core.config import PerceptualConfig
from ugpnet_core.losses.perceptual import (
    LPIPS,
    build_frechet_features,
    build_lpips,
    describe,
)
from ugpnet_core.metrics.frechet import (
    CROPS_PER_IMAGE,
    LARGEST_CROP,
    SMALLEST_CROP,
    random_crops,
)
from ugpnet_core.metrics.metric import Metric
from ugpnet_core.metrics.pixel import SSIM_WINDOW

FRECHET_CHANNELS = {"vgg": 512, "squeeze": 512, "alex": 256}


@dataclass(frozen=True)
class SetDistance:
    """A Fréchet distance between sets of images.

    Attributes:
        metric: its column.
        channels: of a feature vector.
        features: (n, 3, h, w) in [0, 1] on the device to (n, channels).
        vectors_per_image: how many images ``cut`` makes of one.
        cut: image (3, r, r), seed and name to (n, 3, h, w).
        words: what the vectors are, for the protocol.
    """

    metric: Metric
    channels: int
    features: Callable[[Tensor], Tensor]
    vectors_per_image: int
    cut: Callable[[Tensor, int, str], Tensor]
    words: str


@dataclass(frozen=True)
class MetricNetworks:
    """The figures that are computed, and the networks that some of them need.

    Attributes:
        metrics: all columns, those that cannot be computed included.
        lpips: None: not computed.
        distances: between sets.
        device: where the networks are.
        words: by a column's title, how it is computed.
    """

    metrics: tuple[Metric, ...]
    lpips: LPIPS | None = None
    distances: tuple[SetDistance, ...] = ()
    device: str | torch.device = "cpu"
    words: Mapping[str, str] = field(default_factory=dict)


def metric_networks(
    perceptual: PerceptualConfig | None = None,
    *,
    missing: str = "no perceptual network was given.",
    inception: Path | None = None,
    inception_missing: str = "no Inception network was given.",
    device: str | torch.device = "cpu",
) -> MetricNetworks:
    """Load what the figures need.

    Args:
        perceptual: networks of LPIPS and the substitute of the FID; None: not computed.
        missing: why there is none, for the table.
        inception: weights of the FID's network; None: not computed.
        inception_missing: why there are none, for the table.

    Raises:
        WeightsError: weights are missing or do not fit.
        DependencyError: torch-fidelity is not installed, and there are weights for the FID.
    """
    metrics = [
        Metric("psnr", "PSNR (dB)", "higher", 2),
        Metric("ssim", "SSIM", "higher", 4),
    ]
    words = {
        "PSNR": "over all pixels and channels of an image; mean over images",
        "SSIM": f"Gaussian window {SSIM_WINDOW}, sigma 1.5, per channel of RGB; mean over images",
    }
    lpips, distances = None, []
    if perceptual is None:
        metrics.append(Metric("lpips", "LPIPS", "lower", 4, missing=missing))
    else:
        title = describe(perceptual).lpips
        at = f"images resized to {perceptual.resize}" if perceptual.resize else "images as they are"
        words[title] = f"linear layers 0.1 of the lpips package, {at}; mean over images"
        metrics.append(Metric("lpips", title, "lower", 4))
        lpips = build_lpips(perceptual).to(device)
    if inception is None:
        metrics.append(Metric("fid", "FID", "lower", 2, per_image=False, missing=inception_missing))
    else:
        distances.append(_fid(inception, device))
        metrics.append(distances[-1].metric)
    if perceptual is not None:
        distances.append(_substitute(perceptual, device))
        metrics.append(distances[-1].metric)
    return MetricNetworks(tuple(metrics), lpips, tuple(distances), device, words)


def _fid(path: Path, device: str | torch.device) -> SetDistance:
    from ugpnet_core.metrics.inception import CHANNELS, Inception

    return SetDistance(
        Metric("fid", "FID", "lower", 2, per_image=False),
        CHANNELS,
        Inception(path).to(device),
        1,
        lambda image, seed, name: image.unsqueeze(0),
        f"Inception-v3 ({path.name}) as in torch-fidelity on whole images of 8 bits, "
        f"{CHANNELS} numbers",
    )


def _substitute(perceptual: PerceptualConfig, device: str | torch.device) -> SetDistance:
    return SetDistance(
        Metric("frechet", describe(perceptual).frechet, "lower", 1, per_image=False),
        FRECHET_CHANNELS[perceptual.network],
        build_frechet_features(perceptual).to(device),
        CROPS_PER_IMAGE,
        random_crops,
        f"{CROPS_PER_IMAGE} random crops per image, half as wide as it is ({SMALLEST_CROP} to "
        f"{LARGEST_CROP} pixels), at the same places in every set, RGB, last feature map "
        f"averaged over positions, {FRECHET_CHANNELS[perceptual.network]} numbers",
    )
