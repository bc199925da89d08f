"""A whole training: the stages in their order, each from its own checkpoint."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, cast

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor, nn

from ugpnet_core.config import StageConfig, TrainConfig
from ugpnet_core.errors import ConfigError, DependencyError, TrainingError
from ugpnet_core.factory import create_task_at
from ugpnet_core.losses.contextual import PatchContextualLoss
from ugpnet_core.losses.perceptual import build_contextual_features, build_lpips
from ugpnet_core.losses.perceptual_weights import check_perceptual, describe
from ugpnet_core.model_file import save_model
from ugpnet_core.networks.ugpnet import UGPNet, build_model
from ugpnet_core.training.checkpoint import (
    checkpoint_path,
    compare,
    fingerprint,
    read_result,
    result_path,
    write_result,
)
from ugpnet_core.training.data import Pairs, Photographs, read_photographs, validation_batches
from ugpnet_core.training.fusion import FusionStage
from ugpnet_core.training.loop import run_stage
from ugpnet_core.training.prior import PriorStage
from ugpnet_core.training.restoration import RestorationStage
from ugpnet_core.training.stage import Bench, Stage
from ugpnet_core.training.synthesis import SynthesisStage

logger = logging.getLogger(__name__)

StageName = Literal["prior", "restoration", "synthesis", "fusion"]
ORDER: tuple[StageName, ...] = ("prior", "restoration", "synthesis", "fusion")
# Which finished stages each stage starts from.
INPUTS: Mapping[StageName, tuple[StageName, ...]] = {
    "prior": (),
    "restoration": (),
    "synthesis": ("prior", "restoration"),
    "fusion": ("prior", "restoration", "synthesis"),
}
DTYPES = {name: getattr(torch, name) for name in ("float32", "float16", "bfloat16")}


def train(
    config: TrainConfig,
    stage: StageName | Literal["all"] = "all",
    *,
    resume: bool = False,
    say: Callable[[str], None] = logger.info,
) -> Path | None:
    """Run one stage or all of them, and write the model file once all are finished.

    A finished stage is skipped. Without ``resume``, a stage that was begun is an error.

    Returns:
        The model file, or None while stages are missing.

    Raises:
        ConfigError, PluginError: the configuration cannot be right.
        WeightsError: perceptual or pretrained weights are missing; found before anything starts.
        TrainingError: no images, a state of other settings, or a loss that is no number.
    """
    wanted = planned(config) if stage == "all" else (stage,)
    if stage == "prior" and config.prior is None:
        raise ConfigError("The configuration has no section 'prior'; add one to train a prior.")
    _check(config, wanted, resume)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    accelerator = _accelerator(config)
    torch.manual_seed(config.seed)
    model = build_model(config.model)
    if model.resolution != config.data.resolution:
        raise ConfigError(
            f"data.resolution is {config.data.resolution} and the prior's {model.resolution}; "
            "make them equal."
        )
    if config.channels_last:
        model.to(memory_format=torch.channels_last)
    model.to(accelerator.device)
    bench = Bench(config, model, accelerator)
    material = _read_material(config, say)
    for name in ORDER:
        path = result_path(config.output, name)
        if name in wanted:
            _run(name, bench, material, say)
        elif path.exists():
            _install(model, name, read_result(path)[0])
    missing = [name for name in planned(config) if not result_path(config.output, name).exists()]
    accelerator.end_training()
    if missing:
        say(f"Still to train: {', '.join(missing)}.")
        return None
    return _write_model(bench, say)


def planned(config: TrainConfig) -> tuple[StageName, ...]:
    """The stages that a configuration asks for, in their order."""
    return tuple(name for name in ORDER if name != "prior" or config.prior is not None)


@dataclass(frozen=True)
class _Material:
    photographs: Photographs
    validation: Sequence[Any]


def _check(config: TrainConfig, wanted: Sequence[StageName], resume: bool) -> None:
    """Find what would fail later before anything starts."""
    fusion, synthesis = config.fusion, config.synthesis
    contextual = "fusion" in wanted and fusion.contextual_weight > 0
    if (
        contextual
        or ("synthesis" in wanted and synthesis.perceptual_weight > 0)
        or ("fusion" in wanted and fusion.perceptual_weight > 0)
    ):
        check_perceptual(config.perceptual, contextual=contextual)
    if "tensorboard" in config.trackers and not importlib.util.find_spec("tensorboard"):
        raise DependencyError(
            "TensorBoard is not installed; run 'pip install tensorboard' or set trackers=[]."
        )
    if "wandb" in config.trackers and not importlib.util.find_spec("wandb"):
        raise DependencyError("wandb is not installed; run 'pip install wandb' or set trackers=[].")
    for name in wanted:
        begun = checkpoint_path(config.output, name)
        finished = result_path(config.output, name)
        if begun.exists() and not finished.exists() and not resume:
            raise TrainingError(
                f"Stage {name} was begun in {config.output}; add --resume to go on with it, or "
                "choose another output."
            )


def _accelerator(config: TrainConfig) -> Accelerator:
    accelerator = Accelerator(
        mixed_precision="bf16" if config.precision == "bfloat16" else "no",
        log_with=list(config.trackers) or None,
        project_dir=str(config.output),
        # The layers below the base code take no part in the synthesis stage.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    if config.trackers:
        accelerator.init_trackers("scalars")
    return accelerator


def _read_material(config: TrainConfig, say: Callable[[str], None]) -> _Material:
    data = config.data
    photographs = read_photographs(data.train, data.resolution, cache=data.cache)
    task = create_task_at(config.model.task, data.resolution)
    validation = validation_batches(data, task, config.seed)
    say(
        f"{len(photographs)} photographs to learn from, {len(photographs.unreadable)} unreadable; "
        f"{sum(len(pair.clean) for pair in validation)} to validate on."
    )
    for path in photographs.unreadable:
        say(f"Skipped, unreadable: {path}")
    return _Material(photographs, validation)


def _run(name: StageName, bench: Bench, material: _Material, say: Callable[[str], None]) -> None:
    """Train a stage, or take its finished weights; either way install them in the model."""
    config, output = bench.config, bench.config.output
    settings: StageConfig = getattr(config, name)
    inputs: dict[str, Path] = {
        other: result_path(output, other) for other in INPUTS[name] if other in planned(config)
    }
    for other, path in inputs.items():
        if not path.exists():
            raise TrainingError(
                f"Stage {name} starts from stage {other}, which is not finished; train that first."
            )
    weights = getattr(settings, "weights", None)
    made_by = fingerprint(
        config,
        name,
        settings,
        {**inputs, **({"weights": weights} if weights else {})},
        len(material.photographs),
    )
    path = result_path(output, name)
    if path.exists():
        states, before, _ = read_result(path)
        compare(name, before, made_by, path)
        say(f"Stage {name} is finished: {path}")
        _install(bench.model, name, states)
        return
    torch.manual_seed(config.seed)
    stage = _make(name, bench, say)
    task = create_task_at(config.model.task, config.data.resolution)
    crop = config.data.crop if name == "restoration" else None
    pairs = Pairs(material.photographs, task, config.seed, name, flip=config.data.flip, crop=crop)
    finished = run_stage(stage, pairs, material.validation, made_by)
    if bench.accelerator.is_main_process:
        write_result(path, finished.states, made_by, finished.record)
        checkpoint_path(output, name).unlink(missing_ok=True)
    bench.accelerator.wait_for_everyone()
    bench.accelerator.free_memory()
    _install(bench.model, name, finished.states)
    say(f"Stage {name} is finished: {path}")


def _make(name: StageName, bench: Bench, say: Callable[[str], None]) -> Stage:
    config, device = bench.config, bench.accelerator.device
    if name == "prior":
        if config.prior is None:
            raise ConfigError("The configuration has no section 'prior'; add one.")
        return PriorStage(bench, config.prior)
    if name == "restoration":
        return RestorationStage(bench, config.restoration)
    names = describe(config.perceptual)
    if name == "synthesis":
        lpips = None
        if config.synthesis.perceptual_weight > 0:
            lpips = build_lpips(config.perceptual).to(device)
            say(f"Perceptual loss: {names.lpips}")
        prior = result_path(config.output, "prior")
        discriminator = read_result(prior)[0]["discriminator"] if config.prior else None
        return SynthesisStage(bench, config.synthesis, lpips, discriminator)
    lpips = contextual = None
    if config.fusion.perceptual_weight > 0:
        lpips = build_lpips(config.perceptual).to(device)
        say(f"Perceptual loss: {names.lpips}")
    if config.fusion.contextual_weight > 0:
        contextual = PatchContextualLoss(
            build_contextual_features(config.perceptual).to(device),
            config.fusion.contextual_patch,
            config.fusion.contextual_bandwidth,
            config.fusion.contextual_weighted,
        )
        say(f"Contextual loss: {names.contextual}")
    return FusionStage(bench, config.fusion, lpips, contextual)


def _install(model: UGPNet, name: StageName, states: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Put a finished stage's weights into the model."""
    networks: Mapping[StageName, nn.Module] = {
        "prior": cast(nn.Module, model.synthesis.generator),
        "restoration": model.restoration,
        "synthesis": model.synthesis,
        "fusion": model.fusion,
    }
    networks[name].load_state_dict(states["network"])
    networks[name].eval()


def _write_model(bench: Bench, say: Callable[[str], None]) -> Path:
    config = bench.config
    names = describe(config.perceptual)
    record = {
        "name": config.name,
        "settings": config.model_dump(mode="json", exclude={"output", "data", "perceptual"}),
        "data": config.data.model_dump(mode="json", exclude={"train", "validation"}),
        "perceptual": {"lpips": names.lpips, "contextual": names.contextual},
        "stages": {
            name: read_result(result_path(config.output, name))[2] for name in planned(config)
        },
        "versions": {name: version(name) for name in ("ugpnet-core", "torch", "accelerate")},
    }
    path = config.output / f"{config.name}.safetensors"
    if bench.accelerator.is_main_process:
        save_model(
            bench.model,
            path,
            dtype=DTYPES[config.model_dtype],
            record=record,
            licence=config.licence,
        )
        say(f"The model is finished: {path}")
    return path
