"""How far a stage is: what its checkpoint holds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ugpnet_core.training.checkpoint import checkpoint_path, read_checkpoint, write_checkpoint
from ugpnet_core.training.fingerprint import Fingerprint, compare
from ugpnet_core.training.stage import Stage


@dataclass
class Best:
    """The best validation so far; ``waited`` is how many came after it."""

    psnr: float = -math.inf
    step: int = 0
    state: Mapping[str, Tensor] | None = None
    waited: int = 0


@dataclass
class Progress:
    """A stage under way.

    Attributes:
        path: of the checkpoint.
        done: iterations.
        is_looked_at: whether what comes after these iterations (validation, samples) was made, too.
        saved: after how many iterations the checkpoint was written, if ever.
        began: when the stage would have begun, had it never been interrupted.
        history: the records of earlier trainings that this one goes on from
            (:mod:`ugpnet_core.training.extending`).
    """

    stage: Stage
    made_by: Fingerprint
    path: Path
    averaged: AveragedModel | None
    done: int = 0
    is_looked_at: bool = True
    saved: int | None = None
    best: Best = field(default_factory=Best)
    began: float = field(default_factory=lambda: time.monotonic())
    history: Sequence[Mapping[str, Any]] = ()

    @property
    def chosen(self) -> nn.Module:
        """The network that is validated and kept: the averaged one, where there is one."""
        return self.stage.trained if self.averaged is None else self.averaged.module

    @property
    def size(self) -> int:
        """How many bytes a checkpoint has, about: weights, Adam's two moments of them, the average
        and the best ones."""
        numbers = [p for network in self.stage.networks.values() for p in network.parameters()]
        return 5 * sum(p.numel() * p.element_size() for p in numbers)

    def save(self) -> None:
        """Write the checkpoint.

        Raises:
            TrainingError: the disk refuses; what was there before is untouched.
        """
        stage, networks = self.stage, self.stage.networks
        state = {
            "step": self.done,
            "is_looked_at": self.is_looked_at,
            "seconds": time.monotonic() - self.began,
            "fingerprint": self.made_by,
            "networks": {name: network.state_dict() for name, network in networks.items()},
            "optimizers": {name: opt.state_dict() for name, (opt, _) in stage.optimizers.items()},
            "averaged": self.averaged.state_dict() if self.averaged is not None else None,
            "stage": dict(stage.state_dict()),
            "best": dict(vars(self.best)),
            "history": [dict(one) for one in self.history],
        }
        write_checkpoint(self.path, state)


def begun(stage: Stage, made_by: Fingerprint) -> Progress:
    """A stage at its beginning, or where its checkpoint has it.

    Raises:
        TrainingError: the checkpoint is damaged or belongs to other settings.
    """
    ema = stage.settings.ema
    averaged = AveragedModel(stage.trained, multi_avg_fn=_average(ema)) if ema else None
    path = checkpoint_path(stage.context.config.output, stage.name)
    progress = Progress(stage, made_by, path, averaged)
    if path.exists():
        state = read_checkpoint(path)
        compare(type(stage), state["fingerprint"], made_by, path)
        _restore(progress, state)
    return progress


def _restore(progress: Progress, state: Mapping[str, Any]) -> None:
    """Go on from a state. One that goes on from a finished stage may lack what that did not have:
    optimisers, an average, a discriminator."""
    stage, settings = progress.stage, progress.stage.settings
    for name, network in stage.networks.items():
        if name in state["networks"]:
            network.load_state_dict(state["networks"][name])
    for name, (optimizer, _) in stage.optimizers.items():
        if name in state["optimizers"]:
            _load_moments(progress, name, state["optimizers"][name])
            for group in optimizer.param_groups:  # those of a finished stage may be others
                group.update(betas=settings.betas, weight_decay=settings.weight_decay)
    if progress.averaged is not None:
        if state["averaged"] is not None:
            progress.averaged.load_state_dict(state["averaged"])
        else:
            progress.averaged.module.load_state_dict(stage.trained.state_dict())
    # Older code called it memory.
    remembered = state["stage"] if "stage" in state else state["memory"]
    if remembered is not None:
        stage.load_state_dict(remembered)
    progress.best = Best(**state["best"])
    progress.history = state.get("history", ())
    progress.done = progress.saved = state["step"]
    # Older code wrote a checkpoint only after it had looked.
    progress.is_looked_at = state.get("is_looked_at", True)
    progress.began -= state["seconds"]


def _load_moments(progress: Progress, name: str, saved: Mapping[str, Any]) -> None:
    """Load an optimiser's state by the names of the parameters: in an extension, layers may learn
    that were kept as they are, or the other way round."""
    optimizer = progress.stage.optimizers[name][0]
    (now,), (before,) = optimizer.state_dict()["param_groups"], saved["param_groups"]
    if "param_names" in before and "param_names" in now:
        moments = {
            one: saved["state"][number]
            for one, number in zip(before["param_names"], before["params"], strict=True)
            if number in saved["state"]
        }
        places = zip(now["param_names"], now["params"], strict=True)
        known = {number: moments[one] for one, number in places if one in moments}
        group = {**before, "params": now["params"], "param_names": now["param_names"]}
        saved = {"state": known, "param_groups": [group]}
    elif len(before["params"]) != len(now["params"]):  # older code kept no names
        progress.stage.context.say(
            f"Stage {progress.stage.name} learns other layers than before; the optimiser of its "
            f"{name} begins anew, as it was kept without their names."
        )
        return
    optimizer.load_state_dict(dict(saved))


def _average(decay: float) -> Callable[[Any, Any, Any], None]:
    """Exponential averaging that forgets the first steps faster: decay rises from 0.1."""

    @torch.no_grad()
    def update(averages: Any, current: Any, count: Any) -> None:
        updates = float(count)
        torch._foreach_lerp_(averages, current, 1 - min(decay, (1 + updates) / (10 + updates)))

    return update
