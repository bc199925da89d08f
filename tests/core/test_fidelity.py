"""Several fidelities of a model: one pass, ends that are x_hat and x_reg, and the curve."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch

from ugpnet_core.config import ModelConfig, PerceptualConfig, TaskConfig
from ugpnet_core.config_files import validated
from ugpnet_core.errors import ConfigError, DependencyError
from ugpnet_core.evaluation.evaluate import evaluate_on
from ugpnet_core.evaluation.photographs import TestSet, degraded_set, find_photographs
from ugpnet_core.evaluation.results import Evaluation
from ugpnet_core.image import read_image
from ugpnet_core.metrics.networks import MetricNetworks, metric_networks
from ugpnet_core.model_files.model import load_model, save_model
from ugpnet_core.networks.ugpnet import UGPNet, build_model
from ugpnet_core.reports.curve import check_curve, plot_curves
from ugpnet_core.studies.compare import compare
from ugpnet_core.studies.compare_files import compare_into_folder
from ugpnet_core.studies.settings import CompareConfig

pytestmark = pytest.mark.usefixtures("no_other_process")

ROWS = {"ours 0": 0.0, "ours 0.25": 0.25, "ours 1": 1.0}


@pytest.fixture(scope="module")
def model(training_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_model(build_model(ModelConfig.model_validate(training_settings["model"])), path)
    return path


@pytest.fixture(scope="module")
def test_set(photographs: Path) -> TestSet:
    files = find_photographs(photographs, 3)
    return degraded_set(files, photographs, 32, TaskConfig(name="denoise"))


@pytest.fixture(scope="module")
def networks(squeezenet: Path) -> MetricNetworks:
    return metric_networks(PerceptualConfig(network="squeeze", weights=squeezenet, resize=None))


@pytest.fixture(scope="module")
def config(model: Path, photographs: Path) -> CompareConfig:
    content = {
        "name": "curve",
        "output": "unused",
        "data": {"photographs": [str(photographs)], "resolution": 32, "count": 3},
        "tasks": ["denoise"],
        "methods": [{"name": "ours", "model": str(model), "fidelity": [1, 0, 0.25]}],
        "figures": {"count": 1},
        "cost": None,
    }
    return validated(CompareConfig, content, "fidelity.yaml")


@pytest.fixture(scope="module")
def curve(config: CompareConfig, networks: MetricNetworks) -> Evaluation:
    return compare(config, networks=networks).evaluations[0]


def test_the_ends_are_x_hat_and_x_reg_exactly(
    curve: Evaluation, model: Path, test_set: TestSet, networks: MetricNetworks
) -> None:
    plain = evaluate_on(load_model(model), test_set, networks=networks)
    assert [method.name for method in curve.methods] == ["degraded", *ROWS]
    for row, name in (("ours 0", "x_hat"), ("ours 1", "x_reg")):
        assert curve.method(row).figures == plain.method(name).figures
        for metric in ("psnr", "ssim", "lpips"):
            assert curve.image_values(row, metric) == plain.image_values(name, metric)
    assert {"psnr", "ssim", "lpips", "frechet"} <= curve.method("ours 0").figures.keys()


@torch.inference_mode()
def test_between_the_ends_images_are_blended_before_they_are_clamped(
    curve: Evaluation, model: Path, test_set: TestSet
) -> None:
    values = curve.image_values("ours 0.25", "psnr")
    samples = [sample for sample in test_set.samples(lambda *_: None) if sample]
    network = load_model(model)
    for sample, value in zip(samples, values, strict=True):
        output = network(sample.degraded[None])
        blended = (0.75 * output.image + 0.25 * output.regression).clamp(0, 1)
        error = ((blended * 255).round() / 255 - sample.clean).double().square().mean()
        assert value == pytest.approx(float(-10 * error.log10()), abs=0.02)


def test_the_network_runs_once_for_all_fidelities(
    config: CompareConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    forward = UGPNet.forward

    def counted(self: UGPNet, x: torch.Tensor) -> Any:
        seen.append(len(x))
        return forward(self, x)

    monkeypatch.setattr(UGPNet, "forward", counted)
    compare(config.model_copy(update={"batch_size": 2}))
    # Nine images to see whether its figures can be trusted; then each photograph once.
    assert seen == [1, 1, 1, 1, 1, 1, 2, 1, 2, 1]


def test_the_folder_has_every_number_and_the_curve(
    config: CompareConfig, networks: MetricNetworks, tmp_path: Path
) -> None:
    settings = config.model_copy(update={"output": tmp_path})
    compare_into_folder(settings, networks, torch.device("cpu"))
    (task,) = json.loads((tmp_path / "results.json").read_text())["tasks"]
    assert set(task["figures"]) == {"degraded", "ours_0", "ours_0.25", "ours_1"}
    assert task["protocol"]["ours 0.25"] == "(1 - 0.25) x_hat + 0.25 x_reg"
    place = tmp_path / "figures" / "denoise"
    assert read_image(place / "curve.png").pixels.shape[-1] > 1000
    text = (place / "curve.svg").read_text()
    ElementTree.fromstring(text)
    assert "PSNR (dB)" in text
    assert "FD-SqueezeNet" in text


def test_a_plot_of_the_same_numbers_is_the_same_file(curve: Evaluation, tmp_path: Path) -> None:
    first, second, two = (tmp_path / f"{name}.svg" for name in ("a", "b", "two"))
    plot_curves(curve, {"ours": ROWS}, [first])
    plot_curves(curve, {"ours": ROWS}, [second])
    assert first.read_bytes() == second.read_bytes()
    plot_curves(curve, {"ours": ROWS, "theirs": ROWS}, [two])
    assert "theirs" in two.read_text()
    assert "ours" not in first.read_text()  # one curve needs no legend


def test_a_model_that_failed_has_no_curve(
    config: CompareConfig, networks: MetricNetworks, tmp_path: Path
) -> None:
    gone = config.methods[0].model_copy(update={"model": "gone.safetensors"})
    settings = config.model_copy(update={"output": tmp_path, "methods": [gone]})
    result = compare_into_folder(settings, networks, torch.device("cpu"))
    assert "no model file" in result.evaluations[0].method("ours 1").failed
    assert not list(tmp_path.rglob("curve.*"))


def test_what_a_plot_needs_is_said_before_anything_is_measured(
    config: CompareConfig, networks: MetricNetworks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config.model_copy(update={"output": tmp_path / "out"})
    with pytest.raises(ConfigError, match="needs LPIPS or a Fréchet distance; give perceptual_w"):
        compare_into_folder(settings, metric_networks(), torch.device("cpu"))
    assert not (tmp_path / "out").exists()
    check_curve(networks.metrics)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(DependencyError, match=r"pip install ugpnet-core\[figures\]"):
        check_curve(networks.metrics)
