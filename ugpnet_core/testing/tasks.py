"""The checks of ``ugpnet check-task``: does a task keep :class:`ugpnet_core.protocols.Task`?"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ugpnet_core.degradations.held import changed_states, random_states
from ugpnet_core.degradations.paired import Paired
from ugpnet_core.degradations.pairing import pair
from ugpnet_core.errors import ConfigError, PluginError, UnknownNameError
from ugpnet_core.factory import create_task
from ugpnet_core.plugins import TaskEntry, find, validate_options
from ugpnet_core.protocols import PairingTask, Task
from ugpnet_core.seeding import rng_for
from ugpnet_core.testing.report import CheckFailed, Outcome, Report, in_words, passed
from ugpnet_core.testing.running import Check, Suite
from ugpnet_core.testing.surroundings import seed_all

# Squares, flat and tall ones, sides that no scale divides, and one of a pixel.
SIZES = ((64, 64), (33, 50), (47, 20), (16, 16), (1, 1))
# By how much the mean of a flat image may move that is said to keep its colours.
KEPT = 0.02
DRAWS = 24


@dataclass(frozen=True, kw_only=True)
class TaskSubject:
    """A task under check.

    Args:
        name: what messages call it.
        make: gives a new task with the same options at each call.
        entry: what is declared; None says nothing.
        is_default: whether it is made with the default options, which the entry's scale is of.
    """

    word: ClassVar[str] = "task"
    small: ClassVar[None] = None
    name: str
    make: Callable[[], Task]
    entry: TaskEntry | None = None
    is_default: bool = True


def task_subject_of(what: Any, **options: Any) -> TaskSubject:
    """Make a subject of the name of an installed task, of a task or a function that makes one, or
    of a subject, which stays as it is.

    Raises:
        UnknownNameError: no such task is installed.
        ConfigError: an option is unknown or impossible, or given where none can be.
    """
    if isinstance(what, str):
        entry = _entry(what)
        given = {} if entry is None else validate_options(entry, options)
        return TaskSubject(
            name=what,
            make=lambda: create_task(what, **options),
            entry=entry,
            is_default=entry is None or given == validate_options(entry, {}),
        )
    if options:
        raise ConfigError("Options belong to the name of a task; give them to your own call.")
    if isinstance(what, TaskSubject):
        return what
    if hasattr(what, "scale") and not isinstance(what, type):
        return TaskSubject(name=str(getattr(what, "name", type(what).__name__)), make=lambda: what)
    if callable(what):
        return TaskSubject(name=getattr(what, "__name__", type(what).__name__), make=what)
    raise ConfigError(
        f"A {type(what).__name__} cannot be checked; give the name of a task, a task, or a "
        "function that makes one."
    )


def _entry(name: str) -> TaskEntry | None:
    try:
        return find(TaskEntry, name).entry
    except UnknownNameError:
        raise
    except PluginError:
        return None  # check_builds says why


def picture(height: int, width: int, seed: int = 0) -> Tensor:
    """A smooth picture with some noise, float32 (3, height, width) in [0, 1]."""
    rng = torch.Generator().manual_seed(seed)
    small = torch.rand(1, 3, 4, 4, generator=rng)
    smooth = torch.nn.functional.interpolate(small, (height, width), mode="bilinear")[0]
    return (smooth + 0.1 * torch.randn(3, height, width, generator=rng)).clamp(0, 1)


def made(task: Task, image: Tensor, seed: int = 0) -> Tensor:
    """What a task makes of a copy of an image; one that breaks its contract is a failure."""
    return both(task, image, seed)[1]


def both(task: Task, image: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    """x_gt and x of a copy of an image, likewise."""
    try:
        return pair(task, image.clone(), rng_for(seed, "check"))
    except PluginError as error:
        raise CheckFailed(f"On {tuple(image.shape)}: {error}") from error


def check_builds(subject: TaskSubject) -> Outcome:
    """The factory makes a task: something to call, with a name and a scale."""
    try:
        task = subject.make()
    except Exception as error:
        raise CheckFailed(f"It cannot be made: {in_words(error)}.") from error
    declared = None if subject.entry is None or not subject.is_default else subject.entry.scale
    if declared is not None and declared != task.scale:
        raise CheckFailed(
            f"The entry says scale={declared} and the task {task.scale}; make them equal, or "
            "declare None where options decide."
        )
    return passed(f"{task.name}, scale {task.scale}")


def degrading(check: Callable[[TaskSubject], Outcome]) -> Callable[[TaskSubject], Outcome]:
    """A check that means nothing for a task that degrades nothing itself."""

    @functools.wraps(check)
    def checked(subject: TaskSubject) -> Outcome:
        if isinstance(subject.make(), Paired):
            return Outcome("not applicable", "its images come degraded")
        return check(subject)

    return checked


@degrading
def check_results(subject: TaskSubject) -> Outcome:
    """Images of any size give float32 (3, ceil(H / scale), ceil(W / scale)) in [0, 1]."""
    task = subject.make()
    for height, width in SIZES:
        for seed in range(3):
            made(task, picture(height, width, seed), seed)
    return passed(", ".join(f"{height}x{width}" for height, width in SIZES))


@degrading
def check_plain_images(subject: TaskSubject) -> Outcome:
    """Black, white and grey images give such results, too."""
    task = subject.make()
    for level in (0.0, 0.5, 1.0):
        made(task, torch.full((3, 32, 32), level))
    return passed("black, grey and white")


@degrading
def check_own_randomness(subject: TaskSubject) -> Outcome:
    """The same image and rng give the same result, and no global generator is drawn from."""
    task, image = subject.make(), picture(40, 48)
    seed_all(0)
    before = random_states()
    first = made(task, image)
    drawn = changed_states(before)
    if drawn:
        raise CheckFailed(f"It draws from the global generator of {drawn}; draw from rng only.")
    seed_all(1)
    if not torch.equal(first, made(task, image)):
        raise CheckFailed(
            "The same image with the same rng gives another result; draw from rng only, and keep "
            "nothing from call to call."
        )
    return passed("drawn from rng only")


@degrading
def check_hidden_state(subject: TaskSubject) -> Outcome:
    """Nothing is remembered from earlier images."""
    task, image = subject.make(), picture(40, 48)
    first = made(task, image)
    made(task, picture(24, 32, seed=5), seed=5)
    if not torch.equal(first, made(task, image)):
        raise CheckFailed("After another image the first gives another result; remember nothing.")
    if not torch.equal(first, made(subject.make(), image)):
        raise CheckFailed("A new task with the same options gives another result.")
    return passed("the same after other images, and of a new task")


@degrading
def check_pairing(subject: TaskSubject) -> Outcome:
    """Of a task that says what is wanted back, a call gives the degraded image of the pair."""
    task, image = subject.make(), picture(40, 48)
    if not isinstance(task, PairingTask):
        return Outcome("not applicable", "what is wanted back is the image itself")
    for seed in range(4):
        called = task(image.clone(), rng_for(seed, "check"))
        if not torch.equal(called, both(task, image, seed)[1]):
            raise CheckFailed("A call gives something else than pair; let it return pair(...)[1].")
    return passed("a call gives what pair gives")


@degrading
def check_pickling(subject: TaskSubject) -> Outcome:
    """A copy for another process gives the same: loader processes (data.workers) have copies."""
    task, image = subject.make(), picture(40, 48)
    try:
        copy = pickle.loads(pickle.dumps(task))
    except Exception as error:
        raise CheckFailed(
            f"It cannot be pickled ({in_words(error)}); no lambdas or open files as attributes."
        ) from error
    if not torch.equal(made(task, image), made(copy, image)):
        raise CheckFailed("A pickled copy gives another result; keep all it needs as attributes.")
    return passed("a copy gives the same")


@degrading
def check_colours(subject: TaskSubject) -> Outcome:
    """Where the entry does not say that colours move, the mean of a flat image stays."""
    entry, task = subject.entry, subject.make()
    if entry is None or entry.moves_colours:
        return Outcome("not declared", "colours may move")
    for level in (0.1, 0.5, 0.9):
        flat = torch.full((3, 48, 48), level)
        pairs = [both(task, flat, seed) for seed in range(DRAWS)]
        moved = torch.stack([(x.mean() - clean.mean()) for clean, x in pairs]).mean()
        if abs(float(moved)) > KEPT:
            raise CheckFailed(
                f"A flat image of {level} becomes {float(moved):+.3f} brighter on average; declare "
                "moves_colours=True, or its restorations keep the wrong colours."
            )
    return passed("flat images keep their mean")


_RUNS = ("builds", "results")
TASK_CHECKS: tuple[Check, ...] = (
    Check(check_builds),
    Check(check_results, ("builds",)),
    Check(check_plain_images, _RUNS),
    Check(check_own_randomness, _RUNS),
    Check(check_hidden_state, (*_RUNS, "own_randomness")),
    Check(check_pairing, (*_RUNS, "own_randomness")),
    Check(check_pickling, (*_RUNS, "own_randomness")),
    Check(check_colours, _RUNS),
)
TASK_SUITE = Suite("task", TASK_CHECKS, task_subject_of)
task_check_names = TASK_SUITE.names


def check_task(what: Any, **options: Any) -> Report:
    """Run every check on a task, and never stop at one that fails; arguments and errors as
    :func:`task_subject_of`."""
    return TASK_SUITE.run(task_subject_of(what, **options))
