from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ugpnet_core.cli import main
from ugpnet_core.config import ModelConfig, PerceptualConfig, TaskConfig
from ugpnet_core.errors import ConfigError, ImageError
from ugpnet_core.evaluation.classical import Wiener
from ugpnet_core.evaluation.evaluate import evaluate, evaluate_on, frechet_ratio
from ugpnet_core.evaluation.measure import measure_methods
from ugpnet_core.evaluation.methods import (
    Degraded,
    Function,
    Method,
    PartNames,
    UGPNetRunner,
)
from ugpnet_core.evaluation.photographs import degraded_set, paired_set
from ugpnet_core.evaluation.results import Evaluation
from ugpnet_core.image import read_image, write_image
from ugpnet_core.metrics.fidelity import psnr_metric
from ugpnet_core.metrics.judged import ImageMetric
from ugpnet_core.metrics.metric import ALL_METRICS
from ugpnet_core.metrics.networks import MetricNetworks, metric_networks
from ugpnet_core.model_files import model as model_file
from ugpnet_core.protocols import UGPNetOutput


class FakeModel(nn.Module):
    """x_reg is the input (enlarged), x_syn is grey, x_hat lies between, and none is clamped."""

    def __init__(self, task: str = "denoise", scale: int = 1) -> None:
        super().__init__()
        self.config = ModelConfig(task=TaskConfig(name=task))
        self.resolution = 32
        self.scale = scale

    def forward(self, x: Tensor) -> UGPNetOutput:
        assert x.shape[1:] == (3, 32 // self.scale, 32 // self.scale)
        large = nn.functional.interpolate(x, scale_factor=float(self.scale))
        grey = torch.full_like(large, 0.5)
        return UGPNetOutput((large + grey) / 2, large * 1.1 - 0.05, grey)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    sizes = {"a.png": (32, 32), "b.png": (40, 64), "sub/c.jpg": (50, 36)}
    for name, size in sizes.items():
        coarse = torch.rand(1, 3, 5, 5, generator=generator)
        image = nn.functional.interpolate(coarse, size=size, mode="bilinear")[0]
        write_image(tmp_path / "photos" / name, image)
    return tmp_path / "photos"


@pytest.fixture(autouse=True)
def _no_weights_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("UGPNET_PERCEPTUAL", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def run(
    folder: Path, model: Any = None, photos: list[Path] | None = None, **options: Any
) -> Evaluation:
    stand_in: Any = model or FakeModel()
    return evaluate(stand_in, photos or files(folder), root=folder, **options)


def by_name(result: Evaluation, name: str) -> Mapping[str, Mapping[str, float]]:
    return {image.name: image.figures for image in result.images}[name]


def names(result: Evaluation) -> list[str]:
    return [method.name for method in result.methods]


def value(result: Evaluation, method: str, metric: str = "psnr") -> float:
    found = result.value(method, metric)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def squeeze(squeezenet: Path) -> MetricNetworks:
    return metric_networks(PerceptualConfig(network="squeeze", weights=squeezenet, resize=None))


def test_figures_are_those_of_what_the_model_gave(folder: Path) -> None:
    result = run(folder)
    assert names(result) == ["degraded", "x_reg", "x_syn", "x_hat"]
    assert [image.name for image in result.images] == ["a.png", "b.png", "sub/c.jpg"]
    assert result.protocol["task"].startswith("denoise (sigma 0.3, k 30.0")
    assert result.protocol["task"].endswith(", seed 0 and file name")
    degraded = value(result, "degraded")
    assert 9 < degraded < 16  # sigma 0.3 alone, unclipped, would be 10.5 dB
    assert value(result, "x_reg") < degraded < value(result, "x_hat")
    mean = sum(image.figures["x_hat"]["psnr"] for image in result.images) / 3
    assert value(result, "x_hat") == pytest.approx(mean)
    assert result.value("x_hat", "lpips") is None
    assert result.value("x_hat", "frechet") is None
    assert frechet_ratio(result) is None
    assert {metric.key for metric in result.metrics if metric.missing} == {"lpips", "fid"}


def test_means_have_intervals_and_differences_are_paired(folder: Path) -> None:
    result = run(folder)
    for method in result.methods:
        values = [image.figures[method.name]["psnr"] for image in result.images]
        figure = method.figures["psnr"]
        assert figure.low is not None
        assert figure.high is not None
        assert min(values) <= figure.low < figure.value < figure.high <= max(values)
    differences = {(each.method, each.metric): each for each in result.differences}
    assert {each.reference for each in result.differences} == {"x_reg"}
    found = differences["x_hat", "psnr"].figure
    expected = [i.figures["x_hat"]["psnr"] - i.figures["x_reg"]["psnr"] for i in result.images]
    assert found.value == pytest.approx(sum(expected) / 3)
    assert found.low is not None
    assert found.low >= min(expected)
    assert ("x_syn", "ssim") in differences


def test_same_seed_same_figures_whatever_the_batch_and_the_order(folder: Path) -> None:
    first = run(folder)
    again = run(folder, photos=files(folder)[::-1], batch_size=1)
    assert by_name(again, "b.png") == by_name(first, "b.png")
    assert by_name(run(folder, seed=1), "b.png") != by_name(first, "b.png")


def test_perceptual_figures(folder: Path, squeeze: MetricNetworks) -> None:
    result = run(folder, networks=squeeze)
    for method in result.methods:
        for metric in ("lpips", "frechet"):
            figure = method.figures[metric]
            assert figure.low is not None
            assert figure.high is not None
            assert 0 <= figure.low <= figure.value <= figure.high
            assert figure.value > 0
    assert frechet_ratio(result) == pytest.approx(
        value(result, "x_hat", "frechet") / value(result, "x_reg", "frechet")
    )
    assert "few vectors (96)" in result.protocol["FD-SqueezeNet"]
    assert "LPIPS (SqueezeNet trunk of BSD origin)" in result.protocol
    assert "one of 3 groups" in result.protocol["intervals"]


def test_a_perfect_model_has_no_distance(folder: Path, squeeze: MetricNetworks) -> None:
    model = FakeModel("denoise")
    model.config = ModelConfig(task=TaskConfig(name="denoise", options={"sigma": 0.0, "k": 1e9}))
    model.forward = lambda x: UGPNetOutput(x, x, x)  # type: ignore[method-assign]
    result = run(folder, model, networks=squeeze)
    assert value(result, "x_hat") > 55
    assert value(result, "x_hat", "ssim") > 0.999
    assert value(result, "x_hat", "lpips") < 1e-3
    assert value(result, "x_hat", "frechet") < 1e-2


def test_smaller_images_are_enlarged_for_comparison(folder: Path) -> None:
    result = run(folder, FakeModel("sr8", scale=8))
    assert value(result, "degraded") > 10
    assert result.protocol["task"].startswith("sr8")
    assert "enlarged 8 times" in result.protocol["compared"]
    with pytest.raises(ConfigError, match="choose a task that fits"):
        run(folder, FakeModel("denoise"), task=TaskConfig(name="sr8"))


def test_sizes_of_another_task_fit_the_model(folder: Path) -> None:
    result = run(folder, task=TaskConfig(name="deblur"))
    assert value(result, "degraded") > 15  # 71 pixels in 32 would leave nothing


def test_baseline_is_better_than_the_degraded_images(folder: Path) -> None:
    result = run(folder, baselines=True)
    assert names(result)[1] == "non-local means"
    assert value(result, "non-local means") > value(result, "degraded")
    strength = result.tuned["non-local means"]
    assert f"strength {strength:g} " in result.protocol["non-local means"]


def test_broken_files_are_left_out_and_named(folder: Path) -> None:
    good = run(folder)
    (folder / "broken.png").write_bytes(b"no image")
    result = run(folder, baselines=True)
    assert [problem.file for problem in result.problems] == ["broken.png"]
    assert result.method("x_hat").figures == good.method("x_hat").figures
    with pytest.raises(ImageError, match=r"no image .* can be evaluated"):
        run(folder, photos=[folder / "broken.png"])


def test_pairs_are_measured_as_they_are(folder: Path, tmp_path: Path) -> None:
    degraded = tmp_path / "degraded"
    for path in files(folder):
        target = (degraded / path.relative_to(folder)).with_suffix(".png")
        write_image(target, read_image(path).pixels * 0.5)
    model: Any = FakeModel()
    result = evaluate_on(model, paired_set(folder, degraded, 32))
    assert result.title == "pairs"
    assert result.protocol["task"].startswith("pairs: ")
    clean = read_image(folder / "a.png").pixels
    expected = -10 * torch.log10((clean - read_image(degraded / "a.png").pixels).square().mean())
    assert by_name(result, "a.png")["degraded"]["psnr"] == pytest.approx(float(expected), abs=1e-3)
    (degraded / "b.png").unlink()
    with pytest.raises(ImageError, match=r"partner.*b\.png"):
        paired_set(folder, degraded, 32)


def test_an_observer_sees_what_was_measured(folder: Path) -> None:
    seen: dict[str, dict[str, Tensor]] = {}
    result = run(folder, keep=lambda sample, images: seen.update({sample.name: dict(images)}))
    assert list(seen) == [image.name for image in result.images]
    for name, images in seen.items():
        assert list(images) == ["clean", *names(result)]
        for image in images.values():
            assert image.shape == (3, 32, 32)
            assert torch.equal(image.clamp(0, 1), image)
        error = (images["x_hat"] - images["clean"]).double().square().mean()
        found = by_name(result, name)["x_hat"]["psnr"]
        assert found == pytest.approx(float(-10 * torch.log10(error)))


def test_a_network_runs_once_for_its_three_images_and_blends_by_fidelity(folder: Path) -> None:
    calls = []
    model: Any = FakeModel()
    model.register_forward_hook(lambda *_: calls.append(1))
    hats = {"x_hat": 0.0, "half": 0.5, "all": 1.0}
    runner = UGPNetRunner(model, PartNames(restored=hats))
    test_set = degraded_set(files(folder), folder, 32, TaskConfig(name="denoise"))
    result = measure_methods([Degraded(), runner], test_set, batch_size=8)
    assert len(calls) == 1
    assert names(result) == ["degraded", "x_reg", "x_syn", "x_hat", "half", "all"]
    assert value(result, "all") == value(result, "x_reg")
    assert value(result, "x_hat") > value(result, "half") > value(result, "all")
    assert "0.5 x_reg" in result.protocol["half"]


def test_a_method_that_fails_leaves_the_others_alone(folder: Path) -> None:
    def picky(x: Tensor) -> Tensor:
        if (x[:, 0].mean(dim=(1, 2)) > 0.5).any():
            raise ValueError("too red")
        return x

    def broken(x: Tensor) -> Tensor:
        raise RuntimeError("never works")

    runners = [
        Degraded(),
        Function(Method("picky", "network"), picky),
        Function(Method("broken", "network"), broken),
        Function(Method("small", "network"), lambda x: x[..., :16, :16]),
        Wiener(),
    ]
    bright, dark = torch.zeros(3, 32, 32), torch.zeros(3, 32, 32)
    bright[0] = 1
    write_image(folder / "d.png", bright)
    write_image(folder / "e.png", dark)
    test_set = degraded_set(files(folder), folder, 32, TaskConfig(name="denoise"))
    result = measure_methods(runners, test_set)
    assert "picky" in by_name(result, "e.png")
    assert "picky" not in by_name(result, "d.png")
    assert ("d.png", "picky") in {(each.file, each.method) for each in result.problems}
    for name, reason in {
        "broken": "never works",
        "small": r"\(1, 3, 16, 16\)",
        "Wiener": "needs the blur kernel",
    }.items():
        assert not result.method(name).figures
        assert re.search(reason, result.method(name).failed)
    alone = measure_methods(runners[:1], test_set)
    assert alone.method("degraded") == result.method("degraded")


def test_of_how_many_photographs_a_figure_is(folder: Path) -> None:
    files = [folder / "a.png", folder / "b.png", folder / "sub" / "c.jpg"]
    calls = 0

    def flat_once(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return x * 0 + 0.5 if calls == 1 else x

    def broken(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls > 4:
            raise ValueError
        return x

    spread = ImageMetric(
        ALL_METRICS["brisque"],
        lambda judged: [float(x.max() - x.min()) or float("nan") for x in judged.images],
    )
    networks = MetricNetworks(
        (ALL_METRICS["psnr"], ALL_METRICS["brisque"]), (psnr_metric(), spread)
    )
    test_set = degraded_set(files, folder, 32, TaskConfig(name="denoise"))
    methods = [
        Function(Method("x_reg", "regression"), lambda x: x),
        Function(Method("flat", "network", reference="x_reg"), flat_once),
    ]
    run = partial(measure_methods, test_set=test_set, networks=networks, batch_size=1)
    said = run([Degraded(), *methods]).protocol["fewer photographs"]
    assert said == (
        "BRISQUE of flat: 2 of 3; BRISQUE of flat - x_reg: 2 of 3; no figure of the others"
    )
    assert "fewer photographs" not in run([Degraded(), methods[0]]).protocol
    calls = 3
    failing = Function(Method("failing", "network"), broken)
    said = run([Degraded(), failing]).protocol["fewer photographs"]
    assert said == "PSNR (dB) and BRISQUE of failing: 1 of 3; no figure of the others"


def test_names_of_methods_differ(folder: Path) -> None:
    test_set = degraded_set(files(folder), folder, 32, TaskConfig(name="denoise"))
    with pytest.raises(ConfigError, match="called degraded"):
        measure_methods([Degraded(), Degraded()], test_set)
    with pytest.raises(ConfigError, match="'clean'"):
        measure_methods([Function(Method("clean", "network"), lambda x: x)], test_set)


@pytest.fixture
def fake_loading(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(model_file, "load_model", lambda name: FakeModel())
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("fake_loading")
def test_command_writes_table_csv_and_json(
    folder: Path, squeezenet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = ["--perceptual-weights", str(squeezenet)]
    arguments = ["evaluate", "-m", "fake", "--data", str(folder), "--device", "cpu", *weights]
    assert main([*arguments, "-o", "out"]) == 0
    shown = capsys.readouterr().out
    assert "FD-SqueezeNet" in shown
    assert "LPIPS-VGG" not in shown
    with (tmp_path / "out" / "per-image.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["a.png", "b.png", "sub/c.jpg"]
    assert 5 < float(rows[0]["x_hat_psnr"]) < 40
    assert float(rows[2]["degraded_lpips"]) > 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["count"] == 3
    assert summary["figures"]["x_hat"]["psnr"] == pytest.approx(
        sum(float(row["x_hat_psnr"]) for row in rows) / 3, abs=1e-3
    )
    assert summary["metrics"]["frechet"] == "FD-SqueezeNet"
    assert summary["frechet_x_hat_over_x_reg"] > 0
    assert summary["versions"]["torch"] in torch.__version__
    assert not list(tmp_path.rglob("*.partial"))
    before = sorted(tmp_path.rglob("*"))
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == summary
    assert sorted(tmp_path.rglob("*")) == before  # nothing is written unasked


@pytest.mark.usefixtures("fake_loading")
def test_command_without_perceptual_weights_says_what_is_missing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "-m", "fake", "--data", str(folder), "-o", "f"]) == 0
    shown = capsys.readouterr().out
    assert "not computed" in shown
    assert "--perceptual-weights PATH" in shown
    assert Path("f", "per-image.csv").is_file()


@pytest.mark.usefixtures("fake_loading")
def test_command_takes_pairs_by_pattern(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in files(folder):
        target = tmp_path / "lq" / path.relative_to(folder)
        write_image(target.with_name(f"{path.stem}_lq.png"), read_image(path).pixels)
    arguments = ["evaluate", "-m", "fake", "--data", str(folder), "--metrics", "psnr"]
    assert main([*arguments, "--degraded", "lq", "--pattern", "{stem}_lq"]) == 0
    assert "pairs" in capsys.readouterr().out
    assert main([*arguments, "--pattern", "{stem}_lq"]) == 2
    assert "how --degraded images are called" in capsys.readouterr().err


@pytest.mark.usefixtures("fake_loading")
def test_command_reports_broken_files_and_fails(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "broken.png").write_bytes(b"no image")
    assert main(["evaluate", "-m", "fake", "--data", str(folder)]) == 1
    captured = capsys.readouterr()
    assert "left out broken.png" in captured.err
    assert "x_hat" in captured.out


@pytest.mark.usefixtures("fake_loading")
def test_command_refuses_what_cannot_be_measured(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["evaluate", "-m", "fake", "--data", "empty"]) == 1
    assert "no image in empty" in capsys.readouterr().err
    assert main(["evaluate", "-m", "fake", "--data", "missing"]) == 1
    wrong = ["--perceptual-weights", str(folder)]
    assert main(["evaluate", "-m", "fake", "--data", str(folder), *wrong]) == 1
    assert "VGG16" in capsys.readouterr().err
    assert main(["evaluate", "--data", str(folder)]) == 2
