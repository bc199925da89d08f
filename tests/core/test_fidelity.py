"""The fidelity sweep: one pass, ends that are x_hat and x_reg, and files with every number."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch

from ugpnet_core import cli
from ugpnet_core.config import ModelConfig, PerceptualConfig, TaskConfig
from ugpnet_core.errors import ConfigError, DependencyError
from ugpnet_core.evaluation.evaluate import evaluate_on
from ugpnet_core.evaluation.photographs import TestSet, degraded_set, find_photographs
from ugpnet_core.image import read_image
from ugpnet_core.metrics.networks import MetricNetworks, metric_networks
from ugpnet_core.model_files.model import save_model
from ugpnet_core.networks.ugpnet import UGPNet, build_model
from ugpnet_core.studies.fidelity import Sweep, fidelity_sweep
from ugpnet_core.studies.fidelity_files import check_plot, plot_sweep


@pytest.fixture(scope="module")
def model(training_settings: dict[str, Any]) -> UGPNet:
    torch.manual_seed(0)
    return build_model(ModelConfig.model_validate(training_settings["model"])).eval()


@pytest.fixture(scope="module")
def test_set(photographs: Path) -> TestSet:
    files = find_photographs(photographs, 3)
    return degraded_set(files, photographs, 32, TaskConfig(name="denoise"))


@pytest.fixture(scope="module")
def networks(squeezenet: Path) -> MetricNetworks:
    return metric_networks(PerceptualConfig(network="squeeze", weights=squeezenet, resize=None))


@pytest.fixture(scope="module")
def sweep(model: UGPNet, test_set: TestSet, networks: MetricNetworks) -> Sweep:
    return fidelity_sweep(model, test_set, fidelities=[1, 0, 0.25], networks=networks)


def test_the_ends_are_x_hat_and_x_reg_exactly(
    sweep: Sweep, model: UGPNet, test_set: TestSet, networks: MetricNetworks
) -> None:
    plain = evaluate_on(model, test_set, networks=networks)
    assert [point.fidelity for point in sweep.points] == [0, 0.25, 1]
    for point, name in ((sweep.points[0], "x_hat"), (sweep.points[-1], "x_reg")):
        assert point.figures == plain.method(name).figures
        for metric in ("psnr", "ssim", "lpips"):
            ours = sweep.evaluation.image_values(point.method, metric)
            assert ours == plain.image_values(name, metric)
    assert {"psnr", "ssim", "lpips", "frechet"} <= sweep.points[0].figures.keys()


@torch.inference_mode()
def test_between_the_ends_images_are_blended_before_they_are_clamped(
    sweep: Sweep, model: UGPNet, test_set: TestSet
) -> None:
    values = sweep.evaluation.image_values(sweep.points[1].method, "psnr")
    samples = [sample for sample in test_set.samples(lambda *_: None) if sample]
    for sample, value in zip(samples, values, strict=True):
        output = model(sample.degraded[None])
        blended = (0.75 * output.image + 0.25 * output.regression).clamp(0, 1)
        error = ((blended * 255).round() / 255 - sample.clean).double().square().mean()
        assert value == pytest.approx(float(-10 * error.log10()), abs=0.02)


def test_the_network_runs_once_for_all_fidelities(model: UGPNet, test_set: TestSet) -> None:
    seen = []
    handle = model.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    found = fidelity_sweep(model, test_set, batch_size=2)
    handle.remove()
    assert len(found.points) == 11
    assert seen == [2, 1]


@pytest.mark.parametrize(
    ("fidelities", "message"),
    [
        ([], "at least one fidelity"),
        ([0.5, 0.5], "none of them twice"),
        ([0, 1.5], "1.5 is no fidelity; give values from 0"),
        ([-0.1], "-0.1 is no fidelity"),
        ([0.1, 0.1000000001], "the same in six digits"),
    ],
)
def test_wrong_fidelities_are_named(
    model: UGPNet, test_set: TestSet, fidelities: list[float], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        fidelity_sweep(model, test_set, fidelities=fidelities)


def test_the_command_writes_every_number_and_a_plot(
    model: UGPNet,
    squeezenet: Path,
    photographs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save_model(model, tmp_path / "tiny.safetensors")
    words = ["fidelity-sweep", "-m", str(tmp_path / "tiny.safetensors"), "--steps", "2"]
    words += ["--data", str(photographs), "--perceptual-weights", str(squeezenet)]
    assert cli.main([*words, "--count", "2", "-o", str(tmp_path / "curve")]) == 0
    assert "Curve: " in capsys.readouterr().out
    record = json.loads((tmp_path / "curve" / "fidelity.json").read_text())
    assert [point["fidelity"] for point in record["curve"]] == [0, 0.5, 1]
    assert record["count"] == 2
    with (tmp_path / "curve" / "fidelity.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row, point in zip(rows, record["curve"], strict=True):
        assert float(row["fidelity"]) == point["fidelity"]
        for metric in ("psnr", "ssim", "lpips", "frechet"):
            assert float(row[metric]) == point["figures"][metric]
            assert [float(row[f"{metric}_low"]), float(row[f"{metric}_high"])] == (
                point["intervals"][metric]
            )
    assert record["figures"]["x_reg"]["psnr"] == record["curve"][-1]["figures"]["psnr"]
    assert read_image(tmp_path / "curve" / "fidelity.png").pixels.shape[-1] > 1000
    text = (tmp_path / "curve" / "fidelity.svg").read_text()
    ElementTree.fromstring(text)
    assert "PSNR (dB)" in text
    assert "FD-SqueezeNet" in text


def test_a_plot_of_the_same_numbers_is_the_same_file(sweep: Sweep, tmp_path: Path) -> None:
    first, second = tmp_path / "a.svg", tmp_path / "b.svg"
    plot_sweep(sweep, [first])
    plot_sweep(sweep, [second])
    assert first.read_bytes() == second.read_bytes()


def test_what_a_plot_needs_is_said(
    networks: MetricNetworks, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="The curve needs LPIPS or a Fréchet distance; give --"):
        check_plot(metric_networks().metrics)
    check_plot(networks.metrics)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(DependencyError, match=r"pip install ugpnet-core\[figures\]"):
        check_plot(networks.metrics)
