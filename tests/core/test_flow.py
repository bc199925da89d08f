"""Reading, networks and writing beside each other: in order, bounded, and whatever goes wrong."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ugpnet_core.errors import ImageError
from ugpnet_core.image import ImageFile, read_image, write_image
from ugpnet_core.inference import flow
from ugpnet_core.inference.flow import Flow, Made
from ugpnet_core.inference.outputs import Job, plan
from ugpnet_core.inference.turn import Result, Work

PATIENCE = 30


class Steps:
    """Copies pictures, and takes down what begins and ends; ``before`` is called within a step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[str] = []
        self.before: dict[str, Callable[[], object]] = {}
        monkeypatch.setattr(flow, "read_image", self.read)

    def read(self, path: Path) -> ImageFile:
        self._step(f"read {path.stem}")
        photo = read_image(path)
        self.seen.append(f"{path.stem} is read")
        return photo

    def make(self, job: Job, photo: ImageFile) -> Made:
        self._step(f"make {job.source.stem}")

        def write() -> None:
            self._step(f"write {job.source.stem}")
            write_image(job.target, photo.pixels)
            self.seen.append(f"{job.source.stem} is written")

        return Made(write, Work((f"of {job.name}",)))

    def _step(self, name: str) -> None:
        self.seen.append(name)
        self.before.get(name, bool)()


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    return Steps(monkeypatch)


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    for name in "abcde":
        write_image(tmp_path / "in" / f"{name}.png", torch.full((3, 5, 7), 0.5))
    return plan([tmp_path / "in"], tmp_path / "out")


def written(jobs: list[Job]) -> list[str]:
    return sorted(path.name for path in jobs[0].target.parent.iterdir())


def raising(error: BaseException) -> Callable[[], object]:
    def fail() -> None:
        raise error

    return fail


def full() -> None:
    try:
        raise OSError(errno.ENOSPC, "No space left on device")
    except OSError as error:
        raise ImageError("b.png cannot be written: no space left on device.") from error


def test_results_come_in_order_and_each_error_is_that_of_its_file(
    steps: Steps, jobs: list[Job]
) -> None:
    jobs[1].source.write_bytes(b"no image")
    steps.before = {
        "make c": raising(RuntimeError("of the network")),
        "write d": raising(ImageError("d is refused.")),
    }
    results = list(Flow(jobs, steps.make))
    assert [result.job for result in results] == jobs
    errors = [result.error or "" for result in results]
    assert errors[0] == errors[4] == ""
    assert "b.png is not an image" in errors[1]
    assert errors[2].endswith("c.png: RuntimeError: of the network")
    assert errors[3] == "d is refused."
    assert [result.notices for result in results] == [("of a.png",), (), (), (), ("of e.png",)]
    assert written(jobs) == ["a.png", "e.png"]


def test_the_next_is_read_and_the_last_one_written_meanwhile(steps: Steps, jobs: list[Job]) -> None:
    makes_b, reads_c, writes_a = (threading.Event() for _ in range(3))

    def make_b() -> None:
        makes_b.set()
        assert reads_c.wait(PATIENCE), "c is not read while b is in the networks."
        assert writes_a.wait(PATIENCE), "a is not written while b is in the networks."

    def write_a() -> None:
        writes_a.set()
        assert makes_b.wait(PATIENCE), "b waits for a to be written."

    steps.before = {"make b": make_b, "write a": write_a, "read c": reads_c.set}
    assert [result.error for result in Flow(jobs, steps.make)] == [None] * 5


def test_no_more_than_one_is_read_ahead_and_one_being_written(
    steps: Steps, jobs: list[Job]
) -> None:
    taken: list[str] = []

    def watched() -> Any:
        for job in jobs:
            taken.append(job.name)
            yield job

    open_at_once = []

    def count() -> None:
        begun = sum(name.startswith("read") for name in steps.seen)
        ended = sum(name.endswith("written") for name in steps.seen)
        open_at_once.append(begun - ended)

    steps.before = {f"{step} {name}": count for step in ("read", "make") for name in "abcde"}
    results = Flow(watched(), steps.make)
    assert next(results).job == jobs[0]
    assert len(taken) <= 3
    list(results)
    assert max(open_at_once) <= 3


@pytest.mark.parametrize("large", ["by itself", "by its growth", "for what is free"])
def test_large_pictures_have_the_memory_for_themselves(
    steps: Steps, jobs: list[Job], monkeypatch: pytest.MonkeyPatch, large: str
) -> None:
    needed = 5 * 7 * 22  # docs/restoring.md: bytes of a pixel that is read
    size = jobs[0].source.stat().st_size
    growth = 1
    if large == "by itself":
        monkeypatch.setattr(flow, "BESIDE", needed)
    elif large == "by its growth":
        monkeypatch.setattr(flow, "BESIDE", needed * 3 + size)
        growth = 4
    else:
        monkeypatch.setattr(flow, "free_memory", lambda: 4 * needed)
    list(Flow(jobs, steps.make, growth=growth))
    order = [("read {}", "{} is read", "make {}", "write {}", "{} is written")] * 5
    expected = [
        step.format(name) for name, each in zip("abcde", order, strict=True) for step in each
    ]
    assert steps.seen == expected


