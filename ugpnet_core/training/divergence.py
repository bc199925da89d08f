"""A training whose losses or weights are no numbers any more, and what to do then."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ugpnet_core.errors import TrainingError
from ugpnet_core.training.progress import Progress


def check_losses(progress: Progress, losses: Mapping[str, float]) -> None:
    """Refuse to go on from losses of the step after ``progress.done`` that are no numbers.

    Raises:
        TrainingError: the message names one of them, and the last good checkpoint.
    """
    for name, value in losses.items():
        if not math.isfinite(value):
            raise _diverged(
                progress,
                f"The {name} loss of stage {progress.stage.name} is {value} at step "
                f"{progress.done}",
            )


def check_weights(progress: Progress) -> None:
    """Refuse to keep weights that are no numbers: a gradient can be none where no loss was.

    Raises:
        TrainingError: as of losses.
    """
    stage = progress.stage
    for name, network in {**stage.networks, "average": progress.chosen}.items():
        for key, value in network.state_dict().items():
            if not bool(value.isfinite().all()):
                raise _diverged(
                    progress,
                    f"{key} of the {name} of stage {stage.name} has values that are no finite "
                    f"numbers after {progress.done} iterations",
                )


def _diverged(progress: Progress, what: str) -> TrainingError:
    stage, path, saved = progress.stage.name, progress.path, progress.saved
    other = f"set a lower {stage}.learning_rate or a {stage}.clip_gradient"
    if saved is None:
        return TrainingError(f"{what}, before the first checkpoint; {other}.")
    return TrainingError(
        f"{what}; the last good checkpoint is {path}, after {saved} iterations: go on from "
        f"there with --resume, or delete it and {other}."
    )
