"""``ugpnet convert``: what it writes, what it refuses, and that it leaves nothing half done."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from torch import Tensor

import ugpnet_core as ug
from ugpnet_core import cli
from ugpnet_core.checkpoints import state_dict as weights
from ugpnet_core.model_files.prior import create_discriminator, read_prior

State = dict[str, Tensor]
OPTIONS: dict[str, Any] = {"resolution": 16, "style_dim": 4, "num_mlp": 1, "narrow": 1 / 64}


@pytest.fixture
def prior(tmp_path: Path) -> tuple[Path, Path]:
    """A generator and a discriminator in BasicSR's layout."""
    torch.manual_seed(0)
    generator: Any = ug.create_prior("stylegan2", **OPTIONS)
    torch.save({"params_ema": generator.state_dict()}, tmp_path / "g.pth")
    discriminator = create_discriminator("stylegan2", **OPTIONS)
    torch.save({"params": discriminator.state_dict()}, tmp_path / "d.pth")
    return tmp_path / "g.pth", tmp_path / "d.pth"


def run(*arguments: object) -> int:
    return cli.main(["convert", *map(str, arguments)])


def refused(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr."""
    line = capsys.readouterr().err
    assert line.startswith("error: ")
    assert line.count("\n") == 1
    return line


def test_a_prior_is_converted(
    prior: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "prior.safetensors"
    assert run(*prior, out, "--licence", "CC0-1.0") == 0
    said = capsys.readouterr().out
    assert f"prior file from BasicSR's layout: {out}" in said
    assert "stylegan2, 16 pixels, generator of 0.00 M parameters, discriminator of" in said
    made: Any = ug.create_prior("stylegan2", weights=out)
    original: Any = ug.create_prior("stylegan2", weights=prior[0], **OPTIONS)
    z = torch.randn(2, 4)
    assert torch.equal(made(z).image, original(z).image)
    stored = read_prior(out)
    assert stored is not None
    assert stored.discriminator is not None
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_an_input_is_never_overwritten(
    prior: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = tmp_path / "g.safetensors"
    prior[0].rename(source)
    content = source.read_bytes()
    os.symlink(source, tmp_path / "soft.safetensors")
    os.link(source, tmp_path / "hard.safetensors")
    monkeypatch.chdir(tmp_path)
    for out in (source, "g.safetensors", "./g.safetensors", "soft.safetensors", "hard.safetensors"):
        assert run(source, out) == 2
        assert "is also an input, which is never overwritten" in refused(capsys)
        assert source.read_bytes() == content
    assert run(source, "d.pth", "d.safetensors", "d.pth") == 2
    assert "in .safetensors" in refused(capsys)


def test_what_existed_is_replaced_whole_or_not_at_all(
    prior: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "prior.safetensors"
    out.write_bytes(b"old")

    def failing(error: Exception) -> Callable[..., None]:
        def fail(*_: object, **__: object) -> None:
            raise error

        return fail

    errors = (OSError(28, "No space left"), SafetensorError("I/O error: No space left"))
    for place, name, error in (
        (os, "fsync", errors[0]),
        (os, "replace", errors[0]),
        (weights, "save_file", errors[1]),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(place, name, failing(error))
            assert run(prior[0], out) == 1
        assert "No space left); choose another" in refused(capsys)
        assert out.read_bytes() == b"old"
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "d.pth",
            "g.pth",
            "prior.safetensors",
        ]
    assert run(prior[0], out) == 0
    assert read_prior(out) is not None


def test_what_cannot_be_converted_says_why(
    golden: Callable[[str], tuple[State, State]],
    prior: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    generator, discriminator = prior
    out = tmp_path / "out.safetensors"
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff" + b"\0" * 99)
    (tmp_path / "cut.pth").write_bytes(generator.read_bytes()[:900])
    (tmp_path / "empty.pkl").touch()
    backbone: Any = ug.create_backbone("nafnet", width=2, enc_blk_nums=[1], dec_blk_nums=[1])
    torch.save(backbone.state_dict(), tmp_path / "nafnet.pth")
    model = Path(str(ug.__file__)).parent  # a folder
    cases: list[tuple[tuple[object, ...], int, str]] = [
        ((tmp_path / "gone.pth", out), 1, "no weights file"),
        ((tmp_path / "photo.jpg", out), 1, "a JPEG image"),
        ((tmp_path / "cut.pth", out), 1, "is damaged"),
        ((tmp_path / "empty.pkl", out), 1, "is empty"),
        ((model, out), 1, "is a folder; name a file of weights"),
        ((tmp_path / "nafnet.pth", out), 1, "looks like NAFNet"),
        ((generator, tmp_path / "nafnet.pth", out), 1, "neither a prior nor"),
        ((generator, generator, out), 1, "two networks of a kind"),
        ((discriminator, out), 1, "holds a discriminator only"),
        ((generator, out, "--task", "denoise"), 2, "A prior has no task"),
        ((generator, tmp_path / "out.pth"), 2, "name in .safetensors"),
        ((generator, tmp_path), 2, "name in .safetensors"),
    ]
    for arguments, status, said in cases:
        assert run(*arguments) == status, arguments
        assert said in refused(capsys)
        assert not out.exists()
    assert run(generator) == 2
    assert not list(tmp_path.glob(".*"))


def test_its_own_files_are_left_alone(
    prior: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tmp_path / "made.safetensors"
    assert run(prior[0], made) == 0
    capsys.readouterr()
    assert run(made, tmp_path / "again.safetensors") == 1
    assert "is a prior file already" in refused(capsys)
