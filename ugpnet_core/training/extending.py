"""Finished stages that are trained on: longer, with another learning rate, on other photographs.

OUTPUT/finished/STAGE.pt                        what a finished stage would need to go on
OUTPUT/earlier/STAGE-ITERATIONS.safetensors     its result, once it has been gone on from

A stage that is extended is one that was begun: it has a checkpoint, and ends like any other. Its
result then has a history: the records of the trainings before, and the settings that they had.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ugpnet_core.config import TrainConfig
from ugpnet_core.errors import TrainingError
from ugpnet_core.training.checkpoint import (
    checkpoint_path,
    read_checkpoint,
    read_result,
    refused,
    result_path,
    write_checkpoint,
)
from ugpnet_core.training.fingerprint import (
    CONTENT,
    LISTING,
    PROCESSES,
    Fingerprint,
    compare,
    differences,
    settings_of,
)
from ugpnet_core.training.plan import inputs, planned
from ugpnet_core.training.progress import Best
from ugpnet_core.training.stage import Stage

# What may be another in a training that goes on: not the networks, nor what they start from.
CHANGEABLE = ("settings.", "data.", LISTING, "number of training images")


def state_path(output: Path, stage: str) -> Path:
    """Where a finished stage keeps what it would need to go on."""
    return output / "finished" / f"{stage}.pt"


def keep_state(config: TrainConfig, stage: type[Stage]) -> None:
    """Put the last checkpoint of a finished stage where it can be gone on from, or remove it where
    that is not wanted.

    Raises:
        TrainingError: the disk refuses.
    """
    last, kept = checkpoint_path(config.output, stage.name), state_path(config.output, stage.name)
    if not config.keep_state:
        for path in (last, kept):
            path.unlink(missing_ok=True)
    elif last.exists():
        try:
            kept.parent.mkdir(exist_ok=True)
            last.replace(kept)
        except OSError as error:
            raise refused(kept, error) from error


def check_extension(config: TrainConfig, wanted: Sequence[type[Stage]]) -> None:
    """Find what would fail when these stages are extended, as far as the settings tell.

    Raises:
        TrainingError: a stage has made all its iterations, or one that starts from an extended one
            would stay as it is.
    """
    extended: set[type[Stage]] = set()
    for stage in planned(config):
        path = result_path(config.output, stage.name)
        if not path.exists():
            continue
        _, before, record = read_result(path)
        told = {key: value for key, value in before.items() if key.startswith("settings.")}
        if stage in wanted and differences(stage, told, settings_of(config, stage)):
            _check_more(config, stage, record)
            extended.add(stage)
            continue
        changed = [one.name for one in inputs(config, stage) if one in extended]
        if changed:
            raise TrainingError(
                f"Stage {stage.name} is finished and starts from stage {changed[0]}, which would "
                f"become another; extend it, too ({stage.name}.iterations), or remove {path} to "
                "train it again."
            )


def _check_more(config: TrainConfig, stage: type[Stage], record: Mapping[str, Any]) -> None:
    settings, name = stage.settings_in(config), stage.name
    done, minutes = record.get("iterations", 0), record.get("minutes", 0.0)
    if settings.iterations <= done:
        raise TrainingError(
            f"Stage {name} has made {done} iterations and {name}.iterations is "
            f"{settings.iterations}; give more to extend it, as they count from its beginning."
        )
    if settings.minutes is not None and settings.minutes <= minutes:
        raise TrainingError(
            f"Stage {name} has taken {minutes:g} minutes and {name}.minutes is "
            f"{settings.minutes:g}; give more to extend it, as they count from its beginning."
        )


def reopen(
    config: TrainConfig, stage: type[Stage], made_by: Fingerprint, say: Callable[[str], None]
) -> None:
    """Let a finished stage be one that was begun, where its settings or photographs are others
    now. It then goes on from its networks, optimisers and discriminator.

    Args:
        made_by: what its result is to be made by.

    Raises:
        TrainingError: something else differs, it has made all its iterations, a file is damaged,
            or the disk refuses.
    """
    path = result_path(config.output, stage.name)
    networks, before, record = read_result(path)
    differing = differences(stage, before, made_by)
    if not differing:
        say(f"Stage {stage.name} is as the settings say; there is nothing to extend.")
        return
    changeable = (*CHANGEABLE, *(CONTENT + one.name for one in inputs(config, stage)))
    if not all(key.startswith(changeable) for key in differing):
        same = {key: value for key, value in made_by.items() if key.startswith(changeable)}
        kept = {key: value for key, value in before.items() if not key.startswith(changeable)}
        compare(stage, {**same, **kept}, made_by, path)
    _check_more(config, stage, record)
    state = _kept(config, stage, before, record)
    if state is None:
        say(
            f"The optimisers of stage {stage.name} were not kept; it goes on from its networks, "
            "with new ones."
        )
        if stage.has_discriminator(config) and "discriminator" not in networks:
            say("The discriminator starts untrained.")
        state = _made(networks, record)
    if not all(key.startswith("settings.") for key in differing):
        state["best"] = vars(Best())  # of other photographs; it cannot be compared
    state["best"] = {**state["best"], "waited": 0}
    earlier = {key: value for key, value in record.items() if key != "history"}
    settings = {
        key.removeprefix("settings."): json.loads(before[key])
        for key in differing
        if key.startswith("settings.") and key in before
    }
    state["history"] = [*record.get("history", ()), {**earlier, "settings": settings}]
    write_checkpoint(checkpoint_path(config.output, stage.name), {**state, "fingerprint": made_by})
    aside = config.output / "earlier" / f"{stage.name}-{record['iterations']}.safetensors"
    try:
        aside.parent.mkdir(exist_ok=True)
        path.replace(aside)
    except OSError as error:
        raise refused(aside, error) from error
    say(
        f"Stage {stage.name} goes on after {record['iterations']} iterations; its result so far "
        f"is {aside}."
    )


def _kept(
    config: TrainConfig, stage: type[Stage], before: Fingerprint, record: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The state that a result was made of; None where that is not there."""
    path = state_path(config.output, stage.name)
    if not path.exists():
        return None
    state = read_checkpoint(path)
    made_by = {key: value for key, value in state["fingerprint"].items() if key != PROCESSES}
    is_its_own = not differences(stage, made_by, before) and state["step"] == record["iterations"]
    return state if is_its_own else None


def _made(networks: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """A state out of a result alone."""
    return {
        "step": record["iterations"],
        "is_looked_at": True,
        "seconds": 60 * record.get("minutes", 0.0),
        "networks": dict(networks),
        "optimizers": {},
        "averaged": None,
        "stage": None,
        "best": vars(Best()),
    }
