"""BRISQUE: what people would say of an image, from the statistics of its brightness.

A. Mittal, A. K. Moorthy, A. C. Bovik: No-Reference Image Quality Assessment in the Spatial Domain,
IEEE TIP 2012. The support vectors are those of its authors, learned from the LIVE database, as the
package brisque (Apache-2.0) carries them; that is not imported.
"""

from __future__ import annotations

import io
import math
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ugpnet_core.errors import WeightsError
from ugpnet_core.metrics.judged import ImageMetric, Judged
from ugpnet_core.metrics.metric import ALL_METRICS
from ugpnet_core.metrics.natural_scenes import (
    Array,
    asymmetric_shape,
    gamma_ratio,
    normalised,
    products,
)
from ugpnet_core.metrics.niqe import brightness, halved
from ugpnet_core.metrics.package_files import package_file

FEATURES = 36
SMALLEST_SIDE = 16


@dataclass(frozen=True)
class Regressor:
    """Support vector regression with a Gaussian kernel: sum of a_i exp(-gamma |v_i - f|^2) - rho.

    Attributes:
        vectors: v, (n, 36).
        factors: a, (n,).
        lowest, highest: of each feature, (36,); features are scaled by them to [-1, 1] first.
    """

    vectors: Array
    factors: Array
    gamma: float
    rho: float
    lowest: Array
    highest: Array

    def __call__(self, features: Array) -> float:
        """The quality (0 the best, about 100 the worst) for features (36,)."""
        scaled = -1 + 2 * (features - self.lowest) / (self.highest - self.lowest)
        distances = np.square(self.vectors - scaled).sum(axis=1)
        return float(self.factors @ np.exp(-self.gamma * distances) - self.rho)


def brisque_metric() -> ImageMetric:
    """BRISQUE of every image.

    Raises:
        DependencyError: the package brisque is not installed.
        WeightsError: brisque holds another model.
    """
    regressor = read_regressor()

    def measure(judged: Judged) -> list[float]:
        return [brisque(image, regressor) for image in judged.images]

    return ImageMetric(
        ALL_METRICS["brisque"],
        measure,
        "brightness, two scales, support vectors of its authors; mean over images",
    )


def brisque(image: Tensor, regressor: Regressor) -> float:
    """BRISQUE of an image (3, H, W) in [0, 1]; not a number where it is flat or tiny."""
    if min(image.shape[-2:]) < SMALLEST_SIDE:
        return float("nan")
    features = brisque_features(brightness(image))
    return float("nan") if np.isnan(features).any() else regressor(features)


def brisque_features(grey: Array) -> Array:
    """36 numbers of brightness (H, W), 0 to 255: 18 as it is, and 18 at half its size."""
    return np.array([*_features(grey), *_features(halved(grey))])


def read_regressor() -> Regressor:
    """The authors' model from the package brisque."""
    model = package_file("brisque", "models/svm.txt", "BRISQUE", "brisque")
    ranges = package_file("brisque", "models/normalize.pickle", "BRISQUE", "brisque")
    head, _, body = model.read_text(encoding="ascii").partition("\nSV\n")
    facts = dict(line.split(maxsplit=1) for line in head.splitlines())
    if facts.get("kernel_type") != "rbf":
        raise WeightsError(f"{model} is no model of BRISQUE; reinstall the package brisque.")
    factors, vectors = [], []
    for line in body.splitlines():
        factor, *entries = line.split()
        vector = np.zeros(FEATURES)  # what is 0 is not in the file
        for entry in entries:
            index, value = entry.split(":")
            vector[int(index) - 1] = float(value)
        factors.append(float(factor))
        vectors.append(vector)
    lowest, highest = _read_ranges(ranges)
    return Regressor(
        np.array(vectors),
        np.array(factors),
        float(facts["gamma"]),
        float(facts["rho"]),
        lowest,
        highest,
    )


class _NumbersOnly(pickle.Unpickler):
    """Reads numbers in lists and dictionaries, and executes nothing."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuse all names.

        Raises:
            WeightsError: always.
        """
        raise WeightsError(f"A file of the package brisque names {module}.{name}; reinstall it.")


def _read_ranges(path: Path) -> tuple[Array, Array]:
    content = _NumbersOnly(io.BytesIO(path.read_bytes())).load()
    return np.array(content["min_"], dtype=float), np.array(content["max_"], dtype=float)


def _features(grey: Array) -> list[float]:
    values = normalised(grey, "constant")
    alpha, left, right = asymmetric_shape(values)
    features = [alpha, (left**2 + right**2) / 2]
    for product in products(values):
        alpha, left, right = asymmetric_shape(product)
        scale = math.sqrt(gamma_ratio(1, 3, alpha))
        mean = (right - left) * gamma_ratio(2, 1, alpha) * scale
        features += [alpha, mean, left**2, right**2]
    return features
