"""A whole training: the stages in their order, each from its own checkpoint."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Literal, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import Dataset

from ugpnet_core.config import PriorStageConfig, StageConfig, TrainConfig
from ugpnet_core.errors import ConfigError, TrainingError
from ugpnet_core.factory import create_task_at
from ugpnet_core.losses.contextual import PatchContextualLoss
from ugpnet_core.losses.perceptual import (
    LPIPS,
    build_contextual_features,
    build_frechet_features,
    build_lpips,
)
from ugpnet_core.losses.perceptual_weights import describe
from ugpnet_core.model_file import save_model
from ugpnet_core.networks.ugpnet import UGPNet, build_model
from ugpnet_core.prior_weights import PriorWeights
from ugpnet_core.training.checkpoint import (
    checkpoint_path,
    read_result,
    refused,
    result_path,
    write_result,
)
from ugpnet_core.training.crops import CropPairs
from ugpnet_core.training.data import Pair, Pairs
from ugpnet_core.training.fingerprint import DEPENDS_ON, Fingerprint, compare, fingerprint
from ugpnet_core.training.fusion import FusionStage
from ugpnet_core.training.loop import Finished, run_stage
from ugpnet_core.training.material import Material, read_material
from ugpnet_core.training.plan import StageName, check, inputs, planned, task_files
from ugpnet_core.training.pretrained import (
    load_pretrained_backbone,
    load_pretrained_prior,
    prior_file_path,
    read_pretrained_prior,
    write_trained_prior,
)
from ugpnet_core.training.prior import PriorStage
from ugpnet_core.training.prior_quality import PriorQuality
from ugpnet_core.training.restoration import RestorationStage, nothing_to_train
from ugpnet_core.training.reuse import take_over
from ugpnet_core.training.stage import Bench, Stage
from ugpnet_core.training.synthesis import SynthesisStage

logger = logging.getLogger(__name__)

DTYPES = {name: getattr(torch, name) for name in ("float32", "float16", "bfloat16")}


def train(
    config: TrainConfig,
    stage: StageName | Literal["all"] = "all",
    *,
    resume: bool = False,
    reuse: Sequence[Path] = (),
    say: Callable[[str], None] = logger.info,
) -> Path | None:
    """Run one stage or all of them, and write the model file once all are finished.

    A finished stage is skipped. Without ``resume``, a stage that was begun is an error.

    Args:
        reuse: outputs of other trainings; a stage that is finished there and was made by the
            same settings and inputs is taken over instead of trained.

    Returns:
        The model file, or None while stages are missing.

    Raises:
        ConfigError, PluginError: the configuration cannot be right.
        WeightsError: perceptual or pretrained weights are missing; found before anything starts.
        TrainingError: no images, a state of other settings, a loss that is no number, or a disk
            that refuses.
    """
    wanted = planned(config) if stage == "all" else (stage,)
    check(config, wanted, resume)
    config, pretrained = read_pretrained_prior(config)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    accelerator = _accelerator(config)
    if not accelerator.is_main_process:
        say = logger.debug
    model = _build(config, wanted, pretrained).to(accelerator.device)
    bench = Bench(config, model, accelerator, pretrained)
    restoring = "restoration" in wanted and not result_path(config.output, "restoration").exists()
    quiet = not accelerator.is_main_process
    material = read_material(config, say, quiet, restoring=restoring)
    if config.trackers:
        accelerator.init_trackers("scalars")
    try:
        for name in planned(config):
            if name in wanted or _is_finished(config, name):
                _run(name, bench, material, reuse, say)
    finally:
        # An interrupted training keeps its scalars, too.
        for tracker in accelerator.trackers:
            tracker.finish()
    missing = [name for name in planned(config) if not _is_finished(config, name)]
    if missing:
        say(f"Still to train: {', '.join(missing)}.")
        path = None
    else:
        path = _write_model(bench, say)
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
    return _build(config, wanted, pretrained)


def _accelerator(config: TrainConfig) -> Accelerator:
    try:
        accelerator = Accelerator(
            mixed_precision="bf16" if config.precision == "bfloat16" else "no",
            log_with=list(config.trackers) or None,
            project_dir=str(config.output),
        )
    except ValueError as error:
        raise TrainingError(
            f"accelerate refuses the precision {config.precision}: {error}"
        ) from error
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started != accelerator.num_processes:
        # They would all train the same and write over each other.
        raise TrainingError(
            f"{started} processes were started and each believes to be one of "
            f"{accelerator.num_processes}; without a GPU for each, set ACCELERATE_USE_CPU=true."
        )
    return accelerator


def _build(
    config: TrainConfig, wanted: Sequence[StageName], pretrained: PriorWeights | None
) -> UGPNet:
    """The model before any training, with the pretrained weights that the stages start from."""
    torch.manual_seed(config.seed)
    model = build_model(config.model)
    if model.resolution != config.data.resolution:
        raise ConfigError(
            f"data.resolution is {config.data.resolution} and the prior's {model.resolution}; "
            "make them equal."
        )
    if config.data.crop is not None and config.data.crop % model.scale:
        raise ConfigError(
            f"data.crop is {config.data.crop}; make it a multiple of {model.scale}, by which task "
            f"{config.model.task.name!r} enlarges."
        )
    if "restoration" in wanted and config.restoration.weights is not None:
        backbone = cast(nn.Module, model.restoration.backbone)
        load_pretrained_backbone(backbone, config.restoration.weights)
    if "synthesis" in wanted:
        load_pretrained_prior(cast(nn.Module, model.synthesis.generator), config, pretrained)
    return model.to(memory_format=torch.channels_last) if config.channels_last else model


def _is_finished(config: TrainConfig, name: StageName) -> bool:
    return all(result_path(config.output, one).exists() for one in (*inputs(config, name), name))


def _run(
    name: StageName,
    bench: Bench,
    material: Material,
    reuse: Sequence[Path],
    say: Callable[[str], None],
) -> None:
    """Train a stage, or take its finished weights; either way install them in the model."""
    config, accelerator, output = bench.config, bench.accelerator, bench.config.output
    settings: StageConfig = getattr(config, name)
    sources: dict[str, Path] = {other: result_path(output, other) for other in inputs(config, name)}
    weights: Path | None = getattr(settings, "weights", None)
    if weights is not None:
        sources["weights"] = weights
    if "task" in DEPENDS_ON[name]:
        sources |= task_files(config.model.task.options)
    images, listings = len(material.photographs), material.listings
    made_by = fingerprint(config, name, settings, sources, images, listings)
    path = result_path(output, name)
    if accelerator.is_main_process and not path.exists():
        take_over(name, output, made_by, reuse, say)
    accelerator.wait_for_everyone()
    is_finished = path.exists()
    # No process may write the result before all have seen that it is not there.
    accelerator.wait_for_everyone()
    if is_finished:
        compare(name, read_result(path)[1], made_by, path)
    else:
        finished = _train(name, bench, material, made_by, say)
        if accelerator.is_main_process:
            write_result(path, finished.states, made_by, finished.record)
        accelerator.wait_for_everyone()
        accelerator.free_memory()
    if accelerator.is_main_process:
        checkpoint_path(output, name).unlink(missing_ok=True)
    # Read by every process, and also by the one that wrote it: what follows is then the same as
    # after an interruption.
    states, _, record = read_result(path)
    _install(bench.model, name, states)
    say(f"Stage {name} is finished: {path}")
    if name == "prior" and accelerator.is_main_process:
        # Written once: other trainings know it by its bytes, which safetensors does not repeat.
        prior = prior_file_path(config)
        if not is_finished or not prior.exists():
            write_trained_prior(config, states, record)
        say(f"The prior, for other trainings: {prior}")


def _train(
    name: StageName,
    bench: Bench,
    material: Material,
    made_by: Fingerprint,
    say: Callable[[str], None],
) -> Finished:
    config = bench.config
    if name == "restoration" and nothing_to_train(bench.model, config.restoration):
        say(
            f"Stage restoration has nothing to train: backbone {config.model.backbone.name!r} is "
            f"direct and keeps the weights of {config.restoration.weights}."
        )
        record = {"iterations": 0, "images": 0, "kept": "the pretrained weights"}
        return Finished({"network": bench.model.restoration.state_dict()}, record)
    torch.manual_seed(config.seed)
    stage = _make(name, bench, material, say)
    if config.compile:
        stage.trained.compile()
    task = create_task_at(config.model.task, config.data.resolution)
    crop = config.data.crop if name == "restoration" else None
    pairs: Dataset[Pair]
    if material.crops is not None and crop is not None:
        pairs = CropPairs(material.crops, task, config.seed, name, crop=crop, flip=config.data.flip)
    else:
        pairs = Pairs(
            material.photographs, task, config.seed, name, flip=config.data.flip, crop=crop
        )
    finished = run_stage(stage, pairs, material.validation, made_by)
    stage.release()
    return finished


def _make(name: StageName, bench: Bench, material: Material, say: Callable[[str], None]) -> Stage:
    config, device = bench.config, bench.accelerator.device
    if name == "prior":
        if config.prior is None:
            raise ConfigError("The configuration has no section 'prior'; add one.")
        quality = _quality(bench, config.prior, material, say)
        return PriorStage(bench, config.prior, quality)
    if name == "restoration":
        return RestorationStage(bench, config.restoration)
    if name == "synthesis":
        lpips = _lpips(bench, config.synthesis.perceptual_weight, say)
        discriminator = bench.pretrained.discriminator if bench.pretrained is not None else None
        if config.prior is not None:
            discriminator = read_result(result_path(config.output, "prior"))[0]["discriminator"]
        return SynthesisStage(bench, config.synthesis, lpips, discriminator)
    lpips = _lpips(bench, config.fusion.perceptual_weight, say)
    contextual = None
    if config.fusion.contextual_weight > 0:
        contextual = PatchContextualLoss(
            build_contextual_features(config.perceptual).to(device),
            config.fusion.contextual_patch,
            config.fusion.contextual_bandwidth,
            config.fusion.contextual_weighted,
        )
        say(f"Contextual loss: {describe(config.perceptual).contextual}")
    return FusionStage(bench, config.fusion, lpips, contextual)


def _quality(
    bench: Bench, settings: PriorStageConfig, material: Material, say: Callable[[str], None]
) -> PriorQuality | None:
    """What measures the prior, named in the log; None where that is not asked for."""
    if settings.frechet_every is None:
        return None
    name = describe(bench.config.perceptual).frechet
    say(f"Fréchet distance to the training photographs: {name}")
    return PriorQuality(
        build_frechet_features(bench.config.perceptual),
        material.photographs,
        settings.frechet_images,
        bench.config.seed,
        bench.accelerator.device,
        name,
    )


def _lpips(bench: Bench, weight: float, say: Callable[[str], None]) -> LPIPS | None:
    """L_per of a stage, named in the log; None where its weight is zero."""
    if weight == 0:
        return None
    say(f"Perceptual loss: {describe(bench.config.perceptual).lpips}")
    return build_lpips(bench.config.perceptual).to(bench.accelerator.device)


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
        try:
            save_model(
                bench.model,
                path,
                dtype=DTYPES[config.model_dtype],
                record=record,
                licence=config.licence,
            )
        except OSError as error:
            raise refused(path, error) from error
        say(f"The model is finished: {path}")
    return path
