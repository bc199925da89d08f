"""A task is tried before anything that takes long, so that what it does wrong is known then."""

from __future__ import annotations

import torch

from ugpnet_core.degradations.held import changed_states, fault, random_states
from ugpnet_core.degradations.pairing import pair
from ugpnet_core.protocols import Task
from ugpnet_core.seeding import rng_for
from ugpnet_core.testing.surroundings import changed_setting, settings, settings_kept


def rehearse_task(task: Task, *sides: int) -> None:
    """Run a task twice on an image of each of these sides, in pixels, which shows more than one
    run: for the beginning of what takes long, and one thread only.

    Raises:
        PluginError: as :func:`ugpnet_core.degradations.pairing.pair`; or the task draws from
            somewhere else than its ``rng``, or changes settings of torch.
    """
    for side in dict.fromkeys(sides):
        with settings_kept():
            before = settings()
            _rehearse(task, max(side - side % task.scale, task.scale))
            changed = changed_setting(before)
        if changed:
            raise fault(task, f"changes torch's {changed} for the whole process")


def _rehearse(task: Task, side: int) -> None:
    image = torch.rand(3, side, side, generator=torch.Generator().manual_seed(0))
    before = random_states()
    results = [pair(task, image.clone(), rng_for(0, "rehearsal")) for _ in range(2)]
    drawn = changed_states(before)
    if drawn:
        raise fault(task, f"draws from the global generator of {drawn}")
    if not all(torch.equal(*both) for both in zip(*results, strict=True)):
        raise fault(task, "makes something else of the same image and the same rng")
