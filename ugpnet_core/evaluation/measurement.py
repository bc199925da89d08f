"""The figures of photographs one by one, and the features of the sets that they make."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import safetensors.torch
import torch
from torch import Tensor

from ugpnet_core.evaluation.photographs import Sample
from ugpnet_core.evaluation.results import ImageResult
from ugpnet_core.evaluation.store import Store, digest, digest_of_sample, metadata_of
from ugpnet_core.evaluation.uncertainty import GROUPS
from ugpnet_core.metrics.frechet import FeatureStatistics
from ugpnet_core.metrics.judged import ImageMetric, Judged
from ugpnet_core.metrics.networks import MetricNetworks, SetDistance
from ugpnet_core.metrics.set_distances import CLEAN, kernel_distances


class Measured(NamedTuple):
    """What is known of one photograph.

    Attributes:
        figures: by method and key of a metric.
        features: by key of a distance and by set, (vectors, channels).
    """

    figures: Mapping[str, Mapping[str, float]]
    features: Mapping[str, Mapping[str, Tensor]]


class Measurement:
    """Takes photographs one after the other; keeps numbers, but no images.

    Args:
        networks: which figures are computed.
        seed: of the crops.
        store: where the figures of a photograph are found or kept; None: nowhere.
        regression: the method that stands for the posterior mean; None: there is none.
        protocol: how the photographs become samples, in words: with another task, what is kept of
            a photograph says nothing.

    Attributes:
        images: the figures of each photograph.
        has_truth: whether any of them is known without its degradation.
        statistics: by key of a set distance and by set, the features of each group of images.
        failures: by key of a metric that raised an error, what it said first.
    """

    def __init__(
        self,
        networks: MetricNetworks,
        seed: int,
        store: Store | None = None,
        regression: str | None = None,
        protocol: Mapping[str, str] | None = None,
    ) -> None:
        self.networks = networks
        self.seed = seed
        self.store = store
        self.regression = regression
        self.protocol = json.dumps(dict(protocol or {}))
        self.images: list[ImageResult] = []
        self.has_truth = False
        self.failures: dict[str, str] = {}
        self._failed = 0
        self.statistics: dict[str, dict[str, list[FeatureStatistics]]] = {
            distance.metric.key: {CLEAN: []} for distance in networks.distances
        }

    @torch.inference_mode()
    def __call__(self, sample: Sample, images: Mapping[str, Tensor]) -> None:
        """Compare images (3, r, r) in [0, 1], 8-bit levels, with the photograph, by method."""
        group = len(self.images) % GROUPS
        self.has_truth |= sample.has_truth
        measured = self._known(sample, images)
        for distance in self.networks.distances:
            features = measured.features.get(distance.source or distance.metric.key, {})
            for name, vectors in features.items():
                self.add(distance, name, vectors, group)
        self.images.append(ImageResult(sample.name, measured.figures))

    def _known(self, sample: Sample, images: Mapping[str, Tensor]) -> Measured:
        """What the store has of a photograph, or else what is computed and put there."""
        if self.store is None or not self.networks.identity:
            return self._measured(sample, images)
        contents = [part for name, image in images.items() for part in (name, image)]
        facts = (self.networks.identity, str(self.seed), str(self.regression))
        known = (self.protocol, str(sample.has_truth), str(sample.degrade is not None))
        name = digest("figures", *facts, *known, digest_of_sample(sample), *contents)
        kept = self.store.get(name)
        if kept is not None:
            return _unpacked(kept)
        before = self._failed
        measured = self._measured(sample, images)
        if self._failed == before:
            self.store.put(name, _packed(measured))
        return measured

    def _measured(self, sample: Sample, images: Mapping[str, Tensor]) -> Measured:
        figures: dict[str, dict[str, float]] = {name: {} for name in images}
        if images:
            judged = self._judged(sample, images)
            for metric in self.networks.image_metrics:
                if metric.can_measure(judged):
                    for name, value in zip(images, self._values(metric, judged), strict=True):
                        if not math.isnan(value):
                            figures[name][metric.metric.key] = value
        features = {
            distance.metric.key: {
                name: self._features(distance, image, sample.name)
                for name, image in {CLEAN: sample.clean, **images}.items()
            }
            for distance in self.networks.distances
            if sample.has_truth and not distance.source
        }
        return Measured(figures, features)

    def _values(self, metric: ImageMetric, judged: Judged) -> Sequence[float]:
        """A figure of each image; none of a metric that fails, which is its own trouble only."""
        try:
            return metric.measure(judged)
        except Exception as error:  # of whatever library computes it
            self._failed += 1
            said = f"it failed ({type(error).__name__}: {' '.join(str(error).split())})"
            self.failures.setdefault(metric.metric.key, said)
            return [math.nan] * len(judged.images)

    def _judged(self, sample: Sample, images: Mapping[str, Tensor]) -> Judged:
        regression = images.get(self.regression) if self.regression is not None else None
        return Judged(
            torch.stack(list(images.values())),
            sample.degraded,
            sample.clean.unsqueeze(0) if sample.has_truth else None,
            None if regression is None else regression.unsqueeze(0),
            sample.degrade,
        )

    def _features(self, distance: SetDistance, image: Tensor, key: str) -> Tensor:
        cut = distance.cut(image, self.seed, key).to(self.networks.device)
        return distance.features(cut).detach().cpu().float()

    def collect(
        self, distance: SetDistance, name: str, image: Tensor, key: str, group: int
    ) -> None:
        """Add the features of one image (3, r, r) to a group of a set.

        Args:
            name: of the set.
            key: the photograph's name.
        """
        self.add(distance, name, self._features(distance, image, key), group)

    def add(self, distance: SetDistance, name: str, vectors: Tensor, group: int) -> None:
        """Add feature vectors (n, channels) to a group of a set."""
        parts = self.statistics[distance.metric.key].setdefault(name, [])
        keep = distance.compare is kernel_distances
        while len(parts) <= group:
            parts.append(FeatureStatistics(distance.channels, keep_vectors=keep))
        parts[group].add(vectors)


def _packed(measured: Measured) -> bytes:
    places = [(key, name) for key, sets in measured.features.items() for name in sets]
    tensors = {
        str(place): measured.features[key][name].contiguous()
        for place, (key, name) in enumerate(places)
    }
    facts = {"figures": measured.figures, "places": places}
    return safetensors.torch.save(tensors, {"facts": json.dumps(facts)})


def _unpacked(content: bytes) -> Measured:
    facts = json.loads(metadata_of(content)["facts"])
    tensors = safetensors.torch.load(content)
    features: dict[str, dict[str, Tensor]] = {}
    for place, (key, name) in enumerate(facts["places"]):
        features.setdefault(key, {})[name] = tensors[str(place)]
    return Measured(facts["figures"], features)
