"""ugpnet sample: grids of what a prior makes of random codes, from every source of a prior."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import nn

import ugpnet_core as ug
from ugpnet_core.cli import main
from ugpnet_core.config import TrainConfig
from ugpnet_core.image import read_image
from ugpnet_core.inference.sampling import MEAN_CODES, code_generator, mean_style, sample
from ugpnet_core.model_files.prior import write_prior
from ugpnet_core.model_files.prior_weights import PriorWeights
from ugpnet_core.protocols import TrainablePrior
from ugpnet_core.training.run import train

OPTIONS: dict[str, Any] = {
    "resolution": 16,
    "style_dim": 4,
    "num_mlp": 1,
    "narrow": 1 / 128,
    "base_size": 8,
}
WORDS = [word for name, value in OPTIONS.items() for word in ("-O", f"{name}={value}")]


def make(**more: Any) -> Any:
    torch.manual_seed(3)
    return ug.create_prior("stylegan2", **OPTIONS, **more)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.safetensors"
    network = cast(nn.Module, make())
    write_prior(path, "stylegan2", PriorWeights("ours", OPTIONS, network.state_dict()))
    return path


def cells(path: Path, side: int, columns: int, count: int) -> list[torch.Tensor]:
    """The pictures of a grid, as this test cuts them out: a gap of one pixel."""
    pixels = read_image(path).pixels
    return [
        pixels[:, 1 + row * (side + 1) :, 1 + column * (side + 1) :][:, :side, :side]
        for row, column in (divmod(index, columns) for index in range(count))
    ]


def test_grid_holds_what_the_generator_makes(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "grid.png"
    words = ["sample", str(file), "-o", str(out), "--count", "5", "--seed", "7"]
    assert main([*words, "--truncation", "1"]) == 0
    rng = code_generator(7, "sample")
    codes = torch.cat([torch.randn(1, 4, generator=rng) for _ in range(5)])
    with torch.no_grad():
        expected = make()(codes).image.clamp(0, 1)
    made = torch.stack(cells(out, 16, 3, 5))
    assert read_image(out).pixels.shape == (3, 2 * 17 + 1, 3 * 17 + 1)
    assert (made - expected).abs().max() <= 0.51 / 255
    assert (read_image(out).pixels[:, -16:, -16:] == 1).all()  # an empty place


def test_same_seed_same_picture_and_count_changes_no_code(file: Path, tmp_path: Path) -> None:
    def grid(name: str, *words: str) -> Path:
        out = tmp_path / name
        assert main(["sample", str(file), "-o", str(out), *words]) == 0
        return out

    one, again = grid("a.png", "--seed", "1"), grid("b.png", "--seed", "1")
    assert one.read_bytes() == again.read_bytes()
    assert grid("c.png", "--seed", "2").read_bytes() != one.read_bytes()
    few = cells(grid("d.png", "--seed", "1", "--count", "2", "--rows", "1"), 16, 2, 2)
    for a, b in zip(few, cells(one, 16, 4, 2), strict=True):
        assert (a - b).abs().max() <= 1.01 / 255


def test_truncation_moves_towards_the_mean(tmp_path: Path) -> None:
    network = make()
    spreads = []
    for truncation in (1.0, 0.5, 0.0):
        pictures = torch.stack(list(sample(network, 6, truncation=truncation)))
        spreads.append(float(pictures.std(0).mean()))
    assert spreads[0] > spreads[1] > spreads[2]
    assert spreads[2] < 1e-6


def test_the_stored_mean_is_the_centre_where_there_is_one() -> None:
    network = make(w_avg=True)
    drawn = network.mean_latent(MEAN_CODES, code_generator(0, "mean"))
    assert torch.equal(mean_style(network), drawn)  # zeros: nothing was stored
    network.w_avg += 0.25
    assert torch.equal(mean_style(network), torch.full((1, 4), 0.25))


def test_codes_are_not_the_numbers_that_weights_were_drawn_with() -> None:
    torch.manual_seed(0)
    weights = torch.randn(8)
    for purpose in ("sample", "mean"):
        assert not torch.equal(torch.randn(8, generator=code_generator(0, purpose)), weights)


def test_name_with_weights_is_the_file(file: Path, tmp_path: Path) -> None:
    for name, words in (("a.png", [str(file)]), ("b.png", ["stylegan2", "--weights", str(file)])):
        assert main(["sample", *words, "-o", str(tmp_path / name)]) == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_untrained_prior_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "grid.png"
    assert main(["sample", "stylegan2", *WORDS, "-o", str(out)]) == 0
    assert "untrained" in capsys.readouterr().err
    first = out.read_bytes()
    torch.rand(3)
    assert main(["sample", "stylegan2", *WORDS, "-o", str(out)]) == 0
    assert out.read_bytes() == first


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_results_of_a_training_and_the_model(
    norm: str,
    training_config: Callable[..., TrainConfig],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = training_config(model__encoder_norm=norm)
    path = train(config)
    assert path is not None
    capsys.readouterr()
    said = {}
    for source in ("prior", "synthesis", "tiny"):
        out = tmp_path / f"{source}.png"
        words = ["sample", str(config.output / f"{source}.safetensors"), "-o", str(out)]
        assert main([*words, "--count", "4", "--truncation", "1"]) == 0
        said[source] = capsys.readouterr().err
    assert not said["prior"]
    assert "is left of the prior" in said["synthesis"]
    assert "is left of the prior" in said["tiny"]
    assert (tmp_path / "synthesis.png").read_bytes() == (tmp_path / "tiny.png").read_bytes()
    network = ug.load_model(path).synthesis.generator
    assert isinstance(network, TrainablePrior)
    expected = next(sample(network, 1))
    assert (cells(tmp_path / "tiny.png", 32, 2, 1)[0] - expected).abs().max() <= 0.51 / 255
    fusion = ["sample", str(config.output / "fusion.safetensors"), "-o", str(tmp_path / "no.png")]
    assert main(fusion) == 1
    assert "holds no prior" in capsys.readouterr().err


def test_model_whose_prior_never_saw_codes_says_so(
    training_config: Callable[..., TrainConfig],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = train(training_config(prior=None))
    assert main(["sample", str(path), "-o", str(tmp_path / "grid.png")]) == 0
    assert "means nothing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["nosuch", "-o", "grid.png"], 2, "There is no prior 'nosuch'"),
        (["no/such.safetensors", "-o", "grid.png"], 1, "There is no weights file"),
        (["stylegan2", "-O", "resolutio=16", "-o", "grid.png"], 2, "resolution"),
        (["stylegan2", "-o", "grid.txt"], 2, "no name for a picture"),
        (["stylegan2", "-o", "."], 2, "no name for a picture"),
        (["small.safetensors", "--weights", "small.safetensors", "-o", "g.png"], 2, "by name"),
        (["small.safetensors", "-O", "resolution=32", "-o", "grid.png"], 2, "leave it out"),
        (["stylegan2", "--device", "abacus", "-o", "grid.png"], 2, "abacus"),
        (["empty.safetensors", "-o", "grid.png"], 1, "damaged"),
    ],
)
def test_mistakes_are_one_sentence(
    words: list[str],
    status: int,
    message: str,
    file: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(file.parent)
    Path("empty.safetensors").touch()
    before = sorted(Path().iterdir())
    assert main(["sample", *words]) == status
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1
    assert sorted(Path().iterdir()) == before


def test_an_input_is_never_overwritten(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "weights.png"
    picture.write_bytes(file.read_bytes())
    link = tmp_path / "link.png"
    link.symlink_to(picture)
    for words in ([str(picture)], ["stylegan2", "--weights", str(picture)]):
        for out in (picture, link):
            assert main(["sample", *words, "-o", str(out)]) == 2
            assert "would be overwritten" in capsys.readouterr().err
    assert picture.read_bytes() == file.read_bytes()


def test_a_prior_without_random_codes_is_for_invert() -> None:
    class Decoder(nn.Module):
        resolution = base_size = base_channels = num_styles = style_dim = feature_channels = 8

        def synthesize(self, base: torch.Tensor, styles: torch.Tensor) -> Any:
            raise NotImplementedError

    with pytest.raises(ug.ConfigError, match="look at it with ugpnet invert"):
        next(sample(Decoder(), 1))
