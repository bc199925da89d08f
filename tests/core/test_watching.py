"""Pictures that come into a folder one by one: taken when they are complete, and lost never."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ugpnet_core.errors import ConfigError
from ugpnet_core.inference import watching
from ugpnet_core.inference.outputs import Naming
from ugpnet_core.inference.watching import Arrival, Watch


class Clock:
    """Time that passes only in sleep; what happens meanwhile is told beforehand."""

    def __init__(self) -> None:
        self.now = 1e9
        self.events: list[object] = []

    def monotonic(self) -> float:
        return self.now

    time = monotonic

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if not self.events:
            raise TimeoutError
        event = self.events.pop(0)
        if callable(event):
            event()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(watching, "time", made)
    return made


def put(path: Path, shade: int = 0, at: float = 0.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((2, 2, 3), shade, np.uint8)).save(path)
    os.utime(path, (at, at))


def seen(watch: Iterator[Arrival]) -> list[Arrival]:
    """What arrives until no further event is planned; each gets a result."""
    found: list[Arrival] = []
    try:
        for arrival in watch:
            found.append(arrival)
            if not (arrival.skip_existing and arrival.job.target.exists()):
                put(arrival.job.target)
    except TimeoutError:
        return found
    raise AssertionError("It came to an end.")


def targets(arrivals: list[Arrival]) -> list[str]:
    return [arrival.job.target.name for arrival in arrivals]


def test_what_is_there_comes_first_and_keeps_its_result(tmp_path: Path, clock: Clock) -> None:
    put(tmp_path / "in" / "b.png", at=1)
    put(tmp_path / "in" / "a.png", at=2)
    (tmp_path / "in" / "notes.txt").write_text("no image")
    put(tmp_path / "out" / "a.png")
    found = seen(Watch([tmp_path / "in"], tmp_path / "out", Naming()).arrivals())
    assert targets(found) == ["b.png", "a.png"]
    assert all(arrival.skip_existing and not arrival.overwrite for arrival in found)


def test_a_file_is_taken_when_it_has_stopped_growing(tmp_path: Path, clock: Clock) -> None:
    source = tmp_path / "in" / "a.png"
    source.parent.mkdir()
    whole = tmp_path / "whole.png"
    put(whole)
    grown: list[float] = []

    def grow() -> None:
        with source.open("ab") as file:
            file.write(whole.read_bytes()[len(grown) * 20 : len(grown) * 20 + 20])
        os.utime(source, (clock.now, clock.now))
        grown.append(clock.now)

    clock.events = [source.touch, *[grow] * 4, None, None, None]
    arrival = next(Watch([tmp_path / "in"], tmp_path / "out", Naming()).arrivals())
    assert arrival.job.source == source
    assert clock.now - grown[-1] == watching.SETTLE_SECONDS
    assert not arrival.skip_existing


def test_a_new_file_of_an_old_name_loses_no_result(tmp_path: Path, clock: Clock) -> None:
    source = tmp_path / "in" / "scan.png"
    source.parent.mkdir()

    def rewrite() -> None:
        put(source, 9, at=clock.now)

    def scan_again() -> None:
        put(source, 5, at=clock.now)

    wait = [None] * 3
    clock.events = [scan_again, *wait, rewrite, *wait, source.unlink, None, scan_again, *wait]
    found = seen(Watch([tmp_path / "in"], tmp_path / "out", Naming()).arrivals())
    assert targets(found) == ["scan.png", "scan.png", "scan_2.png"]
    # The second is the same picture, written to again: its own result is replaced.
    assert [arrival.overwrite for arrival in found] == [False, True, False]


def test_a_drive_that_was_away_brings_nothing_new(tmp_path: Path, clock: Clock) -> None:
    put(tmp_path / "in" / "a.png", at=1)
    away = tmp_path / "away"
    clock.events = [
        lambda: (tmp_path / "in").rename(away),
        None,
        lambda: away.rename(tmp_path / "in"),
        *[None] * 3,
    ]
    found = seen(Watch([tmp_path / "in"], tmp_path / "out", Naming()).arrivals())
    assert targets(found) == ["a.png"]


@pytest.mark.parametrize(
    ("overwrite", "skip_existing", "expected"),
    [(False, False, "a_2.png"), (True, False, "a.png"), (False, True, "a.png")],
)
def test_results_of_others_stay_unless_told_otherwise(
    tmp_path: Path, clock: Clock, overwrite: bool, skip_existing: bool, expected: str
) -> None:
    (tmp_path / "in").mkdir()
    put(tmp_path / "out" / "a.png")
    clock.events = [lambda: put(tmp_path / "in" / "a.png"), *[None] * 3]
    watch = Watch(
        [tmp_path / "in"],
        tmp_path / "out",
        Naming(),
        overwrite=overwrite,
        skip_existing=skip_existing,
    )
    (arrival,) = seen(watch.arrivals())
    assert arrival.job.target.name == expected
    assert (arrival.overwrite, arrival.skip_existing) == (overwrite, skip_existing)


def test_subfolders_and_results_inside(tmp_path: Path, clock: Clock) -> None:
    for name in ("a.png", "sub/b.png", ".hidden/c.png", "out/d.png"):
        put(tmp_path / name, at=1)
    out = tmp_path / "out"
    assert targets(seen(Watch([tmp_path], out, Naming()).arrivals())) == ["a.png"]
    found = seen(Watch([tmp_path], out, Naming(), recursive=True).arrivals())
    assert [arrival.job.name for arrival in found] == ["a.png", "sub/b.png"]


def test_what_cannot_be_watched_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    for folder, out in [("a.png", "out"), (".", "."), (".", "x.png"), (".", "x.gif")]:
        with pytest.raises(ConfigError):
            Watch([tmp_path / folder], tmp_path / out, Naming())
