"""The checks of ``ugpnet check-task``: does a task keep :class:`ugpnet_core.protocols.Task`?"""

from __future__ import annotations

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
from ugpnet_core.testing.report import Outcome, Report, failing, passed, require
from ugpnet_core.testing.running import Check, Suite
from ugpnet_core.testing.surroundings import changed_setting, seed_all, settings

# Squares, flat and tall ones, sides that no scale divides, and one of a pixel.
SIZES = ((64, 64), (33, 50), (47, 20), (16, 16), (1, 1))
# By how much the mean of a flat image may move that is said to keep its colours.
KEPT = 0.02
DRAWS = 24
PAIRED = Outcome("not applicable", "its images come degraded")


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
        return _subject_of_name(what, options)
    if options:
        raise ConfigError("Options belong to the name of a task; give them to your own call.")
    if isinstance(what, TaskSubject):
        return what
    name = getattr(what, "__name__", getattr(what, "name", type(what).__name__))
    if hasattr(what, "scale") and not isinstance(what, type):
        return TaskSubject(name=str(name), make=lambda: what)
    if callable(what):
        return TaskSubject(name=str(name), make=what)
    raise ConfigError(
        f"A {type(what).__name__} cannot be checked; give the name of a task, a task, or a "
        "function that makes one."
    )


def _subject_of_name(name: str, options: dict[str, Any]) -> TaskSubject:
    try:
        entry = find(TaskEntry, name).entry
        is_default = validate_options(entry, options) == validate_options(entry, {})
    except UnknownNameError:
        raise
    except PluginError:
        entry, is_default = None, True  # check_builds says why
    return TaskSubject(
        name=name, make=lambda: create_task(name, **options), entry=entry, is_default=is_default
    )


def picture(height: int, width: int, seed: int = 0) -> Tensor:
    """A smooth picture with some noise, float32 (3, height, width) in [0, 1]."""
    rng = torch.Generator().manual_seed(seed)
    small = torch.rand(1, 3, 4, 4, generator=rng)
    smooth = torch.nn.functional.interpolate(small, (height, width), mode="bilinear")[0]
    return (smooth + 0.1 * torch.randn(3, height, width, generator=rng)).clamp(0, 1)


def _pair(task: Task, image: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    """x_gt and x of a copy of an image; a task that breaks its contract is a failure."""
    with failing(f"On {tuple(image.shape)}"):
        return pair(task, image.clone(), rng_for(seed, "check"))


def check_builds(subject: TaskSubject) -> Outcome:
    """The factory makes a task: something to call, with a name and a scale."""
    with failing("It cannot be made"):
        task = subject.make()
    declared = subject.entry.scale if subject.entry and subject.is_default else None
    said = f"The entry says scale={declared} and the task {task.scale}; make them equal, or declare"
    require(declared in (None, task.scale), f"{said} None where options decide.")
    return passed(f"{task.name}, scale {task.scale}")


def check_results(subject: TaskSubject) -> Outcome:
    """Images of any size, flat ones, too, give float32 (3, ceil(H / scale), ceil(W / scale)) in
    [0, 1]."""
    task = subject.make()
    if isinstance(task, Paired):
        return PAIRED
    for height, width in SIZES:
        for seed in range(3):
            _pair(task, picture(height, width, seed), seed)
    for level in (0.0, 0.5, 1.0):
        _pair(task, torch.full((3, 32, 32), level))
    return passed(", ".join(f"{height}x{width}" for height, width in SIZES))


def check_determinism(subject: TaskSubject) -> Outcome:
    """The same image and rng give the same result: from no other generator, after other images, of
    a new task and of a copy for another process."""
    task, image = subject.make(), picture(40, 48)
    if isinstance(task, Paired):
        return PAIRED
    seed_all(0)
    before = random_states()
    first = _pair(task, image)[1]
    drawn = changed_states(before)
    require(not drawn, f"It draws from the global generator of {drawn}; draw from rng only.")
    seed_all(1)

    def compare(when: str, one: Task) -> None:
        same = torch.equal(first, _pair(one, image)[1])
        said = f"{when} the same image with the same rng gives another result; draw from rng only,"
        require(same, f"{said} and keep nothing but attributes from call to call.")

    compare("The next time", task)
    _pair(task, picture(24, 32, seed=5), seed=5)
    compare("After another image", task)
    compare("Of a new task with the same options", subject.make())
    with failing("It cannot be pickled", "keep no lambdas or open files as attributes"):
        copy = pickle.loads(pickle.dumps(task))
    compare("Of a pickled copy, as loader processes (data.workers) have them,", copy)
    return passed("drawn from rng only")


def check_global_settings(subject: TaskSubject) -> Outcome:
    """Torch's settings for the whole process (gradient mode, number of threads) stay as they
    are."""
    task, before = subject.make(), settings()
    if not isinstance(task, Paired):
        _pair(task, picture(24, 32))
    changed = changed_setting(before)
    require(not changed, f"It changes torch's {changed} for the whole process; leave it as it is.")
    return passed("left as they are")


def check_pairing(subject: TaskSubject) -> Outcome:
    """Of a task that says what is wanted back, a call gives the degraded image of the pair."""
    task, image = subject.make(), picture(40, 48)
    if not isinstance(task, PairingTask):
        return Outcome("not applicable", "what is wanted back is the image itself")
    for seed in range(0 if isinstance(task, Paired) else 4):
        same = torch.equal(task(image.clone(), rng_for(seed, "check")), _pair(task, image, seed)[1])
        require(same, "A call gives something else than pair; let it return pair(...)[1].")
    return passed("a call gives what pair gives")


def check_colours(subject: TaskSubject) -> Outcome:
    """Where the entry does not say that colours move, the mean of a flat image stays."""
    entry, task = subject.entry, subject.make()
    if isinstance(task, Paired):
        return PAIRED
    if entry is None or entry.moves_colours:
        return Outcome("not declared", "colours may move")
    for level in (0.1, 0.5, 0.9):
        pairs = [_pair(task, torch.full((3, 48, 48), level), seed) for seed in range(DRAWS)]
        moved = sum(float(x.mean() - clean.mean()) for clean, x in pairs) / DRAWS
        said = f"A flat image of {level} becomes {moved:+.3f} brighter on average; declare"
        require(abs(moved) <= KEPT, f"{said} moves_colours=True, or keep its mean.")
    return passed("flat images keep their mean")


_RUNS = ("builds", "results")
TASK_SUITE = Suite(
    "task",
    (
        Check(check_builds),
        Check(check_results, ("builds",)),
        Check(check_determinism, _RUNS),
        Check(check_global_settings, _RUNS),
        Check(check_pairing, (*_RUNS, "determinism")),
        Check(check_colours, _RUNS),
    ),
    task_subject_of,
)
task_check_names = TASK_SUITE.names


def check_task(what: Any, **options: Any) -> Report:
    """Run every check on a task, and never stop at one that fails; arguments and errors as
    :func:`task_subject_of`."""
    return TASK_SUITE.run(task_subject_of(what, **options))
