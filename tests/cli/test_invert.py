"""ugpnet invert: encoded and refined pictures side by side, and how near they come."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import nn

import ugpnet_core as ug
from ugpnet_core.cli import main
from ugpnet_core.config import TrainConfig
from ugpnet_core.image import read_image, write_image
from ugpnet_core.inference.inversion import Inverter
from ugpnet_core.inference.opened_prior import OpenedPrior, open_prior
from ugpnet_core.losses.perceptual import LPIPS, build_lpips, perceptual_config
from ugpnet_core.metrics.pixel import psnr
from ugpnet_core.networks.synthesis import SynthesisModule
from ugpnet_core.networks.ugpnet import UGPNet, build_model

OPTIONS: dict[str, Any] = {"resolution": 32, "style_dim": 8, "num_mlp": 1, "narrow": 1 / 64}
OPTIONS |= {"base_size": 8}


@pytest.fixture(autouse=True)
def _no_perceptual_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("UGPNET_PERCEPTUAL", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


@pytest.fixture
def model(training_config: Callable[..., TrainConfig], tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = build_model(training_config().model)
    # Sums of random weights at this width leave no range for a picture to lie in.
    with torch.no_grad():
        for parameter in cast(nn.Module, network.synthesis.generator).parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    path = tmp_path / "model.safetensors"
    ug.save_model(network, path)
    return path


def source(**more: Any) -> OpenedPrior:
    torch.manual_seed(0)
    prior = ug.create_prior("stylegan2", **OPTIONS)
    cast(nn.Module, prior).eval().requires_grad_(False)
    return OpenedPrior(prior, "stylegan2", **more)


def figures(said: str) -> dict[str, dict[str, float]]:
    return {
        name: {which: float(value) for which, value in re.findall(r"(\w+) ([\d.]+) dB", rest)}
        for name, rest in re.findall(r"^(\S+): PSNR (.*)$", said, flags=re.M)
    }


def test_a_folder_gives_sheets_and_figures(
    model: Path, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = [str(photographs / "inner"), "--prior", str(model), "-o", str(out), "--save-all"]
    assert main(["invert", *words, "--steps", "5"]) == 0
    said = capsys.readouterr()
    assert "left out" in said.err
    rows = figures(said.out)
    assert list(rows) == [*(f"{index}.png" for index in range(5)), "mean"]
    network = ug.load_model(model)
    for index in range(5):
        sheet = read_image(out / f"{index}.png").pixels
        # Three pictures of 12 * 32 pixels, gaps between them, names above.
        assert sheet.shape[2] == 3 * 384 + 4 * round(0.03 * 384)
        picture = ug_square(photographs / "inner" / f"{index}.png")
        with torch.no_grad():
            encoded = network.synthesis(picture).image.clamp(0, 1)
        written = read_image(out / f"{index}_encoded.png").pixels
        assert (written - encoded[0]).abs().max() <= 0.51 / 255
        row = rows[f"{index}.png"]
        assert row["encoded"] == pytest.approx(float(psnr(encoded, picture)), abs=0.006)
        assert row["refined"] > row["encoded"]
        refined = read_image(out / f"{index}_refined.png").pixels[None]
        assert row["refined"] == pytest.approx(float(psnr(refined, picture)), abs=0.05)
    means = [rows[f"{index}.png"]["refined"] for index in range(5)]
    assert rows["mean"]["refined"] == pytest.approx(sum(means) / 5, abs=0.006)


def ug_square(path: Path) -> torch.Tensor:
    from ugpnet_core.image import center_square

    return center_square(read_image(path).pixels, 32)[None]


def test_the_same_again(model: Path, photographs: Path, tmp_path: Path) -> None:
    image = str(photographs / "inner" / "0.png")
    for name in ("a.png", "b.png"):
        torch.rand(2)
        words = ["invert", image, "-p", str(model), "-o", str(tmp_path / name), "--steps", "3"]
        assert main(words) == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_without_steps_only_the_encoder(
    model: Path, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.png"
    image = str(photographs / "inner" / "0.png")
    assert main(["invert", image, "-p", str(model), "-o", str(out), "--steps", "0"]) == 0
    said = capsys.readouterr()
    assert "Perceptual" not in said.err
    assert list(figures(said.out)["0.png"]) == ["encoded"]
    assert read_image(out).pixels.shape[2] == 2 * 384 + 3 * round(0.03 * 384)


def test_a_picture_of_the_prior_is_found_again() -> None:
    """The code of a generated picture, moved away, comes back to it."""
    own = source()
    torch.manual_seed(1)
    base, styles = torch.randn(1, own.prior.base_channels, 8, 8), torch.randn(1, 10, 8)
    styles = styles[:, : own.prior.num_styles]
    with torch.no_grad():
        picture = own.prior.synthesize(base, styles).image[0]
    lowest, highest = picture.min(), picture.max()
    picture = ((picture - lowest) / (highest - lowest)) * 0.6 + 0.2
    found = Inverter(own, 60)(picture)
    assert found.refined is not None
    before, after = ((each - picture).square().mean() for each in (found.encoded, found.refined))
    assert after < 0.2 * before
    assert torch.equal(found.picture, picture)


@pytest.mark.parametrize(
    ("losses", "best"), [((30, 20, 10, 20), 2), ((10, 20, 30, 40), 0), ((40, 30, 20, 10), 3)]
)
def test_the_best_code_counts_be_it_first_or_last(losses: tuple[int, ...], best: int) -> None:
    seen: list[torch.Tensor] = []

    class Scripted(nn.Module):
        """Says what an image is worth by the number of its step; the error decides the way."""

        def forward(self, image: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            seen.append(image.detach()[0].clamp(0, 1))
            return (image - target).square().mean() + losses[len(seen) - 1]

    picture = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = Inverter(source(), 3, cast(LPIPS, Scripted()))(picture)
    assert len(seen) == len({image.numpy().tobytes() for image in seen}) == 4
    assert found.refined is not None
    torch.testing.assert_close(found.refined, seen[best], atol=1e-6, rtol=0)
    assert all((found.refined - seen[i]).abs().max() > 1e-5 for i in range(4) if i != best)


def test_the_base_code_is_kept_near_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    own = source()
    synthesis = SynthesisModule(own.prior).eval().requires_grad_(False)
    own = OpenedPrior(own.prior, "stylegan2", synthesis)
    picture = torch.rand(3, 32, 32)
    first = synthesis.encode(picture[None]).base
    distances = []
    for weight in (0.0, 100.0):
        monkeypatch.setattr("ugpnet_core.inference.inversion.BASE_WEIGHT", weight)
        found = Inverter(own, 20)(picture)
        distances.append(float((found.code.base - first).norm() / first.norm()))
    assert distances[1] < 0.3 * distances[0]


def test_perceptual_weights_change_what_is_sought(squeezenet: Path) -> None:
    picture = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    lpips = build_lpips(perceptual_config(squeezenet))
    plain, perceptual = (Inverter(source(), 20, loss)(picture).refined for loss in (None, lpips))
    assert plain is not None
    assert perceptual is not None
    with torch.no_grad():
        assert lpips(perceptual[None], picture[None]) < lpips(plain[None], picture[None])


def test_bad_files_are_named_and_the_rest_is_done(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mixed"
    write_image(folder / "a.png", torch.rand(3, 20, 33))
    write_image(folder / "z.jpg", torch.rand(3, 50, 33))
    (folder / "b.png").write_bytes(b"no picture")
    (folder / "c.png").touch()
    out = tmp_path / "out"
    assert main(["invert", str(folder), "-p", str(model), "-o", str(out), "--steps", "1"]) == 1
    said = capsys.readouterr()
    assert {path.name for path in out.iterdir()} == {"a.png", "z.png"}
    assert "2 of 4 images inverted" in said.out
    for name in ("b.png", "c.png"):
        assert name in said.err
        assert str(folder / name) in said.out
    assert set(figures(said.out)) == {"a.png", "z.jpg", "mean"}


def test_inputs_are_never_overwritten(
    model: Path, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "a.png"
    image.write_bytes((photographs / "inner" / "0.png").read_bytes())
    before = image.read_bytes()
    for out in (image, tmp_path):
        assert main(["invert", str(image), "-p", str(model), "-o", str(out)]) == 2
        assert "would be overwritten" in capsys.readouterr().err
    assert image.read_bytes() == before


def test_a_prior_without_encoder_begins_at_the_mean(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [word for key, value in OPTIONS.items() for word in ("-O", f"{key}={value}")]
    image, out = str(photographs / "inner" / "0.png"), str(tmp_path / "a.png")
    words = ["invert", image, "-p", "stylegan2", *options, "-o", out, "--steps", "3"]
    assert main(words) == 0
    said = capsys.readouterr()
    assert "no encoder" in said.err
    assert "untrained" in said.err
    assert list(figures(said.out)["0.png"]) == ["start", "refined"]


def test_a_synthesis_stage_is_the_encoder_of_its_model(
    training_config: Callable[..., TrainConfig], photographs: Path
) -> None:
    from ugpnet_core.training.run import train

    config = training_config(prior=None)
    path = train(config)
    stage = open_prior(config.output / "synthesis.safetensors").synthesis
    whole = ug.load_model(str(path))
    assert isinstance(whole, UGPNet)
    assert stage is not None
    picture = ug_square(photographs / "inner" / "0.png")
    with torch.no_grad():
        torch.testing.assert_close(stage(picture).image, whole.synthesis(picture).image)


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["nosuch.png", "-p", "stylegan2"], 1, "nosuch.png"),
        (["."], 2, "--prior"),
        ([".", "-p", "nosuch"], 2, "There is no prior 'nosuch'"),
        ([".", "-p", "no/file.safetensors"], 1, "There is no weights file"),
        ([".", "-p", "stylegan2", "--perceptual-weights", "nowhere"], 1, "nowhere"),
    ],
)
def test_mistakes(
    words: list[str],
    status: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "a.png", torch.rand(3, 16, 16))
    small = [word for key, value in OPTIONS.items() for word in ("-O", f"{key}={value}")]
    if "stylegan2" in words:
        words = [*words, *small]
    assert main(["invert", *words, "-o", "out"]) == status
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
