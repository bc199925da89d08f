from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ugpnet_core import model_file
from ugpnet_core.cli import main
from ugpnet_core.config import ModelConfig, PerceptualConfig, TaskConfig
from ugpnet_core.errors import ConfigError, ImageError
from ugpnet_core.evaluation.evaluate import evaluate
from ugpnet_core.image import write_image
from ugpnet_core.losses.perceptual_weights import empty_trunk
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


@pytest.fixture(scope="module")
def squeeze_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator = torch.Generator().manual_seed(0)
    state = {
        key: torch.randn(value.shape, generator=generator) * (2 / value[0].numel()) ** 0.5
        if value.dim() > 1
        else torch.zeros(value.shape)
        for key, value in empty_trunk("squeeze").state_dict().items()
    }
    path = tmp_path_factory.mktemp("weights") / "squeezenet.safetensors"
    save_file(state, path)
    return path


@pytest.fixture(autouse=True)
def _no_weights_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("UGPNET_PERCEPTUAL", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def run(folder: Path, model: Any = None, photos: list[Path] | None = None, **options: Any) -> Any:
    stand_in: Any = model or FakeModel()
    return evaluate(stand_in, photos or files(folder), root=folder, **options)


def test_figures_are_those_of_what_the_model_gave(folder: Path) -> None:
    result = run(folder)
    assert list(result.figures) == ["degraded", "x_reg", "x_syn", "x_hat"]
    assert [name for name, _ in result.images] == ["a.png", "b.png", "sub/c.jpg"]
    degraded = result.figures["degraded"]["psnr"]
    assert result.protocol["task"] == "denoise (sigma 0.3, k 30.0), seed 0 and file name"
    assert 9 < degraded < 16  # sigma 0.3 alone, unclipped, would be 10.5 dB
    assert result.figures["x_reg"]["psnr"] < degraded < result.figures["x_hat"]["psnr"]
    mean = sum(row["x_hat"]["psnr"] for _, row in result.images) / 3
    assert result.figures["x_hat"]["psnr"] == pytest.approx(mean)
    assert result.figures["x_hat"]["lpips"] is None
    assert result.figures["x_hat"]["frechet"] is None
    assert result.frechet_ratio() is None


def test_same_seed_same_figures_whatever_the_batch_and_the_order(folder: Path) -> None:
    first = run(folder)
    again = run(folder, photos=files(folder)[::-1], batch_size=1)
    assert dict(again.images)["b.png"] == dict(first.images)["b.png"]
    assert dict(run(folder, seed=1).images)["b.png"] != dict(first.images)["b.png"]


def test_perceptual_figures(folder: Path, squeeze_file: Path) -> None:
    config = PerceptualConfig(network="squeeze", weights=squeeze_file, resize=None)
    result = run(folder, perceptual=config)
    for figures in result.figures.values():
        assert figures["lpips"] > 0
        assert figures["frechet"] > 0
    assert result.frechet_ratio() == pytest.approx(
        result.figures["x_hat"]["frechet"] / result.figures["x_reg"]["frechet"]
    )
    assert "few crops (96)" in result.protocol["FD-SqueezeNet"]
    assert "LPIPS (SqueezeNet trunk of BSD origin)" in result.protocol


def test_a_perfect_model_has_no_distance(folder: Path, squeeze_file: Path) -> None:
    model = FakeModel("denoise")
    model.config = ModelConfig(task=TaskConfig(name="denoise", options={"sigma": 0.0, "k": 1e9}))
    model.forward = lambda x: UGPNetOutput(x, x, x)  # type: ignore[method-assign]
    config = PerceptualConfig(network="squeeze", weights=squeeze_file, resize=None)
    figures = run(folder, model, perceptual=config).figures["x_hat"]
    assert figures["psnr"] > 55
    assert figures["ssim"] > 0.999
    assert figures["lpips"] < 1e-3
    assert figures["frechet"] < 1e-2


def test_smaller_images_are_enlarged_for_comparison(folder: Path) -> None:
    result = run(folder, FakeModel("sr8", scale=8))
    assert result.figures["degraded"]["psnr"] > 10
    assert result.protocol["task"] == "sr8, seed 0 and file name"
    assert "enlarged 8 times" in result.protocol["compared"]
    with pytest.raises(ConfigError, match="choose a task that fits"):
        run(folder, FakeModel("denoise"), task=TaskConfig(name="sr8"))


def test_sizes_of_another_task_fit_the_model(folder: Path) -> None:
    result = run(folder, task=TaskConfig(name="deblur"))
    assert result.figures["degraded"]["psnr"] > 15  # 71 pixels in 32 would leave nothing


def test_baseline_is_better_than_the_degraded_images(folder: Path) -> None:
    result = run(folder, baselines=True)
    assert list(result.figures)[1] == "non-local means"
    assert result.figures["non-local means"]["psnr"] > result.figures["degraded"]["psnr"]
    assert f"strength {result.strength} " in result.protocol["non-local means"]


def test_broken_files_are_left_out_and_named(folder: Path) -> None:
    good = run(folder)
    (folder / "broken.png").write_bytes(b"no image")
    result = run(folder, baselines=True)
    assert [name for name, _ in result.problems] == ["broken.png"]
    assert result.figures["x_hat"] == good.figures["x_hat"]
    with pytest.raises(ImageError, match=r"no image .* can be evaluated"):
        run(folder, photos=[folder / "broken.png"])


@pytest.fixture
def fake_loading(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(model_file, "load_model", lambda name: FakeModel())
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("fake_loading")
def test_command_writes_table_csv_and_json(
    folder: Path, squeeze_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = ["--perceptual-weights", str(squeeze_file)]
    arguments = ["evaluate", "-m", "fake", "--data", str(folder), "--device", "cpu", *weights]
    assert main([*arguments, "--json", "out/summary.json"]) == 0
    shown = capsys.readouterr().out
    assert "FD-SqueezeNet" in shown
    assert "LPIPS-VGG" not in shown
    with (tmp_path / "evaluation-fake-denoise.csv").open() as file:
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


@pytest.mark.usefixtures("fake_loading")
def test_command_without_perceptual_weights_says_what_is_missing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "-m", "fake", "--data", str(folder), "--csv", "f.csv"]) == 0
    shown = capsys.readouterr().out
    assert "not computed" in shown
    assert "--perceptual-weights PATH" in shown
    assert Path("f.csv").is_file()


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
