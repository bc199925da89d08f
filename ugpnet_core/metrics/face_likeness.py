"""Whether a restored face is still the same person's, with its features where they were.

As in VQFR (Gu et al., ECCV 2022) and PMRF: the angle between the embeddings of a recogniser ("Deg."
there), and the mean distance of landmarks. A face is looked for in the photograph, and measured at
that place in each image: a method that loses the face does not lose its figure.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ugpnet_core.metrics.face_models import FaceModel, make_face_model
from ugpnet_core.metrics.judged import ImageMetric, Judged
from ugpnet_core.metrics.metric import ALL_METRICS

Measure = Callable[[FaceModel, Tensor, object], Tensor]
Compare = Callable[[Tensor, Tensor], float]


def identity_metric(name: str) -> ImageMetric:
    """The angle between the embeddings of an image and of the photograph, in degrees.

    Raises:
        PluginError, DependencyError: as :func:`make_face_model`.
    """
    return _metric(
        "identity",
        make_face_model(name),
        lambda model, image, face: model.embedding(image, face),
        angle,
        "angle between embeddings, degrees",
    )


def landmark_metric(name: str) -> ImageMetric:
    """The mean distance between the landmarks of an image and of the photograph, in pixels.

    Raises:
        PluginError, DependencyError: as :func:`make_face_model`.
    """
    return _metric(
        "landmarks",
        make_face_model(name),
        lambda model, image, face: model.landmarks(image, face),
        mean_distance,
        "mean distance of landmarks, pixels",
    )


def angle(first: Tensor, second: Tensor) -> float:
    """The angle between two vectors in degrees."""
    cosine = torch.nn.functional.cosine_similarity(first.double(), second.double(), dim=0)
    return math.degrees(math.acos(max(-1.0, min(1.0, float(cosine)))))


def mean_distance(first: Tensor, second: Tensor) -> float:
    """The mean distance of points (K, 2)."""
    return float((first.double() - second.double()).norm(dim=1).mean())


def _metric(
    key: str, model: FaceModel, measure: Measure, compare: Compare, words: str
) -> ImageMetric:
    def figures(judged: Judged) -> list[float]:
        assert judged.clean is not None
        photograph = judged.clean[0]
        face = model.find(photograph)
        if face is None:
            return [math.nan] * len(judged.images)
        true = measure(model, photograph, face)
        return [compare(measure(model, image, face), true) for image in judged.images]

    return ImageMetric(
        ALL_METRICS[key],
        figures,
        f"{words}; {model.words}; photographs without a face left out; mean over images",
        frozenset({"clean"}),
    )
