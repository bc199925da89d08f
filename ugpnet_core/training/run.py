"""A whole training: the stages in their order, each from its own checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, cast

import torch
from torch import Tensor, nn

from ugpnet_core.config import StageConfig, TrainConfig
from ugpnet_core.networks.ugpnet import UGPNet
from ugpnet_core.training.checkpoint import (
    checkpoint_path,
    read_result,
    result_path,
    write_result,
)
from ugpnet_core.training.compiling import compile_network
from ugpnet_core.training.context import TrainingContext
from ugpnet_core.training.fingerprint import Fingerprint, compare, fingerprint
from ugpnet_core.training.loop import Finished, run_stage
from ugpnet_core.training.making import make_model, make_pairs, make_stage
from ugpnet_core.training.mixture import read_restorations
from ugpnet_core.training.plan import StageName, check, is_finished, planned, stage_files
from ugpnet_core.training.pretrained import keeps_weights, read_pretrained_prior
from ugpnet_core.training.processes import any_process, make_accelerator
from ugpnet_core.training.products import prior_file_path, write_model, write_trained_prior
from ugpnet_core.training.reuse import reuse_result
from ugpnet_core.training.stopping import Stop, Stopped
from ugpnet_core.training.training_data import TrainingData, read_training_data

logger = logging.getLogger(__name__)


def train(
    config: TrainConfig,
    stage: StageName | Literal["all"] = "all",
    *,
    resume: bool = False,
    reuse: Sequence[Path] = (),
    stop: Stop | None = None,
    say: Callable[[str], None] = logger.info,
) -> Path | None:
    """Run one stage or all of them, and write the model file once all are finished.

    A finished stage is skipped. Without ``resume``, a stage that was begun is an error.

    Args:
        reuse: outputs of other trainings; a stage that is finished there and was made by the
            same settings and inputs is reused instead of trained.
        stop: knows when to stop before the end, in a state that ``resume`` goes on from.

    Returns:
        The model file, or None while stages are missing.

    Raises:
        ConfigError, PluginError: the configuration cannot be right.
        WeightsError: perceptual or pretrained weights are missing; found before anything starts.
        TrainingError: no images, a state of other settings, a loss that is no number, or a disk
            that refuses.
        Stopped: it was time to.
    """
    stop = stop or Stop()
    wanted = planned(config) if stage == "all" else (stage,)
    check(config, wanted, resume)
    config, pretrained = read_pretrained_prior(config)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    accelerator = make_accelerator(config)
    if not accelerator.is_main_process:
        say = logger.debug
    model = make_model(config, wanted, pretrained, say).to(accelerator.device)
    discriminator = pretrained.discriminator if pretrained is not None else None
    others = read_restorations(config) if "synthesis" in wanted else []
    for one in others:
        one.module.to(accelerator.device)
    context = TrainingContext(config, model, accelerator, discriminator, others)
    restoring = "restoration" in wanted and not result_path(config.output, "restoration").exists()
    quiet = not accelerator.is_main_process
    data = read_training_data(config, say, quiet, restoring=restoring)
    if config.trackers:
        accelerator.init_trackers("scalars")
    try:
        for name in planned(config):
            if name in wanted or is_finished(config, name):
                _run(name, context, data, reuse, stop, say)
    finally:
        # An interrupted training keeps its scalars, too.
        for tracker in accelerator.trackers:
            tracker.finish()
    missing = [name for name in planned(config) if not is_finished(config, name)]
    if missing:
        say(f"Still to train: {', '.join(missing)}.")
        path = None
    else:
        path = write_model(context, say)
    accelerator.end_training()
    return path


def rehearse(config: TrainConfig) -> UGPNet:
    """Find what would stop a training before its first step, but for the photographs.

    Returns:
        The untrained model, with its pretrained weights.

    Raises:
        ConfigError, PluginError, WeightsError, DependencyError, TrainingError: as :func:`train`.
    """
    wanted = planned(config)
    check(config, wanted, resume=True)
    config, pretrained = read_pretrained_prior(config)
    read_restorations(config)
    return make_model(config, wanted, pretrained, logger.debug)


def _run(
    name: StageName,
    context: TrainingContext,
    data: TrainingData,
    reuse: Sequence[Path],
    stop: Stop,
    say: Callable[[str], None],
) -> None:
    """Train a stage, or take its finished weights; either way install them in the model."""
    config, accelerator, output = context.config, context.accelerator, context.config.output
    settings: StageConfig = getattr(config, name)
    images, listings = len(data.photographs), data.listings
    made_by = fingerprint(config, name, settings, stage_files(config, name), images, listings)
    path = result_path(output, name)
    if accelerator.is_main_process and not path.exists():
        reuse_result(name, output, made_by, reuse, say)
    accelerator.wait_for_everyone()
    was_finished = path.exists()
    # No process may write the result before all have seen that it is not there.
    accelerator.wait_for_everyone()
    if was_finished:
        compare(name, read_result(path)[1], made_by, path)
    else:
        finished = _train(name, context, data, made_by, stop, say)
        if accelerator.is_main_process:
            write_result(path, finished.states, made_by, finished.record)
        accelerator.wait_for_everyone()
        accelerator.free_memory()
    if accelerator.is_main_process:
        checkpoint_path(output, name).unlink(missing_ok=True)
    # Read by every process, and also by the one that wrote it: what follows is then the same as
    # after an interruption.
    states, _, record = read_result(path)
    _install(context.model, name, states)
    say(f"Stage {name} is finished: {path}")
    if name == "prior" and accelerator.is_main_process:
        # Written once: other trainings know it by its bytes, which safetensors does not repeat.
        prior = prior_file_path(config)
        if not was_finished or not prior.exists():
            write_trained_prior(config, states, record)
        say(f"The prior, for other trainings: {prior}")


def _train(
    name: StageName,
    context: TrainingContext,
    data: TrainingData,
    made_by: Fingerprint,
    stop: Stop,
    say: Callable[[str], None],
) -> Finished:
    config = context.config
    if any_process(context.accelerator, stop.is_due(stop.piece)):
        raise Stopped(f"stopped before stage {name} ({stop.reason or 'another process'})")
    if keeps_weights(name, context.model, config):
        kept = getattr(config, name).weights
        say(f"Stage {name} has nothing to train: it keeps the weights of {kept}.")
        states = {"network": getattr(context.model, name).state_dict()}
        if name == "synthesis" and context.discriminator is not None:
            states["discriminator"] = context.discriminator
        return Finished(states, {"iterations": 0, "images": 0, "kept": "the pretrained weights"})
    torch.manual_seed(config.seed)
    stage = make_stage(name, context, data, say)
    compile_network(stage.trained, config.compile)
    pairs = make_pairs(name, context, data)
    finished = run_stage(stage, pairs, data.validation, made_by, stop)
    stage.release()
    return finished


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
