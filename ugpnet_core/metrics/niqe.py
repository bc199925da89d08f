"""NIQE: how far the statistics of an image's blocks are from those of natural photographs.

A. Mittal, R. Soundararajan, A. C. Bovik: Making a "Completely Blind" Image Quality Analyzer, IEEE
SPL 2013. The model of natural photographs is its authors', of the Laboratory for Image and Video
Engineering at The University of Texas at Austin; niqe.safetensors holds the numbers that BasicSR
(Apache-2.0) carries as niqe_pris_params.npz.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file
from torch import Tensor

from ugpnet_core.metrics.judged import ImageMetric, Judged
from ugpnet_core.metrics.metric import ALL_METRICS
from ugpnet_core.metrics.natural_scenes import (
    Array,
    asymmetric_shape,
    gamma_ratio,
    normalised,
    products,
)

MODEL = Path(__file__).with_name("niqe.safetensors")
BLOCK = 96
# One block has no covariance, and few say little.
SMALLEST_SIDE = 2 * BLOCK


class NaturalModel(NamedTuple):
    """Mean (36,) and covariance (36, 36) of the features of natural photographs' sharp blocks."""

    mean: Array
    covariance: Array


def niqe_metric() -> ImageMetric:
    """NIQE of every image."""
    model = read_natural_model()

    def measure(judged: Judged) -> list[float]:
        return [niqe(image, model) for image in judged.images]

    return ImageMetric(
        ALL_METRICS["niqe"],
        measure,
        f"brightness, blocks of {BLOCK} pixels, model of its authors, for images of at least "
        f"{SMALLEST_SIDE} pixels; mean over images",
    )


def read_natural_model() -> NaturalModel:
    """The authors' model."""
    content = load_file(MODEL)
    return NaturalModel(content["mean"], content["covariance"])


def niqe(image: Tensor, model: NaturalModel) -> float:
    """NIQE of an image (3, H, W) in [0, 1]; not a number where it is too small or flat."""
    height, width = (side // BLOCK * BLOCK for side in image.shape[-2:])
    if min(height, width) < SMALLEST_SIDE:
        return float("nan")
    grey = brightness(image)[:height, :width]
    features = np.concatenate([_features(grey, BLOCK), _features(halved(grey), BLOCK // 2)], axis=1)
    features = features[~np.isnan(features).any(axis=1)]
    if len(features) < 2:
        return float("nan")
    difference = model.mean - features.mean(axis=0)
    covariance = (model.covariance + np.cov(features, rowvar=False)) / 2
    return float(np.sqrt(difference @ np.linalg.pinv(covariance) @ difference))


def brightness(image: Tensor) -> Array:
    """Grey levels of an image (3, H, W) as MATLAB's rgb2gray gives them, whole ones of 0 to 255."""
    red, green, blue = image.double().numpy() * 255
    grey: Array = np.round(0.2989 * red + 0.5870 * green + 0.1140 * blue)
    return grey


def halved(grey: Array) -> Array:
    """Half as large, antialiased bicubic, what overshoots included."""
    levels = torch.from_numpy(np.ascontiguousarray(grey))[None, None]
    size = [side // 2 for side in grey.shape]
    small: Array = F.interpolate(levels, size=size, mode="bicubic", antialias=True)[0, 0].numpy()
    return small


def _features(grey: Array, block: int) -> Array:
    """18 numbers for each block, (blocks, 18)."""
    values = normalised(grey, "edge")
    return np.array(
        [
            _features_of(values[top : top + block, left : left + block])
            for left in range(0, values.shape[1], block)
            for top in range(0, values.shape[0], block)
        ]
    )


def _features_of(block: Array) -> list[float]:
    alpha, left, right = asymmetric_shape(block)
    features = [alpha, math.sqrt(gamma_ratio(1, 3, alpha)) * (left + right) / 2]
    for product in products(block):
        alpha, left, right = asymmetric_shape(product)
        scale = math.sqrt(gamma_ratio(1, 3, alpha))
        left, right = scale * left, scale * right
        mean = (right - left) * gamma_ratio(2, 1, alpha)
        features += [alpha, mean, left, right]
    return features
