"""Which stages a training has, and what must be right before the first of them starts."""

from __future__ import annotations

import importlib.util
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from ugpnet_core.config import PairedFolders, TrainConfig
from ugpnet_core.errors import ConfigError, DependencyError, TrainingError
from ugpnet_core.losses.perceptual_weights import check_perceptual
from ugpnet_core.training.checkpoint import checkpoint_path, result_path
from ugpnet_core.training.fingerprint import DEPENDS_ON
from ugpnet_core.training.own_modules import read_own_module

StageName = Literal["prior", "restoration", "synthesis", "fusion"]
ORDER: tuple[StageName, ...] = ("prior", "restoration", "synthesis", "fusion")
_INPUTS: Mapping[StageName, tuple[StageName, ...]] = {
    "prior": (),
    "restoration": (),
    "synthesis": ("prior", "restoration"),
    "fusion": ("prior", "restoration", "synthesis"),
}


def planned(config: TrainConfig) -> tuple[StageName, ...]:
    """The stages that a configuration asks for, in their order."""
    return tuple(name for name in ORDER if name != "prior" or config.prior is not None)


def inputs(config: TrainConfig, stage: StageName) -> tuple[StageName, ...]:
    """The finished stages that a stage starts from."""
    return tuple(name for name in _INPUTS[stage] if name in planned(config))


def is_finished(config: TrainConfig, stage: StageName) -> bool:
    """Whether a stage and those that it starts from have their results."""
    needed = (*inputs(config, stage), stage)
    return all(result_path(config.output, one).exists() for one in needed)


def steps_before(config: TrainConfig, stage: str) -> int:
    """How many iterations the stages have that come before a stage."""
    names = list(itertools.takewhile(lambda name: name != stage, planned(config)))
    return sum(getattr(config, name).iterations for name in names)


def task_files(options: object, name: str = "task") -> dict[str, Path]:
    """The files that a task's options name, at any depth, by where they stand ("task.kernels"):
    what is in them decides what is learned."""
    if isinstance(options, Mapping):
        inner = [task_files(value, f"{name}.{key}") for key, value in options.items()]
    elif isinstance(options, list | tuple):
        inner = [task_files(value, f"{name}.{index}") for index, value in enumerate(options)]
    elif isinstance(options, str | Path) and Path(options).is_file():
        return {name: Path(options)}
    else:
        return {}
    return {key: path for files in inner for key, path in files.items()}


def stage_files(config: TrainConfig, stage: StageName) -> dict[str, Path]:
    """The files whose content a stage starts from: earlier stages, weights, what a task names.

    Raises:
        WeightsError: a file of ``synthesis.restorations`` is missing or damaged.
    """
    found: dict[str, Path] = {}
    for other in inputs(config, stage):
        found[other] = result_path(config.output, other)
    weights: Path | None = getattr(getattr(config, stage), "weights", None)
    if weights is not None:
        found["weights"] = weights
    if "task" in DEPENDS_ON[stage]:
        found |= task_files(config.model.task.options)
    for index, path in enumerate(config.synthesis.restorations if stage == "synthesis" else ()):
        found[f"restorations.{index}"] = path
        own = read_own_module(path, "restoration")
        if own is not None:
            found |= task_files(own.config.task.options, f"restorations.{index}.task")
    return found


def _kernel_files(options: object) -> Iterator[Path]:
    """The sets of kernels that camera shakes are drawn from, at any depth of a task's options."""
    if isinstance(options, Mapping):
        for name, value in options.items():
            if name == "kernels" and isinstance(value, str | Path):
                yield Path(value)
            else:
                yield from _kernel_files(value)
    elif isinstance(options, list | tuple):
        for value in options:
            yield from _kernel_files(value)


def check(config: TrainConfig, wanted: Sequence[StageName], resume: bool) -> None:
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
    for name in wanted:
        if result_path(config.output, name).exists():
            continue
        if checkpoint_path(config.output, name).exists() and not resume:
            raise TrainingError(
                f"Stage {name} was begun in {config.output}; add --resume to go on with it, or "
                "choose another output."
            )
        for other in inputs(config, name):
            if other not in wanted and not result_path(config.output, other).exists():
                raise TrainingError(
                    f"Stage {name} starts from stage {other}, which is not finished in "
                    f"{config.output}; train that first."
                )


def _check_settings(config: TrainConfig, wanted: Sequence[StageName]) -> None:
    if "prior" in wanted and config.prior is None:
        raise ConfigError("The configuration has no section 'prior'; add one to train a prior.")
    if config.prior is not None and config.synthesis.weights is not None:
        raise ConfigError(
            "The prior is trained (section 'prior') and also read from synthesis.weights; remove "
            "one of them."
        )
    pairs = [one for one in config.data.train if isinstance(one, PairedFolders)]
    if config.synthesis.restorations and pairs:
        raise ConfigError(
            f"synthesis.restorations needs photographs that each task can degrade, and "
            f"{pairs[0].clean} comes with degraded ones; give data.train without pairs."
        )
    # Of one of several steps, a set might be drawn for the first time after hours.
    if config.model.task.name in ("deblur", "composition"):
        for path in _kernel_files(config.model.task.options):
            if not path.is_file():
                raise ConfigError(
                    f"There is no file {path} with kernels; make one with ugpnet kernels."
                )
    # The model file lies beside the results of the stages.
    if config.name in ORDER or config.name.startswith(".") or Path(config.name).name != config.name:
        raise ConfigError(
            f"name is {config.name!r}; choose a file name that is not one of {', '.join(ORDER)}."
        )


def _check_perceptual(config: TrainConfig, wanted: Sequence[StageName]) -> None:
    fusion = config.fusion if "fusion" in wanted and config.fusion.iterations else None
    synthesis = config.synthesis if "synthesis" in wanted and config.synthesis.iterations else None
    contextual = fusion is not None and fusion.contextual_weight > 0
    lpips = any(stage is not None and stage.perceptual_weight > 0 for stage in (fusion, synthesis))
    frechet = "prior" in wanted and config.prior is not None and config.prior.frechet_every
    if contextual or lpips or frechet:
        check_perceptual(config.perceptual, contextual=contextual)


def _check_output(output: Path) -> None:
    existing = next(path for path in (output, *output.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise TrainingError(f"{output} cannot be written; set 'output' to another folder.")