def test_what_has_no_memory_beside_another_is_read_again_in_its_turn(
    steps: Steps, jobs: list[Job]
) -> None:
    failures = iter([MemoryError()])

    def once() -> None:
        for error in failures:
            raise error

    steps.before = {"read b": once}
    assert [result.error for result in Flow(jobs, steps.make)] == [None] * 5
    seen = steps.seen
    assert seen.count("read b") == 2
    assert seen.index("a is written") < seen.index("make b")


def test_a_full_disk_ends_it_with_the_result_that_met_it(steps: Steps, jobs: list[Job]) -> None:
    steps.before = {"write b": full}
    results = list(Flow(jobs, steps.make))
    assert [result.job for result in results] == jobs[:2]
    assert [result.no_room for result in results] == [False, True]
    assert written(jobs) == ["a.png"]
    assert "make d" not in steps.seen


def test_a_full_disk_ends_it_before_a_large_picture(
    steps: Steps, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = [True, True, False]
    monkeypatch.setattr(flow, "_fits_beside", lambda job, growth: small.pop(0))
    steps.before = {"write b": full}
    assert [result.no_room for result in Flow(jobs, steps.make)] == [False, True]
    assert "read c" not in steps.seen


@pytest.mark.parametrize("step", ["make c", "make e"])
def test_a_stop_lets_the_last_one_be_written_and_told(
    steps: Steps, jobs: list[Job], step: str
) -> None:
    begun = threading.Event()
    steps.before = {
        step: raising(KeyboardInterrupt()),
        # It is still being written when the stop comes.
        f"write {chr(ord(step[-1]) - 1)}": lambda: begun.wait(0.2),
    }
    results: list[Result] = []
    with pytest.raises(KeyboardInterrupt):
        results.extend(Flow(jobs, steps.make))
    # extend() keeps what came before the error.
    done = jobs[: "abcde".index(step[-1])]
    assert [result.job for result in results] == done
    assert written(jobs) == [job.target.name for job in done]


def test_a_result_can_be_had_while_the_next_one_is_worked_on(steps: Steps, jobs: list[Job]) -> None:
    results = Flow(jobs, steps.make)
    early: list[Result] = []

    def look() -> None:
        for _ in range(PATIENCE * 100):
            early.extend(results.finished())
            assert results.number == 2
            if early:
                return
            threading.Event().wait(0.01)

    steps.before = {"make b": look}
    later = list(results)
    assert [result.job for result in early] == jobs[:1]
    assert [result.job for result in later] == jobs[1:]
    assert not list(results.finished())


def test_a_full_disk_that_is_noticed_early_ends_it_too(steps: Steps, jobs: list[Job]) -> None:
    results = Flow(jobs, steps.make)
    early: list[Result] = []

    def look() -> None:
        while not early:
            early.extend(results.finished())

    steps.before = {"write b": full, "make c": look}
    assert [result.job for result in results] == jobs[:1]
    assert early[0].no_room
    assert written(jobs) == ["a.png"]


def test_what_is_there_is_skipped(steps: Steps, jobs: list[Job]) -> None:
    for number in (0, 2, 4):
        write_image(jobs[number].target, torch.zeros(3, 5, 7))
    results = list(Flow(jobs, steps.make, skip=()))
    assert [result.skipped for result in results] == [True, False, True, False, True]
    assert [name for name in steps.seen if name.startswith("read")] == ["read b", "read d"]


def test_a_file_that_is_none_is_its_own_error(steps: Steps, jobs: list[Job]) -> None:
    jobs[0].source.unlink()
    jobs[2].source.unlink()
    jobs[2].source.mkdir()
    errors = [result.error for result in Flow(jobs, steps.make)]
    assert [error is None for error in errors] == [False, True, False, True, True]
    assert not list(Flow([], steps.make))


def test_whoever_stops_asking_leaves_no_thread_and_no_half_file(
    steps: Steps, jobs: list[Job]
) -> None:
    before = threading.active_count()
    results = Flow(jobs, steps.make)
    next(results)
    results.close()
    assert threading.active_count() == before
    assert set(written(jobs)) <= {"a.png", "b.png"}
    for path in jobs[0].target.parent.iterdir():
        assert read_image(path).size == (5, 7)
