"""Standard input and output, and names that look like them."""

from __future__ import annotations

import errno
import io
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.batches import degrade, make, names, run


class Full(io.BytesIO):
    """A disk that takes nothing more."""

    def write(self, content: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


class Stream(io.TextIOWrapper):
    """Standard input or output as a pipe has it."""

    def __init__(self, content: bytes = b"", *, full: bool = False) -> None:
        self.bytes = Full() if full else io.BytesIO(content)
        super().__init__(self.bytes, encoding="utf-8")

    def content(self) -> bytes:
        self.flush()
        return self.bytes.getvalue()


@pytest.mark.parametrize(("ext", "expected"), [((), "JPEG"), (("--ext", "png"), "PNG")])
def test_standard_input_and_output(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ext: tuple[str, ...],
    expected: str,
    model: Path,
) -> None:
    source = make(tmp_path, "a.jpg") / "a.jpg"
    monkeypatch.setattr(sys, "stdin", Stream(source.read_bytes()))
    out = Stream()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        assert run("restore", "-", "-o", "-", "-m", model, *ext) == 0
    picture = Image.open(io.BytesIO(out.content()))
    assert (picture.format, picture.size) == (expected, (8, 8))
    printed = capsys.readouterr().err
    assert "1 of 1 images restored: standard output" in printed
    assert "note: standard-input: its noise" in printed
    assert names(tmp_path) == ["a.jpg"]


def test_an_empty_name_is_not_the_present_folder(
    trip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(trip)
    for arguments in (("", "-o", "out"), ("-i", "", "-o", "out"), ("1.png", "-o", "")):
        assert degrade(*arguments) == 2
        assert "an empty name; give a file or a folder." in capsys.readouterr().err
    assert names(trip) == ["1.png", "2.png", "3.png"]


def test_a_file_that_is_called_like_standard_input(
    trip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (trip / "1.png").rename(trip / "-")
    monkeypatch.chdir(trip)
    assert degrade("./-", "-o", tmp_path / "out") == 0
    assert names(tmp_path / "out") == ["-.png"]


def test_streams_that_are_closed_or_full(
    trip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name, arguments, status, word in [
        ("stdin", ("-", "-o", tmp_path / "a.png"), 2, "input is closed; pipe"),
        ("stdout", (trip / "1.png", "-o", "-"), 2, "output is closed; add"),
        ("stdout", (trip / "1.png", "-o", tmp_path / "b.png"), 0, ""),
        ("stderr", (trip, "-o", tmp_path / "c"), 0, ""),
    ]:
        with monkeypatch.context() as patch:
            patch.setattr(sys, name, None)
            assert degrade(*arguments) == status
        assert word in capfd.readouterr().err
    assert names(tmp_path / "c") == names(trip)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Stream(full=True))
        assert degrade(trip / "1.png", "-o", "-") == 1
    printed = capfd.readouterr().err
    assert "error: standard output cannot be written to: No space left on device" in printed


def test_standard_input_into_a_folder_and_what_is_refused(
    trip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = (trip / "1.png").read_bytes()
    monkeypatch.setattr(sys, "stdin", Stream(data))
    assert degrade("-i", "-", trip / "2.png", "-o", tmp_path / "out") == 0
    assert names(tmp_path / "out") == ["2.png", "standard-input.png"]
    monkeypatch.setattr(sys, "stdin", Stream(data[:50]))
    assert degrade("-", "-o", tmp_path / "b.png") == 1
    assert "error: standard-input is" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", Stream())
    for arguments, word in [
        (("-", "-o", tmp_path / "c.png"), "is empty"),
        ((trip, "-o", "-"), "one picture"),
        ((trip / "1.png", trip / "2.png", "-o", "-"), "one picture"),
        ((trip / "1.png", "-o", "-", "--json"), "--json"),
    ]:
        assert degrade(*arguments) != 0
        assert word in capsys.readouterr().err
