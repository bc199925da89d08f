"""Many files at once: nothing replaced unasked, nothing lost, and nothing left out in silence."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.cli.batches import degrade, make, many, names, run
from ugpnet_core.cli.failures import MANY
from ugpnet_core.image import read_image, write_image
from ugpnet_core.inference.restored import RestoredLevels
from ugpnet_core.inference.restorer import Restorer


def test_another_original_of_the_same_name_stays(
    trip: Path, tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    others = tmp_path / "photos"
    for name in ("1.png", "2.png"):
        write_image(others / name, torch.full((3, 8, 8), 0.2))
    before = {name: (others / name).read_bytes() for name in names(others)}
    assert run("restore", trip, "-o", others, "-m", model) == 2
    printed = capsys.readouterr().err
    assert f"{others / '1.png'}, {others / '2.png'} would be overwritten" in printed
    assert all(word in printed for word in ("--skip-existing", "--suffix", "--overwrite"))
    assert {name: (others / name).read_bytes() for name in names(others)} == before
    assert run("restore", trip, "-o", others, "-m", model, "--skip-existing", "--save-all") == 0
    # What was missing is made; what was there stays, although more of it was asked for.
    assert {name: (others / name).read_bytes() for name in before} == before
    assert set(names(others)) >= {"1_reg.png", "1_syn.png", "3.png"}
    assert run("restore", trip, "-o", others, "-m", model, "--suffix", "_restored") == 0
    assert (others / "1_restored.png").is_file()
    assert {name: (others / name).read_bytes() for name in before} == before
    assert run("restore", trip, "-o", others, "-m", model, "--overwrite") == 0
    assert all((others / name).read_bytes() != before[name] for name in before)


def test_only_a_few_of_many_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = many(tmp_path / "in", 9), many(tmp_path / "out", 9)
    assert degrade(folder, "-o", out) == 2
    assert "002.png and 6 more would be overwritten" in capsys.readouterr().err
    assert degrade(folder, "-o", out, "--skip-existing", "--overwrite") == 2
    assert "give one" in capsys.readouterr().err


def test_what_appears_in_the_middle_is_not_replaced(
    trip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"

    class Interfering:
        name, scale = "interfering", 1

        def __call__(self, clean: Tensor, rng: object) -> Tensor:
            make(out, "2.png")
            return clean.clone()

    monkeypatch.setattr("ugpnet_core.factory.create_task_at", lambda *_: Interfering())
    assert degrade(trip, "-o", out) == 1
    assert "2.png has come to exist meanwhile" in capsys.readouterr().err
    assert names(out) == ["1.png", "2.png", "3.png"]


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_a_link_to_something_else_in_the_place_of_a_result(
    trip: Path, tmp_path: Path, link: Callable[[Path, Path], None]
) -> None:
    other = make(tmp_path, "other.png") / "other.png"
    before = other.read_bytes()
    (tmp_path / "out").mkdir()
    link(other, tmp_path / "out" / "1.png")
    assert degrade(trip, "-o", tmp_path / "out") == 2
    assert degrade(trip, "-o", tmp_path / "out", "--overwrite") == 0
    assert other.read_bytes() == before
    assert read_image(tmp_path / "out" / "1.png").pixels.std() > 0.1


def test_results_beside_their_files_are_not_degraded_again(
    trip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("-o", trip, "--suffix", "_noisy")
    assert degrade(trip, *options) == 0
    made = ["1.png", "1_noisy.png", "2.png", "2_noisy.png", "3.png", "3_noisy.png"]
    assert names(trip) == made
    capsys.readouterr()
    assert degrade(trip, *options, "--skip-existing") == 0
    printed = capsys.readouterr()
    assert names(trip) == made
    assert "0 of 3 images degraded" in printed.out
    assert "left out: 3 earlier results" in printed.err
    assert degrade(*(trip / name for name in made), *options, "--overwrite") == 0
    assert names(trip) == made
    # Without a suffix there is no telling them apart, and inputs stay what they are.
    assert degrade(trip, "-o", trip, "--overwrite") == 2


def test_a_folder_of_results_inside_the_input(
    trip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for option in ("--skip-existing", "--overwrite"):
        assert degrade(trip, "-r", "-o", trip / "noisy", option) == 0
        assert names(trip / "noisy") == ["1.png", "2.png", "3.png"]
    assert "left out: 1 folder of results" in capsys.readouterr().err


def test_one_format_for_all(tmp_path: Path) -> None:
    folder = make(tmp_path / "in", "a.jpg", "a.png", "b.tif", "IMG_1.2.jpg")
    Image.new("RGB", (8, 8)).save(folder / "c.gif")
    Image.new("RGB", (8, 8)).save(folder / "scan.0012", "JPEG")
    out = tmp_path / "out"
    assert degrade(folder, "-o", out, "--ext", "WebP", "--suffix", "-x") == 0
    assert names(out) == sorted(
        ["IMG_1.2-x.webp", "a-x.webp", "a-x_2.webp", "b-x.webp", "c-x.webp", "scan.0012-x.webp"]
    )
    assert {Image.open(path).format for path in out.iterdir()} == {"WEBP"}


def test_quality(tmp_path: Path, model: Path) -> None:
    source = make(tmp_path, "a.png") / "a.png"
    write_image(source, torch.rand(3, 40, 40))
    sizes = {}
    for quality in (10, 95):
        target = tmp_path / f"{quality}.jpg"
        options = ("-m", model, "--quality", quality, "--fidelity", 1)
        assert run("restore", source, "-o", target, *options) == 0
        sizes[quality] = Image.open(target).quantization[0][0]  # type: ignore[attr-defined]
    assert sizes[10] > sizes[95]


@pytest.mark.parametrize(
    ("out", "options", "words"),
    [
        ("x.gif", (), [".gif cannot be written", ".png", ".jpg", ".tif"]),
        ("x.HEIC", (), ["cannot be written"]),
        ("x.png", (), ["is a name for the result of one file"]),
        ("out", ("--ext", "gif"), [".gif cannot be written", ".webp"]),
        ("out", ("--suffix", "a/b"), ["cannot be part of a file's name"]),
        ("file", (), ["is no folder"]),
        ("file/deep/er", (), ["is no folder"]),
    ],
)
def test_places_that_cannot_be(
    trip: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    out: str,
    options: tuple[str, ...],
    words: list[str],
) -> None:
    (tmp_path / "file").touch()
    before = names(tmp_path)
    assert degrade(trip, "-o", tmp_path / out, *options) == 2
    printed = capsys.readouterr().err
    assert all(word in printed for word in words), printed
    assert names(tmp_path) == before
    assert not (tmp_path / "x.gif").exists()


def test_one_file_into_a_format_that_is_not_written(
    trip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert degrade(trip / "1.png", "-o", tmp_path / "x.gif") == 2
    assert ".png .jpg" in capsys.readouterr().err
    assert not (tmp_path / "x.gif").exists()
    assert degrade(trip / "1.png", "-o", tmp_path / "x.png", "--ext", "jpg") == 2


def test_a_place_that_cannot_be_written_into(
    trip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    assert degrade(trip, "-o", tmp_path / "out") == 1
    assert f"{tmp_path} cannot be written into: Permission denied" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


class Usage(NamedTuple):
    free: int


def test_room_on_the_disk(
    trip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    need = sum((trip / name).stat().st_size for name in names(trip))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(need // 20))
    assert degrade(trip, "-o", tmp_path / "out") == 1
    assert "make room" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(need // 2))
    assert degrade(trip, "-o", tmp_path / "out") == 0
    assert "the results may need" in capsys.readouterr().err
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0))
    assert degrade(trip, "-o", tmp_path / "out", "--skip-existing") == 0


def test_a_disk_that_is_full_in_the_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = many(tmp_path / "in", 5), tmp_path / "out"
    replace = os.replace

    def fill(source: Path, target: Path) -> None:
        if Path(target).name == "002.png":
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fill)
    assert degrade(folder, "-o", out) == 1
    printed = capsys.readouterr()
    assert "2 of 5 images degraded" in printed.out
    assert "stopped as the disk is full: make room, and the same command with" in printed.out
    assert sorted(path.name for path in out.iterdir()) == ["000.png", "001.png"]
    monkeypatch.undo()
    assert degrade(folder, "-o", out, "--skip-existing") == 0
    assert len(names(out)) == 5


def test_the_rest_is_done_where_some_cannot_be_read(
    trip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (trip / "itself.jpg").symlink_to("itself.jpg")
    (trip / "gone.jpg").symlink_to("nowhere")
    (trip / "text.jpg").write_text("no image")
    os.mkfifo(trip / "pipe.jpg")
    assert degrade(*sorted(trip.iterdir()), trip / "none.jpg", "-o", tmp_path / "out") == 1
    printed = capsys.readouterr()
    assert names(tmp_path / "out") == ["1.png", "2.png", "3.png"]
    assert "3 of 8 images degraded" in printed.out
    for name in ("itself.jpg", "gone.jpg", "text.jpg", "pipe.jpg", "none.jpg"):
        assert f"{trip / name}" in printed.out
        assert f"error: {trip / name}" in printed.err


def test_what_is_left_out_is_said(
    trip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(trip, "sub/4.png")
    (trip / "gone").symlink_to("nowhere")
    (trip / "letter.pdf").write_bytes(b"%PDF-1.7\n")
    shutil.copy(trip / "1.png", trip / "5.png.crdownload")
    (trip / "same.png").symlink_to("1.png")
    assert degrade(trip, "-o", tmp_path / "out") == 0
    assert (
        "left out: 1 PDF (cannot be read), 1 folder (--recursive), 1 broken link, "
        "1 link to another image, 1 unfinished download" in capsys.readouterr().err
    )
    assert degrade(trip / "sub" / "..", "-r", "-o", tmp_path / "all") == 0
    assert "(--recursive)" not in capsys.readouterr().err
    shutil.rmtree(trip)
    (trip / "sub").mkdir(parents=True)
    assert degrade(trip, "-o", tmp_path / "none") == 1
    assert "(left out: 1 folder (--recursive))" in capsys.readouterr().err


def test_pixels_that_a_format_cannot_hold_are_said(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grey, alpha = torch.full((3, 8, 8), 0.5), torch.ones(1, 8, 8)
    write_image(tmp_path / "in" / "deep.png", grey, bit_depth=16)
    write_image(tmp_path / "in" / "opaque.png", grey, alpha=alpha)
    write_image(tmp_path / "in" / "clear.png", grey, alpha=alpha / 2)
    arguments = ("restore", tmp_path / "in", "-m", model, "--ext")
    assert run(*arguments, "png", "-o", tmp_path / "a") == 0
    assert "bits" not in capsys.readouterr().err
    assert run(*arguments, "jpg", "-o", tmp_path / "b", "--strip-metadata") == 0
    printed = capsys.readouterr().err
    assert "deep.png: JPEG has 8 bits, and its are more." in printed
    assert "clear.png: JPEG has no transparency; what is transparent is laid on white." in printed
    assert printed.count("has no transparency") == printed.count("8 bits") == 1


def test_a_name_that_is_too_long_is_said_before_the_work(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make(tmp_path / "in", "a" * 251 + ".png", "b.png")
    worked: list[object] = []
    restore_levels = Restorer.restore_levels

    def counted(restorer: Restorer, image: npt.NDArray[Any]) -> RestoredLevels:
        worked.append(image)
        return restore_levels(restorer, image)

    monkeypatch.setattr(Restorer, "restore_levels", counted)
    assert run("restore", folder, "-o", tmp_path / "out", "-m", model, "--suffix", "_better") == 1
    assert "as its name is too long; choose a shorter one." in capsys.readouterr().err
    assert names(tmp_path / "out") == ["b_better.png"]
    assert len(worked) == 1


def test_lines_of_json(trip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = make(tmp_path / "out", "1.png")
    (trip / "2.png").write_bytes(b"broken")
    (trip / "x.pdf").write_bytes(b"%PDF-1.7\n")
    assert degrade(trip, "-o", out, "--json", "--skip-existing") == 1
    printed = capsys.readouterr()
    lines = {Path(line["input"]).name: line for line in map(json.loads, printed.out.splitlines())}
    status = {name: line["status"] for name, line in lines.items()}
    assert status == {
        "1.png": "skipped",
        "2.png": "failed",
        "3.png": "degraded",
        "x.pdf": "left out",
    }
    assert lines["3.png"]["output"] == str(out / "3.png")
    assert lines["2.png"]["output"] is None
    assert "2.png" in lines["2.png"]["error"]
    assert "1 of 3 images degraded" in printed.err


def test_many_failures_are_listed_in_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = make(tmp_path / "in", "good.png"), tmp_path / "out"
    for number in range(MANY + 5):
        (folder / f"{number:03}.png").write_bytes(b"broken")
    for path in (out / "failures.txt", out / "failures_2.txt"):
        assert degrade(folder, "-o", out, "--overwrite") == 1
        printed = capsys.readouterr()
        assert f"{MANY + 5} failed, listed in {path}" in printed.out
        assert printed.err.count("error:") == MANY
        lines = path.read_text(encoding="utf-8").splitlines()
        assert [line.split("\t")[0] for line in lines] == [
            str(folder / f"{number:03}.png") for number in range(MANY + 5)
        ]
        assert all("not an image" in line for line in lines)


def test_inputs_and_output_as_habit_has_them(trip: Path, tmp_path: Path) -> None:
    assert degrade("-i", trip / "1.png", "--output", tmp_path / "a.png") == 0
    options = ("--input", trip / "2.png", trip / "3.png", "--out", tmp_path / "out")
    assert degrade(*options) == 0
    assert names(tmp_path / "out") == ["2.png", "3.png"]
    assert degrade("-o", tmp_path / "none") == 2
