"""Finished stages that are trained on: longer, with another learning rate, on other photographs.

OUTPUT/finished/STAGE.pt                        what a finished stage would need to go on
OUTPUT/earlier/STAGE-ITERATIONS.safetensors     its result, once it has been gone on from

A stage that is extended is one that was begun: it has a checkpoint, and ends like any other. Its
result then has a history: the records of the trainings before, with the settings and other inputs
that they had.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from ugpnet_core.training.context import TrainingContext
from ugpnet_core.training.fingerprint import (
    CONTENT,
    LISTING,
    PROCESSES,
    Fingerprint,
    compare,
    differences,
    earlier_values,
    settings_of,
)
from ugpnet_core.training.plan import inputs, planned
from ugpnet_core.training.progress import Best
from ugpnet_core.training.stage import Stage

# What may be another in a training that goes on: not the networks, nor what they start from.
CHANGEABLE = ("settings.", "data.", LISTING, "number of training images")
# With others of these, a validation cannot be compared with those before.
MEASURED_BY = (CONTENT, f"{LISTING}validation", "data.validation_count", "data.resolution")


def state_path(output: Path, stage: str) -> Path:
    """Where a finished stage keeps what it would need to go on."""
    return output / "finished" / f"{stage}.pt"


def keep_state(config: TrainConfig, stage: type[Stage], *, is_new: bool) -> None:
    """Put the last checkpoint of a finished stage where it can be gone on from, or remove it where
    that is not wanted.

    Args:
        is_new: whether it was finished just now, so that the checkpoint is its own.

    Raises:
        TrainingError: the disk refuses.
    """
    if config.keep_state:
        _keep(config, stage, is_new=is_new)
        return
    for place in (checkpoint_path, state_path):
        place(config.output, stage.name).unlink(missing_ok=True)


def _keep(config: TrainConfig, stage: type[Stage], *, is_new: bool) -> None:
    """The same of a checkpoint that the result was made of: an older one may also be that of an
    extension that was killed while it was prepared, or damaged."""
    last, kept = checkpoint_path(config.output, stage.name), state_path(config.output, stage.name)
    if not last.exists():
        return
    _, made_by, record = read_result(result_path(config.output, stage.name))
    try:
        if not is_new and not _is_of_result(stage, read_checkpoint(last), made_by, record):
            return
    except TrainingError:
        return
    try:
        kept.parent.mkdir(exist_ok=True)
        last.replace(kept)
    except OSError as error:
        raise refused(kept, error) from error


def check_extension(config: TrainConfig, wanted: Sequence[type[Stage]]) -> None:
    """Find what would fail when these stages are extended, as far as the settings tell.

    Raises:
        TrainingError: a stage has made all its iterations, or one that starts from an extended one
            would stay as it is, or cannot follow it.
    """
    changing: set[type[Stage]] = set()
    for stage in planned(config):
        path = result_path(config.output, stage.name)
        if not path.exists():
            changing |= {stage} & set(wanted)
            continue
        _, before, record = read_result(path)
        told = {key: value for key, value in before.items() if key.startswith("settings.")}
        extended = stage in wanted and differences(stage, told, settings_of(config, stage))
        changed = [one for one in inputs(config, stage) if one in changing]
        _check_beginning(stage, changed, path)
        if extended:
            _check_more(config, stage, record)
            changing.add(stage)
        elif changed:
            raise TrainingError(
                f"Stage {stage.name} is finished and starts from stage {changed[0].name}, which "
                f"would become another; extend it, too ({stage.name}.iterations), or remove {path} "
                "to train it again."
            )


def _check_beginning(stage: type[Stage], changed: Sequence[type[Stage]], path: Path) -> None:
    begun = [one.name for one in changed if one in stage.begins_as]
    if begun:
        raise TrainingError(
            f"Stage {stage.name} is finished and began as the result of stage {begun[0]}, which "
            f"would become another and could not reach it any more; remove {path} to train it "
            "again."
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


def reopen(context: TrainingContext, stage: type[Stage], made_by: Fingerprint) -> None:
    """Let a finished stage be one that was begun, where its settings or photographs are others
    now. It then goes on from its networks, optimisers and discriminator.

    Args:
        made_by: what its result is to be made by.

    Raises:
        TrainingError: something else differs, it has made all its iterations, a file is damaged,
            or the disk refuses.
    """
    config, say = context.config, context.say
    path = result_path(config.output, stage.name)
    networks, before, record = read_result(path)
    was = earlier_values(stage, before, made_by)
    if not was:
        say(f"Stage {stage.name} is as the settings say; there is nothing to extend.")
        return
    followed = (one for one in inputs(config, stage) if one not in stage.begins_as)
    changeable = (*CHANGEABLE, *(CONTENT + one.name for one in followed))
    if not all(key.startswith(changeable) for key in was):
        same = {key: value for key, value in made_by.items() if key.startswith(changeable)}
        kept = {key: value for key, value in before.items() if not key.startswith(changeable)}
        compare(stage, {**same, **kept}, made_by, path)
    _check_more(config, stage, record)
    # The training may have been killed before it came to this.
    _keep(config, stage, is_new=False)
    state = _kept(config, stage, before, record)
    if state is None:
        say(
            f"The optimisers of stage {stage.name} were not kept; it goes on from its networks, "
            "with new ones."
        )
        state = _made(stage, networks, record)
    if stage.has_discriminator(config) and "discriminator" not in state["networks"]:
        _say_beginning(context, stage)
    if any(key.startswith(MEASURED_BY) for key in was):
        state["best"] = vars(Best())
    state["best"] = {**state["best"], "waited": 0}
    state["history"] = [*record.get("history", ()), _entry(record, was)]
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


def _entry(record: Mapping[str, Any], was: Mapping[str, Any]) -> dict[str, Any]:
    """What the history says of a training that others go on from."""
    settings = {key: value for key, value in was.items() if key.startswith("settings.")}
    return {
        **{key: value for key, value in record.items() if key != "history"},
        "settings": {key.removeprefix("settings."): value for key, value in settings.items()},
        "inputs": {key: value for key, value in was.items() if key not in settings},
    }


def _say_beginning(context: TrainingContext, stage: type[Stage]) -> None:
    """What D begins as beside networks that are trained."""
    is_prior = any(one in stage.begins_as for one in inputs(context.config, stage))
    if is_prior or context.discriminator is not None:
        context.say(f"Stage {stage.name} had no discriminator; it begins with that of the prior.")
    else:
        context.say(f"The discriminator starts untrained: stage {stage.name} had none.")


def _kept(
    config: TrainConfig, stage: type[Stage], before: Fingerprint, record: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The state that a result was made of; None where that is not there."""
    path = state_path(config.output, stage.name)
    if not path.exists():
        return None
    state = read_checkpoint(path)
    return state if _is_of_result(stage, state, before, record) else None


def _is_of_result(
    stage: type[Stage], state: Mapping[str, Any], before: Fingerprint, record: Mapping[str, Any]
) -> bool:
    made_by = {key: value for key, value in state["fingerprint"].items() if key != PROCESSES}
    is_as_far: bool = state["step"] == record["iterations"]
    return is_as_far and not differences(stage, made_by, before)


def _made(
    stage: type[Stage], networks: Mapping[str, Any], record: Mapping[str, Any]
) -> dict[str, Any]:
    """A state out of a result alone."""
    best, psnr = Best(), record.get("validation_psnr")
    if stage.keeps == "best" and psnr is not None:
        step = int(record["kept"].removeprefix("iteration "))
        best = Best(psnr, step, networks["network"])
    return {
        "step": record["iterations"],
        "is_looked_at": True,
        "seconds": 60 * record.get("minutes", 0.0),
        "networks": dict(networks),
        "optimizers": {},
        "averaged": None,
        "stage": None,
        "best": vars(best),
    }
