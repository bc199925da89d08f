"""A whole training: the stages in their order, each from its own checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from ugpnet_core.config import TrainConfig
from ugpnet_core.model_files.stage_results import StageResult
from ugpnet_core.networks.ugpnet import UGPNet
from ugpnet_core.training.checkpoint import (
    read_result,
    result_path,
    write_result,
)
from ugpnet_core.training.compiling import compile_network
from ugpnet_core.training.context import TrainingContext
from ugpnet_core.training.extending import check_extension, keep_state, reopen
from ugpnet_core.training.fingerprint import Fingerprint, compare, fingerprint
from ugpnet_core.training.loop import Finished, run_stage
from ugpnet_core.training.making import make_model
from ugpnet_core.training.plan import check, is_finished, planned, stage_files
from ugpnet_core.training.pretrained import read_pretrained_prior
from ugpnet_core.training.processes import any_process, make_accelerator
from ugpnet_core.training.products import write_model
from ugpnet_core.training.reuse import reuse_result
from ugpnet_core.training.stage import Stage
from ugpnet_core.training.stages import find_stage
from ugpnet_core.training.stopping import Stop, Stopped
from ugpnet_core.training.training_data import read_training_data, rehearsed_task

logger = logging.getLogger(__name__)


def train(
    config: TrainConfig,
    stage: str = "all",
    *,
    resume: bool = False,
    extend: bool = False,
    reuse: Sequence[Path] = (),
    stop: Stop | None = None,
    say: Callable[[str], None] = logger.info,
) -> Path | None:
    """Run one stage by name or "all" of them, and write the model file once all are finished.

    A finished stage is skipped. Without ``resume``, a stage that was begun is an error.

    Args:
        config: The settings of the training.
        stage: The stage to run: "prior", "restoration", "synthesis", "fusion", or "all".
        resume: Whether to go on with stages that were begun.
        extend: Whether finished stages whose settings have changed are trained on, instead of
            being refused.
        reuse: Outputs of other trainings; a stage that is finished there and was made by the
            same settings and inputs is reused instead of trained.
        stop: An object that knows when to stop before the end, in a state that ``resume`` goes on
            from.
        say: A function that is told what happens, a sentence at a time.

    Returns:
        The model file, or None while stages are missing.

    Raises:
        ConfigError: The configuration cannot be right.
        PluginError: A plugin that the configuration names is not installed, or is broken.
        WeightsError: Perceptual or pretrained weights are missing, which is found before anything
            starts.
        TrainingError: There are no images, the state is of other settings, a loss is no number, or
            the disk refuses.
        Stopped: It was time to stop.
    """
    stop = stop or Stop()
    wanted = planned(config) if stage == "all" else (find_stage(stage),)
    check(config, wanted, resume)
    if extend:
        check_extension(config, wanted)
    config, pretrained = read_pretrained_prior(config)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    accelerator = make_accelerator(config)
    if not accelerator.is_main_process:
        say = logger.debug
    model = make_model(config, wanted, pretrained, say).to(accelerator.device)
    discriminator = pretrained.discriminator if pretrained is not None else None
    for one in wanted:
        one.check_files(config)
    learning = [
        one for one in wanted if extend or not result_path(config.output, one.name).exists()
    ]
    with_crops = any(one.takes_crops for one in learning)
    quiet = not accelerator.is_main_process
    data = read_training_data(config, say, quiet, with_crops=with_crops)
    context = TrainingContext(config, model, accelerator, discriminator, data, say)
    if config.trackers:
        accelerator.init_trackers("scalars")
    try:
        for one in planned(config):
            if one in wanted or is_finished(config, one):
                _run(one, context, stop, reuse, extend=extend and one in wanted)
    finally:
        # An interrupted training keeps its scalars, too.
        for tracker in accelerator.trackers:
            tracker.finish()
    missing = [one.name for one in planned(config) if not is_finished(config, one)]
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
        ConfigError, PluginError, WeightsError, DependencyError, TrainingError: As :func:`train`.
    """
    wanted = planned(config)
    check(config, wanted, resume=True)
    config, pretrained = read_pretrained_prior(config)
    for stage in wanted:
        stage.check_files(config)
    rehearsed_task(config)
    return make_model(config, wanted, pretrained, logger.debug)


def _run(
    stage: type[Stage],
    context: TrainingContext,
    stop: Stop,
    reuse: Sequence[Path],
    *,
    extend: bool,
) -> None:
    """Train a stage, or take its finished weights; either way install them in the model."""
    config, accelerator, output = context.config, context.accelerator, context.config.output
    images, listings = len(context.data.photographs), context.data.listings
    made_by = fingerprint(config, stage, stage_files(config, stage), images, listings)
    path = result_path(output, stage.name)
    if accelerator.is_main_process and not path.exists():
        reuse_result(stage, output, made_by, reuse, context.say)
    elif accelerator.is_main_process and extend:
        reopen(context, stage, made_by)
    accelerator.wait_for_everyone()
    was_finished = path.exists()
    # No process may write the result before all have seen that it is not there.
    accelerator.wait_for_everyone()
    if was_finished:
        compare(stage, read_result(path)[1], made_by, path)
    else:
        finished = _train(stage, context, made_by, stop)
        if accelerator.is_main_process:
            used = stage.model_config_in(config)
            result = StageResult(stage.name, used, finished.record, finished.states)
            write_result(path, result, made_by)
        accelerator.wait_for_everyone()
        accelerator.free_memory()
    if accelerator.is_main_process:
        keep_state(config, stage, is_new=not was_finished)
    # Read by every process, and also by the one that wrote it: what follows is then the same as
    # after an interruption.
    states, _, record = read_result(path)
    module = stage.module_in(context.model)
    module.load_state_dict(states["network"])
    module.eval()
    context.say(f"Stage {stage.name} is finished: {path}")
    if accelerator.is_main_process:
        stage.write_more(context, states, record, is_new=not was_finished)


def _train(
    kind: type[Stage], context: TrainingContext, made_by: Fingerprint, stop: Stop
) -> Finished:
    config = context.config
    if any_process(context.accelerator, stop.is_due(stop.piece)):
        raise Stopped(f"stopped before stage {kind.name} ({stop.reason or 'another process'})")
    if kind.keeps_weights(context):
        kept = kind.weights_in(config)
        context.say(f"Stage {kind.name} has nothing to train: it keeps the weights of {kept}.")
        record = {"iterations": 0, "images": 0, "kept": "the pretrained weights"}
        return Finished(kind.kept_states(context), record)
    torch.manual_seed(config.seed)
    stage = kind.from_config(context)
    compile_network(stage.trained, config.compile)
    finished = run_stage(stage, stage.pairs(), context.data.validation, made_by, stop)
    stage.release()
    return finished
