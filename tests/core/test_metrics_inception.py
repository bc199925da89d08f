"""The FID: Inception weights from a file, against torchmetrics and scipy."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch import Tensor

from ugpnet_core.config import TaskConfig
from ugpnet_core.errors import WeightsError
from ugpnet_core.evaluation.measure import measure_methods
from ugpnet_core.evaluation.methods import Degraded
from ugpnet_core.evaluation.photographs import degraded_set
from ugpnet_core.image import list_images
from ugpnet_core.metrics import inception
from ugpnet_core.metrics.frechet import FeatureStatistics
from ugpnet_core.metrics.inception import INCEPTION, Inception, optional_inception
from ugpnet_core.metrics.networks import metric_networks

NAME = "pt_inception-2015-12-05-6726825d.pth"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file with random weights of the right shapes, which keep the size of what passes."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Untrained(FeatureExtractorInceptionV3):  # type: ignore[misc]
        def load_state_dict(self, *_: Any, **__: Any) -> None:
            pass

    folder = tmp_path_factory.mktemp("inception")
    torch.save({}, folder / "empty.pth")
    torch.manual_seed(0)
    network = Untrained("untrained", ["2048"], str(folder / "empty.pth"))
    for value in network.parameters():
        if value.dim() == 4:
            value.normal_(0, math.sqrt(2 / value[0].numel()))
    path = folder / NAME
    torch.save(network.state_dict(), path)
    yield path
    path.unlink()  # 95 MB


@pytest.fixture(scope="module")
def network(weights: Path) -> Inception:
    return Inception(weights)


@pytest.fixture(autouse=True)
def _no_weights_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(inception.ENVIRONMENT, raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def two_sets() -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    first = torch.rand(6, 3, 40, 35, generator=rng)
    second = (torch.rand(6, 3, 40, 35, generator=rng) * 0.5 + 0.2).clamp(0, 1)
    return first, second


def test_fid_is_that_of_torchmetrics_and_of_the_matrix_root(network: Inception) -> None:
    from scipy.linalg import sqrtm
    from torchmetrics.image.fid import FrechetInceptionDistance

    sets = [(images * 255).round().to(torch.uint8) for images in two_sets()]
    reference = FrechetInceptionDistance(feature=network, input_img_size=(3, 40, 35))
    own, features = [], []
    for levels, real in zip(sets, (True, False), strict=True):
        reference.update(levels, real=real)
        statistics = FeatureStatistics(2048)
        features.append(network(levels))
        statistics.add(features[-1])
        own.append(statistics)
    found = own[0].distance(own[1])
    assert found == pytest.approx(float(reference.compute()), rel=1e-3)
    # The root in a subspace that holds all vectors: the matrices themselves are too large here.
    basis = np.linalg.qr(torch.cat(features).double().numpy().T)[0]
    small = [each.double().numpy() @ basis for each in features]
    first, second = (np.cov(each.T) for each in small)
    ridge = 1e-12 * np.eye(len(first))
    root = sqrtm((first + ridge) @ (second + ridge)).real
    difference = small[0].mean(axis=0) - small[1].mean(axis=0)
    expected = difference @ difference + np.trace(first + second - 2 * root)
    assert found == pytest.approx(expected, rel=1e-5)


def test_images_and_their_levels_are_one_thing(network: Inception) -> None:
    images = (two_sets()[0][:1] * 255).round() / 255
    assert torch.equal(network(images), network((images * 255).round().to(torch.uint8)))


def test_a_table_with_fid(weights: Path, photographs: Path) -> None:
    files = list_images([photographs], recursive=True)[:3]
    test_set = degraded_set(files, photographs, 32, TaskConfig(name="denoise"))
    result = measure_methods([Degraded()], test_set, networks=metric_networks(inception=weights))
    (metric,) = [each for each in result.metrics if each.key == "fid"]
    assert (metric.title, metric.missing) == ("FID", "")
    figure = result.method("degraded").figures["fid"]
    assert figure.low is not None
    assert 0 <= figure.low < figure.value
    assert NAME in result.protocol["FID"]
    assert "few vectors (3)" in result.protocol["FID"]


def test_weights_are_found_where_they_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, missing = optional_inception(None)
    assert path is None
    assert "--inception PATH" in missing
    cached = tmp_path / "torch" / "hub" / "checkpoints" / NAME
    cached.parent.mkdir(parents=True)
    cached.touch()
    assert optional_inception(None) == (cached, "")
    assert INCEPTION.find("download") == cached
    other = tmp_path / NAME
    other.touch()
    monkeypatch.setenv(inception.ENVIRONMENT, str(tmp_path))
    assert INCEPTION.find(None) == other
    with pytest.raises(WeightsError, match=r"Inception network of the FID in missing\.pth; give"):
        optional_inception("missing.pth")


def test_another_network_is_refused(squeezenet: Path) -> None:
    with pytest.raises(WeightsError, match="does not hold the Inception network"):
        Inception(squeezenet)


def test_a_download_is_announced_and_its_failure_explained(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said: list[str] = []

    def fail(url: str, *_: Any, **__: Any) -> None:
        assert said
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(WeightsError, match=r"cannot be fetched \(.*no network.*put it into"):
        INCEPTION.find("download", said.append)
    assert said[0].startswith("Downloading")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsError, match="offline is set; put weights-inception"):
        INCEPTION.find("download", said.append)
    assert len(said) == 1
