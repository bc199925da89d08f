"""The figures that are computed, and the networks that some of them need."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

from ugpnet_core.config import PerceptualConfig
from ugpnet_core.errors import ConfigError, DependencyError
from ugpnet_core.losses.perceptual import build_frechet_features, build_lpips, describe
from ugpnet_core.metrics.brisque import brisque_metric
from ugpnet_core.metrics.dists import dists_metric
from ugpnet_core.metrics.face_likeness import identity_metric, landmark_metric
from ugpnet_core.metrics.fidelity import (
    consistency_metric,
    indicator_rmse_metric,
    ms_ssim_metric,
    psnr_metric,
    ssim_metric,
)
from ugpnet_core.metrics.frechet import (
    CROPS_PER_IMAGE,
    LARGEST_CROP,
    SMALLEST_CROP,
    random_crops,
)
from ugpnet_core.metrics.judged import ImageMetric, Judged, weights_identity
from ugpnet_core.metrics.metric import ALL_METRICS, USUAL_METRICS, Metric
from ugpnet_core.metrics.niqe import niqe_metric
from ugpnet_core.metrics.set_distances import (
    Groups,
    Progress,
    SetDistances,
    frechet_distances,
    kernel_distances,
)

FRECHET_CHANNELS = {"vgg": 512, "squeeze": 512, "alex": 256}


@dataclass(frozen=True)
class SetDistance:
    """A distance between sets of images.

    Attributes:
        metric: its column.
        channels: of a feature vector.
        features: (n, 3, h, w) in [0, 1] on the device to (n, channels).
        vectors_per_image: how many images ``cut`` makes of one.
        cut: image (3, r, r), seed and name to (n, 3, h, w).
        words: what the vectors are, for the protocol.
        kind: what is done with them, for the protocol.
        compare: gives the distances of sets to the photographs'.
        lowest: what it cannot be below.
        is_biased: whether few images make it larger.
        source: the key of the distance whose vectors it compares, where these are not its own.
    """

    metric: Metric
    channels: int
    features: Callable[[Tensor], Tensor]
    vectors_per_image: int
    cut: Callable[[Tensor, int, str], Tensor]
    words: str
    kind: str = "Fréchet distance"
    compare: Callable[[Groups, Progress | None], SetDistances] = frechet_distances
    lowest: float = 0.0
    is_biased: bool = True
    source: str = ""


@dataclass(frozen=True)
class MetricNetworks:
    """The figures that are computed, and the networks that some of them need.

    Attributes:
        metrics: all columns, those that cannot be computed included.
        image_metrics: of single images.
        distances: between sets.
        device: where the networks are.
        words: by a column's title, how it is computed.
        identity: stands for everything that decides a figure; empty: that is not known.
    """

    metrics: tuple[Metric, ...]
    image_metrics: tuple[ImageMetric, ...] = (psnr_metric(), ssim_metric())
    distances: tuple[SetDistance, ...] = ()
    device: str | torch.device = "cpu"
    words: Mapping[str, str] = field(default_factory=dict)
    identity: str = ""


@dataclass(frozen=True)
class Wanted:
    """What figures are made from.

    Attributes:
        perceptual: networks of LPIPS, DISTS and the substitute of the FID; None: there are none.
        missing: why, for the table.
        inception: weights of the network of FID and KID; None: there are none.
        inception_missing: why, for the table.
        faces: the name of what measures faces, see :mod:`ugpnet_core.metrics.face_models`.
        device: where the networks are to be.
    """

    perceptual: PerceptualConfig | None = None
    missing: str = "no perceptual network was given."
    inception: Path | None = None
    inception_missing: str = "no Inception network was given."
    faces: str = "dlib"
    device: str | torch.device = "cpu"


def metric_networks(
    perceptual: PerceptualConfig | None = None,
    *,
    missing: str = "no perceptual network was given.",
    inception: Path | None = None,
    inception_missing: str = "no Inception network was given.",
    device: str | torch.device = "cpu",
    chosen: Sequence[str] = USUAL_METRICS,
    faces: str = "dlib",
) -> MetricNetworks:
    """Load what the figures need. A figure for which something is missing has a column that says
    what.

    Args:
        perceptual: networks of LPIPS, DISTS and the substitute of the FID; None: not computed.
        missing: why there is none, for the table.
        inception: weights of the network of FID and KID; None: not computed.
        inception_missing: why there are none, for the table.
        chosen: keys of the figures, in the order of the columns.
        faces: the name of what measures identity and landmarks.

    Raises:
        ConfigError: there is no such figure.
        WeightsError: weights are missing or do not fit.
        DependencyError: torch-fidelity is not installed, and there are weights for the FID.
    """
    unknown = [key for key in chosen if key not in ALL_METRICS]
    if unknown:
        raise ConfigError(
            f"There is no figure {', '.join(map(repr, unknown))}; choose from "
            f"{', '.join(ALL_METRICS)}."
        )
    wanted = Wanted(perceptual, missing, inception, inception_missing, faces, device)
    columns: list[Metric] = []
    images: list[ImageMetric] = []
    distances: list[SetDistance] = []
    for key in dict.fromkeys(chosen):
        try:
            made = _MAKERS[key](wanted)
        except DependencyError as error:
            if key == "fid" or key == "kid":
                raise
            made = replace(ALL_METRICS[key], missing=str(error))
        if isinstance(made, Metric):
            columns.append(made)
            continue
        columns.append(made.metric)
        if isinstance(made, ImageMetric):
            images.append(made)
        else:
            distances.append(made)
    columns = [each for each in columns if each.title or each.missing]
    words = {each.metric.title: each.words for each in images}
    return MetricNetworks(
        tuple(columns),
        tuple(images),
        tuple(_sharing(distances)),
        device,
        words,
        _identity(images, distances),
    )


def _lpips(wanted: Wanted) -> ImageMetric | Metric:
    config = wanted.perceptual
    if config is None:
        return replace(ALL_METRICS["lpips"], missing=wanted.missing)
    network = build_lpips(config).to(wanted.device)

    def measure(judged: Judged) -> list[float]:
        assert judged.clean is not None
        images, clean = judged.images.to(wanted.device), judged.clean.to(wanted.device)
        found: list[float] = network(images, clean, reduction="none").tolist()
        return found

    at = f"images resized to {config.resize}" if config.resize else "images as they are"
    return ImageMetric(
        replace(ALL_METRICS["lpips"], title=describe(config).lpips),
        measure,
        f"linear layers 0.1 of the lpips package, {at}; mean over images",
        frozenset({"clean"}),
        weights_identity(network),
    )


def _fid(wanted: Wanted) -> SetDistance | Metric:
    from ugpnet_core.metrics.inception import CHANNELS, Inception

    path = wanted.inception
    if path is None:
        return replace(ALL_METRICS["fid"], missing=wanted.inception_missing)
    return SetDistance(
        ALL_METRICS["fid"],
        CHANNELS,
        Inception(path).to(wanted.device),
        1,
        lambda image, seed, name: image.unsqueeze(0),
        f"Inception-v3 ({path.name}) as in torch-fidelity on whole images of 8 bits, "
        f"{CHANNELS} numbers",
    )


def _kid(wanted: Wanted) -> SetDistance | Metric:
    fid = _fid(wanted)
    if isinstance(fid, Metric):
        return replace(ALL_METRICS["kid"], missing=wanted.inception_missing)
    return replace(
        fid,
        metric=ALL_METRICS["kid"],
        kind="kernel distance (x.y / d + 1)^3, all images at once,",
        compare=kernel_distances,
        lowest=-math.inf,
        is_biased=False,
        source="fid",
    )


def _sharing(distances: Sequence[SetDistance]) -> list[SetDistance]:
    """Distances that look at the same vectors have them computed once."""
    first: dict[str, SetDistance] = {}
    shared = []
    for each in distances:
        owner = first.setdefault(each.source or each.metric.key, each)
        source = owner.metric.key if owner is not each else ""
        shared.append(replace(each, source=source, features=owner.features))
    return shared


def _substitute(wanted: Wanted) -> SetDistance | Metric:
    perceptual, device = wanted.perceptual, wanted.device
    if perceptual is None:
        return replace(ALL_METRICS["frechet"], title="", missing="")
    return SetDistance(
        replace(ALL_METRICS["frechet"], title=describe(perceptual).frechet),
        FRECHET_CHANNELS[perceptual.network],
        build_frechet_features(perceptual).to(device),
        CROPS_PER_IMAGE,
        random_crops,
        f"{CROPS_PER_IMAGE} random crops per image, half as wide as it is ({SMALLEST_CROP} to "
        f"{LARGEST_CROP} pixels), at the same places in every set, RGB, last feature map "
        f"averaged over positions, {FRECHET_CHANNELS[perceptual.network]} numbers",
    )


def _dists(wanted: Wanted) -> ImageMetric | Metric:
    if wanted.perceptual is None or wanted.perceptual.network != "vgg":
        missing = wanted.missing if wanted.perceptual is None else "DISTS needs VGG16."
        return replace(ALL_METRICS["dists"], missing=missing)
    return dists_metric(wanted.perceptual, wanted.device)


_MAKERS: Mapping[str, Callable[[Wanted], ImageMetric | SetDistance | Metric]] = {
    "psnr": lambda wanted: psnr_metric(),
    "ssim": lambda wanted: ssim_metric(),
    "ms-ssim": lambda wanted: ms_ssim_metric(),
    "lpips": _lpips,
    "dists": _dists,
    "fid": _fid,
    "kid": _kid,
    "frechet": _substitute,
    "indrmse": lambda wanted: indicator_rmse_metric(),
    "consistency": lambda wanted: consistency_metric(),
    "niqe": lambda wanted: niqe_metric(),
    "brisque": lambda wanted: brisque_metric(),
    "identity": lambda wanted: identity_metric(wanted.faces),
    "landmarks": lambda wanted: landmark_metric(wanted.faces),
}


def _identity(images: Sequence[ImageMetric], distances: Sequence[SetDistance]) -> str:
    """A name for everything that decides the figures."""
    facts: list[object] = [version("ugpnet-core"), torch.__version__]
    facts += [(each.metric.key, each.words, each.identity) for each in images]
    for each in distances:
        network = each.features
        weights = weights_identity(network) if isinstance(network, torch.nn.Module) else ""
        facts.append((each.metric.key, each.words, weights))
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
