"""How far something is: a bar in a terminal, lines in a log."""

from __future__ import annotations

import re
import time

import pytest

from ugpnet_core import progress
from ugpnet_core.progress import Bar, duration, watched


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE_SECONDS", -1.0)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")


def test_waiting_is_shown_after_two_seconds_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with Bar("Reading", 40) as bar:
        for second in range(39):
            clock[0] = 100.0 + second
            bar.advance()
    assert capsys.readouterr().err.splitlines() == [
        "Reading: 3 of 40, 25 s left",
        "Reading: 18 of 40, 21 s left",
        "Reading: 33 of 40, 7 s left",
    ]


def test_items_pass_and_the_last_needs_no_line(
    capsys: pytest.CaptureFixture[str], at_once: None
) -> None:
    assert list(watched(iter("abc"), 3, "Reading")) == ["a", "b", "c"]
    assert [line[:15] for line in capsys.readouterr().err.splitlines()] == ["Reading: 1 of 3"]
    assert list(watched(iter("a"), 1, "Reading")) == ["a"]
    list(watched(iter("abc"), 3, "Reading", quiet=True))
    assert capsys.readouterr().err == ""


def test_parts_have_steps_of_their_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, at_once: None
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_SECONDS", 0.0)
    with Bar() as bar:
        for part, total in (("one", 2), ("[b]two", 3)):
            for done in range(total + 1):
                bar(part, done, total)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in lines] == [
        "one: 1 of 2",
        "[b]two: 1 of 3",
        "[b]two: 2 of 3",
    ]


def test_a_terminal_has_a_bar_and_what_is_said_above_it(
    capsys: pytest.CaptureFixture[str], terminal: None, at_once: None
) -> None:
    with Bar("[i]Reading", 3) as bar:
        bar.update(2)
        bar.say("error: [b]gone")
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)
    assert "error: [b]gone\n" in shown
    assert re.search(r"\[i\]Reading .*2/3 ", shown)
    assert "2 of 3" not in shown


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min"), (3599, "1 h 0 min"), (12480, "3 h 28 min")],
)
def test_durations_read_well(seconds: float, words: str) -> None:
    assert duration(seconds) == words
