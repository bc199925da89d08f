"""Batches while they run: progress, a stop and a way to go on, watched folders, pages."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pytest
import torch
from PIL import Image

from tests.cli.batches import COMMAND, make, many, names, run
from ugpnet_core import progress
from ugpnet_core.image import write_image
from ugpnet_core.inference.restorer import Restorer
from ugpnet_core.inference.watching import SETTLE_SECONDS


def test_ctrl_c_says_how_to_go_on(
    trip: Path,
    tmp_path: Path,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    call = Restorer.restore_levels
    calls = []

    def stopping(self: Restorer, levels: npt.NDArray[Any]) -> object:
        calls.append(levels)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return call(self, levels)

    out = tmp_path / "out"
    monkeypatch.setattr(Restorer, "restore_levels", stopping)
    assert run("restore", trip, "-o", out, "-m", model) == 130
    printed = capsys.readouterr().out
    assert "2 of 3 images restored" in printed
    assert "stopped as asked: the same command with --skip-existing goes on" in printed
    assert sorted(path.name for path in out.iterdir()) == ["1.png", "2.png"]
    assert run("restore", trip, "-o", out, "-m", model, "--skip-existing") == 0
    assert "1 of 3 images restored" in capsys.readouterr().out
    assert len(calls) == 4


def test_progress_without_a_terminal(
    tmp_path: Path,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_image(tmp_path / "large.png", torch.rand(3, 90, 90))
    make(tmp_path, "small.png")
    monkeypatch.setattr(progress, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(progress, "LINE_EVERY_SECONDS", 0.0)
    monkeypatch.setattr("ugpnet_core.cli.telling.LINE_EVERY_SECONDS", 0.0)
    assert run("restore", tmp_path / "large.png", "-o", tmp_path / "one.png", "-m", model) == 0
    alone = capsys.readouterr().err.splitlines()
    (total,) = {line.split(" of ")[1].split(",")[0] for line in alone if "Restoring" in line}
    assert int(total) > 9
    inputs = (tmp_path / "large.png", tmp_path / "small.png")
    assert run("restore", *inputs, "-o", tmp_path / "out", "-m", model) == 0
    lines = capsys.readouterr().err.splitlines()
    assert f"Restoring: image 1, 4 of {total} tiles" in lines
    assert any(line.startswith("Restoring: 1 of 2, ") for line in lines)


def test_each_result_is_told_while_the_next_picture_is_worked_on(
    trip: Path,
    tmp_path: Path,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    call = Restorer.restore_levels
    out = tmp_path / "out"
    told: list[list[str]] = []

    def slow(self: Restorer, levels: npt.NDArray[Any]) -> object:
        assert self.on_tile is not None
        lines: list[str] = []
        for part in range(100):
            self.on_tile(part, 100)
            lines += capsys.readouterr().out.splitlines()
            if len(lines) == min(len(told), 1):
                break
            time.sleep(0.05)
        told.append(lines)
        return call(self, levels)

    monkeypatch.setattr(Restorer, "restore_levels", slow)
    assert run("restore", trip, "-o", out, "-m", model, "--json") == 0
    told.append(capsys.readouterr().out.splitlines())
    names = [[Path(json.loads(line)["input"]).name for line in lines] for lines in told]
    assert names == [[], ["1.png"], ["2.png"], ["3.png"]]


@contextlib.contextmanager
def running(command: list[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that ends with the test, whatever the test finds.

    Ctrl-C stops it although the tests may run behind an ampersand, where shells have it ignored.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, **options) as process:
        signal.signal(signal.SIGINT, before)
        try:
            yield process
        finally:
            process.kill()


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "It did not happen within a minute."
        time.sleep(0.05)


def test_a_real_signal_stops_a_batch(tmp_path: Path) -> None:
    folder, out = many(tmp_path / "in", 400), tmp_path / "out"
    command = [*COMMAND, "degrade", str(folder), "-o", str(out), "-t", "denoise"]
    with running(command, stdout=subprocess.PIPE, text=True) as process:
        wait_for(lambda: out.is_dir() and len(list(out.iterdir())) > 3)
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    done = int(printed.split(" of 400 images")[0])
    assert 3 < done < 400
    assert "--skip-existing" in printed
    assert len(list(out.iterdir())) in (done, done + 1)  # whole files, none left half written
    for path in out.iterdir():
        Image.open(path).load()


def test_watching_a_folder(tmp_path: Path, model: Path) -> None:
    """A real process: what is there, what comes, what grows, and Ctrl-C."""
    folder, out = make(tmp_path / "in", "first.png"), tmp_path / "out"
    whole = (make(tmp_path, "late.png") / "late.png").read_bytes()
    command = [*COMMAND, "restore", str(folder), "-o", str(out), "-m", str(model), "--watch"]
    with running(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for((out / "first.png").is_file)
        with (folder / "late.png").open("wb") as file:
            for part in (whole[:50], whole[50:90], whole[90:]):
                file.write(part)
                file.flush()
                written = time.monotonic()
                time.sleep(0.8)
                taken = (out / "late.png").exists()
                # A busy machine may sleep so long that the file was quiet for long enough.
                assert not taken or time.monotonic() - written >= SETTLE_SECONDS
        wait_for((out / "late.png").is_file)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "2 of 2 images restored" in printed
    assert "Ctrl-C ends it" in errors
    assert "error" not in errors
    assert names(out) == ["first.png", "late.png"]


@pytest.mark.parametrize(
    ("name", "kind", "target", "frames"),
    [
        ("a.tif", "TIFF", "a.tif", 3),
        ("a.gif", "GIF", "a.png", 3),
        ("a.webp", "WEBP", "a.webp", 3),
        ("a.mpo", "MPO", "a.jpg", 1),
    ],
)
def test_pages_and_frames(
    tmp_path: Path,
    model: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    kind: str,
    target: str,
    frames: int,
) -> None:
    pictures = [Image.new("RGB", (9, 7), (80 * number, 99, 9)) for number in range(3)]
    source, out = tmp_path / name, tmp_path / "out"
    pictures[0].save(source, kind, save_all=True, append_images=pictures[1:])
    assert run("restore", source, "-o", out, "-m", model, "--save-all") == 0
    assert names(out) == sorted([target, "a_reg.png", "a_syn.png"])
    with Image.open(out / target) as made:
        assert getattr(made, "n_frames", 1) == frames
        for number in range(frames):
            made.seek(number)
            assert made.convert("RGB").size == (9, 7)
    assert ("this is the first" in capsys.readouterr().err) == (frames == 1)
