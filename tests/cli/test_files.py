"""The commands that read and write images: restore, degrade, demo."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ugpnet_core.cli import main
from ugpnet_core.degradations import degrade, rng_for
from ugpnet_core.degradations.tasks import Denoise
from ugpnet_core.image import read_image, write_image
from ugpnet_core.inference.check import checked
from ugpnet_core.inference.restorer import Restorer
from ugpnet_core.model_files.model import load_model, save_model


def names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_restore_a_folder(
    photos: Path, tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run("restore", photos, "-o", out, "-m", model, "--recursive") == 0
    assert names(out) == ["a.png", "b.jpg", "sub/c.webp"]
    assert "3 of 3 images restored" in capsys.readouterr().out
    for name in names(out):
        assert read_image(out / name).pixels.shape == read_image(photos / name).pixels.shape


def test_restore_writes_what_a_restorer_makes(photos: Path, tmp_path: Path, model: Path) -> None:
    out = tmp_path / "c.png"
    source = photos / "sub" / "c.webp"
    assert run("restore", source, "-o", out, "-m", model, "--save-all") == 0
    assert names(tmp_path)[:3] == ["c.png", "c_reg.png", "c_syn.png"]
    made = Restorer(model, device="cpu")(source)
    parts = {"c": made.image, "c_reg": made.regression, "c_syn": made.synthesis}
    for name, image in parts.items():
        written = read_image(tmp_path / f"{name}.png").pixels
        assert (written - image).abs().max() <= 0.6 / 255
    assert run("restore", source, "-o", tmp_path / "f.png", "-m", model, "--fidelity", 1) == 0
    one, other = (read_image(tmp_path / name).levels for name in ("f.png", "c_reg.png"))
    # Made in little memory, with steps of a 171st of a level in between.
    assert abs(one.astype(int) - other).max() <= 1
    assert (one != other).mean() < 0.02


def test_notes_and_heat_maps(
    photos: Path, tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "flat.png", tmp_path / "out"
    write_image(source, torch.full((3, 40, 50), 0.5))
    assert run("restore", source, "-o", out, "-m", model, "--check", "--faces", "off") == 0
    assert names(out) == ["flat.png", "flat_check.png"]
    assert read_image(out / "flat_check.png").pixels.shape == (3, 40, 50)
    printed = capsys.readouterr().err
    assert f"note: {source}: its noise (about 0.00, white being 1) is weaker" in printed
    assert "checked: degraded again, it differs from the input by" in printed
    # A result that is not of this photograph is seen.
    clean, black = torch.full((3, 40, 50), 0.5), torch.zeros(3, 40, 50)
    found = checked(Restorer(model, device="cpu"), clean, black)
    assert found.levels > 20
    assert found.visible == 1


def test_a_model_with_values_that_are_no_numbers_makes_no_picture(
    photos: Path, tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = load_model(model)
    with torch.no_grad():
        next(broken.fusion.parameters()).view(-1)[3] = float("nan")
    save_model(broken, tmp_path / "broken.safetensors")
    out = tmp_path / "out"
    assert run("restore", photos, "-o", out, "-m", tmp_path / "broken.safetensors") == 1
    assert "'fusion.conv.weight'" in capsys.readouterr().err
    assert not out.exists()


def test_a_broken_file_is_named_and_the_rest_restored(
    photos: Path, tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "aa.png").write_bytes((photos / "a.png").read_bytes()[:100])
    assert run("restore", photos, photos / "gone.png", "-o", tmp_path / "out", "-m", model) == 1
    assert names(tmp_path / "out") == ["a.png", "b.jpg"]
    printed = capsys.readouterr()
    assert "2 of 4 images restored" in printed.out
    assert "2 failed" in printed.out
    for name in ("aa.png", "gone.png"):
        assert name in printed.out
        assert name in printed.err


def test_skip_existing(
    photos: Path, tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    write_image(out / "a.png", torch.zeros(3, 2, 2))
    before = (out / "a.png").read_bytes()
    assert run("restore", photos, "-o", out, "-m", model, "--skip-existing") == 0
    assert "1 of 2 images restored" in capsys.readouterr().out
    assert (out / "a.png").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "status", "word"),
    [
        (["-m", "tiny"], 2, "no model 'tiny'"),
        (["--fidelity", "2"], 2, "fidelity"),
        (["--tile", "huge"], 2, "huge"),
        (["--tile", "64"], 2, "32"),
        (["--device", "abacus"], 2, "abacus"),
        (["--background", "keep"], 2, "faces"),
    ],
)
def test_wrong_options(
    photos: Path,
    tmp_path: Path,
    model: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    status: int,
    word: str,
) -> None:
    chosen = [] if "-m" in options else ["-m", model]
    assert run("restore", photos, "-o", tmp_path / "out", *chosen, *options) == status
    assert word in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_nothing_to_do_and_nothing_overwritten(
    photos: Path, tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert run("restore", tmp_path / "empty", "-o", tmp_path / "out", "-m", model) == 1
    assert "no image" in capsys.readouterr().err
    before = (photos / "a.png").read_bytes()
    assert run("restore", photos, "-o", photos, "-m", model) == 2
    assert "overwritten" in capsys.readouterr().err
    assert (photos / "a.png").read_bytes() == before


def test_degrade_depends_on_seed_and_name_only(photos: Path, tmp_path: Path) -> None:
    def make(out: str, *options: object) -> Path:
        arguments = ("-o", tmp_path / out, "--task", "denoise", "--overwrite")
        assert run("degrade", *options, *arguments) == 0
        return tmp_path / out

    all_of_them = make("all", photos, "--recursive")
    assert names(all_of_them) == ["a.png", "b.png", "sub/c.png"]
    for name in ("a.png", "b.png"):
        again = make("one", photos)
        assert (again / name).read_bytes() == (all_of_them / name).read_bytes()
    alone = make("alone", photos / "b.jpg")
    assert (alone / "b.png").read_bytes() == (all_of_them / "b.png").read_bytes()
    other = make("other", photos, "--seed", 1)
    assert (other / "a.png").read_bytes() != (all_of_them / "a.png").read_bytes()
    expected = Denoise()(read_image(photos / "a.png").pixels, rng_for(0, "a.png"))
    assert (read_image(all_of_them / "a.png").pixels - expected).abs().max() < 0.6 / 255


def test_degrade_options(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["degrade", photos / "a.png", "-o", tmp_path / "x.png", "--overwrite", "-t"]
    assert run(*arguments, "denoise", "--set", "sigma=0", "-O", "k=1e9") == 0
    clean = read_image(photos / "a.png").pixels
    assert (read_image(tmp_path / "x.png").pixels - clean).abs().max() <= 1 / 255
    assert run(*arguments, "sr8", "--resolution", 24) == 0
    assert read_image(tmp_path / "x.png").pixels.shape == (3, 3, 3)
    assert degrade(clean, "sr8").shape == (3, 3, 4)
    for bad, word in [("sigam=1", "sigam"), ("sigma", "key=value"), ("sigma=[", "YAML")]:
        assert run(*arguments, "denoise", "--set", bad) == 2
        assert word in capsys.readouterr().err
    assert run(*arguments, "denois") == 2
    assert "denoise" in capsys.readouterr().err


def test_demo(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("skimage")
    assert run("demo", "-o", tmp_path / "demo", "-m", model) == 0
    pictures = ["degraded", "original", "regression", "restored", "side-by-side"]
    assert names(tmp_path / "demo") == [f"{name}.png" for name in pictures]
    printed = capsys.readouterr().out
    assert "PSNR" in printed
    assert "side-by-side.png" in printed
    original = read_image(tmp_path / "demo" / "original.png").pixels
    assert original.shape == (3, 512, 512)
    sheet = read_image(tmp_path / "demo" / "side-by-side.png").pixels
    assert sheet.shape[1] > 384
    assert sheet.shape[2] > 4 * 384


def test_demo_with_an_image_of_ones_own(photos: Path, tmp_path: Path, model: Path) -> None:
    out = tmp_path / "demo"
    assert run("demo", "-o", out, "-m", model, "--input", photos / "b.jpg", "--seed", 3) == 0
    assert read_image(out / "restored.png").pixels.shape == (3, 45, 33)
