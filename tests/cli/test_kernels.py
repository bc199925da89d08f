"""``ugpnet kernels``."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ugpnet_core.cli import main
from ugpnet_core.degradations.kernel_files import load_kernels
from ugpnet_core.degradations.kernels import kernel_set
from ugpnet_core.image import read_image

Captured = pytest.CaptureFixture[str]


def kernels(*arguments: object) -> int:
    return main(["kernels", *map(str, arguments)])


def test_making_reading_and_looking(tmp_path: Path, capsys: Captured) -> None:
    file, sheet, again = (tmp_path / name for name in ("a.safetensors", "a.png", "b.png"))
    assert kernels(file, "--count", 6, "--size", 9, "--seed", 4, "--sheet", sheet) == 0
    made = kernel_set(6, 9, seed=4)
    assert torch.equal(load_kernels(file).kernels, made.kernels)
    assert f"6 kernels of 9x9, seed 4, generator {made.generator}: " in capsys.readouterr().out
    # Three columns and two rows of 9 pixels, with one between and around them.
    picture = read_image(sheet).pixels
    assert picture.shape == (3, 21, 31)
    last = picture[0, 11:20, 21:30]
    assert (last - (made.kernels[5] / made.kernels[5].max()).sqrt()).abs().max() < 1 / 255
    assert kernels("--from", file, "--sheet", again) == 0
    assert again.read_bytes() == sheet.read_bytes()
    assert "6 kernels of 9x9, seed 4" in capsys.readouterr().out


def test_a_sheet_alone_shows_what_would_be_made(tmp_path: Path) -> None:
    assert kernels("--count", 4, "--size", 71, "--sheet", tmp_path / "sheet.png") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "file for a new set"),
        (["--from", "a.safetensors", "--seed", "1"], "--from reads a set"),
        (["b.safetensors", "--from", "a.safetensors"], "--from reads a set"),
        (["a.png"], "no name for a set"),
        (["a.safetensors", "--sheet", "a.txt"], "no name for a picture"),
        (["a.safetensors", "--size", "70"], "--size 71"),
    ],
)
def test_wrong_usage(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert kernels(*arguments) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_sheet_does_not_overwrite_the_set(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"a set under a strange name")
    assert kernels("--from", file, "--sheet", file) == 2
    assert "would be overwritten" in capsys.readouterr().err
    assert kernels("--from", tmp_path / "none.safetensors") == 1
