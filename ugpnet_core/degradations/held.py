"""Tasks held to their contract (:class:`ugpnet_core.protocols.Task`) while they are used, so that a
task that breaks it is named where it does and not by what fails later."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from ugpnet_core.errors import PluginError, UGPNetError
from ugpnet_core.plugins.discovery import describe_error
from ugpnet_core.protocols import PairingTask, Task
from ugpnet_core.seeding import rng_for

T = TypeVar("T")

TOLERANCE = 1e-3  # of the range: what rounding explains, and no image shows
LOOKED_AT = 16  # rows and columns of an image whose values are compared after a task had it


def run_task(task: Task, image: Tensor, rng: np.random.Generator) -> Tensor:
    """Degrade one image, float32 (3, H, W) in [0, 1], and look at what comes out.

    Raises:
        PluginError: the task fails, returns something else than
            float32 (3, ceil(H / scale), ceil(W / scale)) in [0, 1], or changes the image.
    """
    made = _kept(task, image, lambda: task(image, rng))
    check_degraded(task, image, made)
    return made


def run_pairing(
    task: PairingTask, image: Tensor, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """x_gt and x of one image, likewise.

    Raises:
        PluginError: as :func:`run_task`; x_gt has another size, type or range than the image.
    """
    made: object = _kept(task, image, lambda: task.pair(image, rng))
    if not isinstance(made, tuple) or len(made) != 2:
        raise _fault(task, f"gives {_kind(made)} as a pair where clean and degraded image belong")
    clean, degraded = made
    _check(task, clean, tuple(image.shape), "as clean image ")
    check_degraded(task, image, degraded)
    return clean, degraded


def rehearse_task(task: Task, side: int) -> None:
    """Run a task twice on an image of ``side`` pixels, which shows more than one run: for the
    beginning of what takes long, and one thread only.

    Raises:
        PluginError: as :func:`run_task`; or the task draws from somewhere else than its ``rng``.
    """
    side = max(side - side % task.scale, task.scale)
    image = torch.rand(3, side, side, generator=torch.Generator().manual_seed(0))
    before = random_states()
    results = [run_task(task, image.clone(), rng_for(0, "rehearsal")) for _ in range(2)]
    drawn = changed_states(before)
    if drawn:
        raise _fault(task, f"draws from the global generator of {drawn}")
    if not torch.equal(*results):
        raise _fault(task, "makes something else of the same image and the same rng")


def check_degraded(task: Task, image: Tensor, made: object) -> None:
    """Refuse what a task may not make of an image.

    Raises:
        PluginError: it is no such tensor.
    """
    height, width = image.shape[-2:]
    _check(task, made, (3, -(-height // task.scale), -(-width // task.scale)), "")


def random_states() -> dict[str, object]:
    """The states of the global generators, by the module that they belong to."""
    return {
        "random": random.getstate(),
        "numpy": pickle.dumps(np.random.get_state()),
        "torch": bytes(torch.get_rng_state().numpy()),
    }


def changed_states(before: dict[str, object]) -> str:
    """The first global generator that was drawn from since, or nothing."""
    after = random_states()
    return next((name for name, state in before.items() if after[name] != state), "")


def _kept(task: Task, image: Tensor, run: Callable[[], T]) -> T:
    """Run a task that must leave an image as it is."""
    version = None if image.is_inference() else image._version
    looked_at = image[:, :: -(-image.shape[-2] // LOOKED_AT), :: -(-image.shape[-1] // LOOKED_AT)]
    before = looked_at.clone()
    try:
        made = run()
    except UGPNetError:
        raise
    except Exception as error:
        raise PluginError(
            f"Task {name_of(task)!r} fails ({describe_error(error)}); tell its author, who has "
            "ugpnet check-task."
        ) from error
    if (version is not None and image._version != version) or not torch.equal(looked_at, before):
        raise _fault(task, "changes the image that it is given in place")
    return made


def _check(task: Task, made: object, shape: tuple[int, ...], what: str) -> None:
    if not isinstance(made, Tensor):
        raise _fault(task, f"returns {what}{_kind(made)} where a torch.Tensor belongs")
    if made.dtype != torch.float32:
        kind = str(made.dtype).removeprefix("torch.")
        raise _fault(task, f"returns {what}{kind} where float32 belongs")
    if tuple(made.shape) != shape:
        raise _fault(
            task,
            f"returns {what}{tuple(made.shape)} where {shape} belongs (its scale is {task.scale})",
        )
    low, high = (float(value) for value in made.detach().aminmax())
    if not (low >= -TOLERANCE and high <= 1 + TOLERANCE):
        raise _fault(
            task, f"returns {what}values from {low:.3g} to {high:.3g}; they belong in [0, 1]"
        )


def _kind(value: object) -> str:
    if value is None:
        return "None"
    return f"a {type(value).__module__.partition('.')[0]} {type(value).__name__}".replace(
        "builtins ", ""
    )


def name_of(task: object) -> str:
    """What messages call a task."""
    return str(getattr(task, "name", type(task).__name__))


def _fault(task: Task, what: str) -> PluginError:
    return PluginError(
        f"Task {name_of(task)!r} {what}; tell its author, who has ugpnet check-task."
    )
