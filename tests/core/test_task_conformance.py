"""The checks of tasks: those that are there keep every promise, and others break one each."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ugpnet_core.errors import ConfigError, UnknownNameError
from ugpnet_core.plugins import Installed, TaskEntry
from ugpnet_core.testing import check_task, task_check_names


class Good:
    """A little noise."""

    name = "good"
    scale = 1

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Any:
        noise = torch.from_numpy(rng.standard_normal(image.shape)).float()
        return (image + 0.01 * noise).clamp(0, 1)


class Global(Good):
    def __call__(self, image: Tensor, rng: np.random.Generator) -> Any:
        return image * random.random()


class Counting(Good):
    calls = 0

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Any:
        self.calls += 1
        return image / (1 + self.calls % 2)


class Reseeded(Good):
    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Any:
        return image * float(self.rng.random())


class Wide(Good):
    def __call__(self, image: Tensor, rng: np.random.Generator) -> Any:
        return 2 * image


class RoundedDown(Good):
    scale = 2

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Any:
        height, width = image.shape[-2:]
        return image[:, : height // 2 * 2 : 2, : width // 2 * 2 : 2]


class Unpicklable(Good):
    def __init__(self) -> None:
        self.change: Callable[[Tensor], Tensor] = lambda image: image

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Any:
        return self.change(image)


class DividesByLevel(Good):
    def __call__(self, image: Tensor, rng: np.random.Generator) -> Any:
        return image / image.amax()


class Darker(Good):
    def __call__(self, image: Tensor, rng: np.random.Generator) -> Any:
        return 0.8 * image


class Learning(Good):
    def __call__(self, image: Tensor, rng: np.random.Generator) -> Any:
        return image * torch.ones((), requires_grad=True)


class WithoutGradients(Good):
    def __call__(self, image: Tensor, rng: np.random.Generator) -> Any:
        torch.set_grad_enabled(False)
        return image.clone()


class Threads(Good):
    def __init__(self) -> None:
        torch.set_num_threads(torch.get_num_threads() + 1)


class OtherPair(Good):
    def pair(self, image: Tensor, rng: np.random.Generator) -> Any:
        return image, image.flip(-1)


def raising() -> Any:
    raise OSError("no such file")


def test_a_good_task_passes_every_check() -> None:
    report = check_task(Good())
    assert report.ok
    assert tuple(result.name for result in report.results) == task_check_names()
    assert str(report["results"].message).startswith("64x64")
    assert check_task(Good).ok  # a function that makes one


@pytest.mark.parametrize(
    ("task", "check", "message"),
    [
        (raising, "builds", "It cannot be made: OSError: no such file"),
        (Wide(), "results", "returns values from"),
        (RoundedDown(), "results", r"On \(3, 33, 50\): .*\(3, 16, 25\) where \(3, 17, 25\)"),
        (DividesByLevel(), "results", "returns values from nan"),
        (Global(), "determinism", "draws from the global generator of random"),
        (Reseeded(), "determinism", "the same rng gives another result"),
        (Counting(), "determinism", "another result"),
        (Learning(), "results", "returns a tensor that requires a gradient"),
        (WithoutGradients(), "global_settings", "changes torch's gradient mode from True to False"),
        (Threads, "global_settings", "using the task changes torch's number of threads from"),
        (OtherPair(), "pairing", "A call gives something else than pair"),
        (Unpicklable(), "determinism", "It cannot be pickled"),
    ],
)
def test_each_fault_is_found_by_its_check(task: Any, check: str, message: str) -> None:
    report = check_task(task)
    first = report.failed[0]
    assert first.name == check
    assert re.search(message, first.message), first.message


def test_what_the_entry_says_is_checked(installed_plugins: Callable[..., Any]) -> None:
    name = f"{Darker.__module__}:Darker"
    entries = [
        TaskEntry(name="darker", description="x", factory=name),
        TaskEntry(name="darker-declared", description="x", factory=name, moves_colours=True),
        TaskEntry(name="smaller", description="x", factory=name, scale=2),
        TaskEntry(name="gone", description="x", factory="nowhere_at_all:Darker"),
    ]
    installed_plugins(*(Installed(entry, "mine", "1.0") for entry in entries))
    assert "declare moves_colours=True" in check_task("darker")["colours"].message
    assert check_task("darker-declared").ok
    assert "The entry says scale=2 and the task 1" in check_task("smaller")["builds"].message
    gone = check_task("gone")
    assert [result.name for result in gone.results] == ["builds"]  # nothing else can be said
    assert not gone.ok


def test_mistakes_of_the_caller() -> None:
    with pytest.raises(UnknownNameError):
        check_task("denoize")
    with pytest.raises(ConfigError, match="Options belong to the name"):
        check_task(Good(), sigma=1)
    with pytest.raises(ConfigError, match="A int cannot be checked"):
        check_task(3)


@pytest.mark.parametrize("name", ["denoise", "sr4", "photo", "paired"])
def test_the_tasks_that_are_there(name: str) -> None:
    check_task(name).raise_if_failed()
