"""Which stages a training has, and what must be right before the first of them starts."""

from __future__ import annotations

import importlib.util
import itertools
import os
from collections.abc import Sequence
from pathlib import Path

from ugpnet_core.config import TrainConfig
from ugpnet_core.errors import ConfigError, DependencyError, TrainingError
from ugpnet_core.losses.perceptual_weights import check_perceptual
from ugpnet_core.training.checkpoint import checkpoint_path, result_path
from ugpnet_core.training.stage import Stage
from ugpnet_core.training.stages import STAGES
from ugpnet_core.training.task_files import kernel_files, task_files


def planned(config: TrainConfig) -> tuple[type[Stage], ...]:
    """The stages that a configuration asks for, in their order."""
    return tuple(stage for stage in STAGES.values() if stage.is_planned(config))


def inputs(config: TrainConfig, stage: type[Stage]) -> tuple[type[Stage], ...]:
    """The finished stages that a stage starts from: none, where it keeps its weights."""
    if not stage.settings_in(config).iterations:
        return ()
    return tuple(one for one in planned(config) if one in stage.starts_from)


def is_finished(config: TrainConfig, stage: type[Stage]) -> bool:
    """Whether a stage and those that it starts from have their results."""
    needed = (*inputs(config, stage), stage)
    return all(result_path(config.output, one.name).exists() for one in needed)


def steps_before(config: TrainConfig, stage: str) -> int:
    """How many iterations the stages have that come before a stage."""
    before = itertools.takewhile(lambda one: one.name != stage, planned(config))
    return sum(one.settings_in(config).iterations for one in before)


def stage_files(config: TrainConfig, stage: type[Stage]) -> dict[str, Path]:
    """The files whose content a stage starts from: earlier stages, weights, what a task names.

    Raises:
        WeightsError: one that names other files is missing or damaged.
    """
    found = {one.name: result_path(config.output, one.name) for one in inputs(config, stage)}
    weights = stage.weights_in(config)
    if weights is not None:
        found["weights"] = weights
    if "task" in stage.depends_on:
        found |= task_files(config.model.task.options)
    return {**found, **stage.more_files(config)}


def check(config: TrainConfig, wanted: Sequence[type[Stage]], resume: bool) -> None:
    """Find what would fail later, without writing anything.

    Raises:
        ConfigError: settings that contradict each other.
        WeightsError: the perceptual weights are missing.
        DependencyError: the library of a tracker is missing.
        TrainingError: a stage was begun and is not to be resumed, one that is needed is not
            finished, or the output folder cannot be written.
    """
    _check_settings(config, wanted)
    _check_perceptual(config, wanted)
    for tracker in config.trackers:
        if not importlib.util.find_spec(tracker):
            raise DependencyError(
                f"{tracker} is not installed; run 'pip install {tracker}' or set trackers=[]."
            )
    _check_output(config.output)
    for stage in wanted:
        if result_path(config.output, stage.name).exists():
            continue
        if checkpoint_path(config.output, stage.name).exists() and not resume:
            raise TrainingError(
                f"Stage {stage.name} was begun in {config.output}; add --resume to go on with it, "
                "or choose another output."
            )
        for other in inputs(config, stage):
            if other not in wanted and not result_path(config.output, other.name).exists():
                raise TrainingError(
                    f"Stage {stage.name} starts from stage {other.name}, which is not finished in "
                    f"{config.output}; train that first."
                )


def _check_settings(config: TrainConfig, wanted: Sequence[type[Stage]]) -> None:
    for stage in wanted:
        stage.settings_in(config)
        if stage not in planned(config):
            raise ConfigError(
                f"Baseline {config.model.baseline} has no stage {stage.name}; train its stages "
                f"{', '.join(one.name for one in planned(config))}."
            )
    for stage in planned(config):
        stage.check_settings(config)
    for stage in STAGES.values():
        if not stage.is_planned(config) and getattr(config, stage.name) is not None:
            weights = stage.weights_in(config)
            if weights is not None:
                raise ConfigError(
                    f"{stage.name}.weights is {weights}, and baseline {config.model.baseline} has "
                    f"no stage {stage.name}; leave them out."
                )
    # Of one of several steps, a set might be drawn for the first time after hours.
    if config.model.task.name in ("deblur", "composition"):
        for path in kernel_files(config.model.task.options):
            if not path.is_file():
                raise ConfigError(
                    f"There is no file {path} with kernels; make one with ugpnet kernels."
                )
    # The model file lies beside the results of the stages.
    is_taken = config.name in STAGES or config.name.startswith(".")
    if is_taken or Path(config.name).name != config.name:
        raise ConfigError(
            f"name is {config.name!r}; choose a file name that is not one of {', '.join(STAGES)}."
        )


def _check_perceptual(config: TrainConfig, wanted: Sequence[type[Stage]]) -> None:
    needed = frozenset[str]().union(*(stage.perceptual_networks(config) for stage in wanted))
    if needed:
        check_perceptual(config.perceptual, contextual="contextual" in needed)


def _check_output(output: Path) -> None:
    existing = next(path for path in (output, *output.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise TrainingError(f"{output} cannot be written; set 'output' to another folder.")
