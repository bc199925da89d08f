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
        raise fault(task, f"gives {_kind(made)} as a pair where clean and degraded image belong")
    clean, degraded = made
    _check(task, clean, tuple(image.shape), "as clean image ")
    check_degraded(task, image, degraded)
    return clean, degraded


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
        raise fault(task, "changes the image that it is given in place")
    return made


def _check(task: Task, made: object, shape: tuple[int, ...], what: str) -> None:
    if not isinstance(made, Tensor):
        raise fault(task, f"returns {what}{_kind(made)} where a torch.Tensor belongs")
    if made.dtype != torch.float32:
        kind = str(made.dtype).removeprefix("torch.")
        raise fault(task, f"returns {what}{kind} where float32 belongs")
    if made.requires_grad:
        raise fault(task, f"returns {what}a tensor that requires a gradient; they belong detached")
    if made.device.type != "cpu":
        raise fault(task, f"returns {what}a tensor on {made.device} where the CPU belongs")
    if tuple(made.shape) != shape:
        raise fault(
            task,
            f"returns {what}{tuple(made.shape)} where {shape} belongs (its scale is {task.scale})",
        )
    low, high = (float(value) for value in made.aminmax())
    if not (low >= -TOLERANCE and high <= 1 + TOLERANCE):
        raise fault(
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


def fault(task: Task, what: str) -> PluginError:
    """The error that says what a task does and may not."""
    return PluginError(
        f"Task {name_of(task)!r} {what}; tell its author, who has ugpnet check-task."
    )
