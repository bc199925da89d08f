"""Make what is trained: the model, and its stages with their losses and samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils.data import Dataset

from ugpnet_core.config import PriorStageConfig, TrainConfig
from ugpnet_core.errors import ConfigError
from ugpnet_core.factory import create_task_at
from ugpnet_core.losses.contextual import PatchContextualLoss
from ugpnet_core.losses.perceptual import (
    LPIPS,
    build_contextual_features,
    build_frechet_features,
    build_lpips,
)
from ugpnet_core.losses.perceptual_weights import describe
from ugpnet_core.model_files.prior_weights import PriorWeights
from ugpnet_core.networks.ugpnet import UGPNet, build_model
from ugpnet_core.protocols import Task
from ugpnet_core.training.checkpoint import read_result, result_path
from ugpnet_core.training.context import TrainingContext
from ugpnet_core.training.crops import CropPairs
from ugpnet_core.training.data import Pairs
from ugpnet_core.training.fusion import FusionStage
from ugpnet_core.training.mixture import MixedPairs
from ugpnet_core.training.plan import StageName
from ugpnet_core.training.pretrained import load_pretrained
from ugpnet_core.training.prior import PriorStage
from ugpnet_core.training.prior_quality import PriorQuality
from ugpnet_core.training.restoration import RestorationStage
from ugpnet_core.training.stage import Stage
from ugpnet_core.training.synthesis import SynthesisStage
from ugpnet_core.training.training_data import TrainingData


def make_model(
    config: TrainConfig,
    wanted: Sequence[StageName],
    pretrained: PriorWeights | None,
    say: Callable[[str], None],
) -> UGPNet:
    """Make the model as it is before any training, with the weights that its stages start from.

    Raises:
        ConfigError: data and model do not fit each other.
        PluginError: a part of the model is not installed.
        WeightsError: a file is missing or damaged, or does not fit.
    """
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
    load_pretrained(model, config, wanted, pretrained, say)
    return model.to(memory_format=torch.channels_last) if config.channels_last else model


def make_stage(
    name: StageName, context: TrainingContext, data: TrainingData, say: Callable[[str], None]
) -> Stage:
    """Make a stage with its losses, and say where the networks of these come from.

    Raises:
        ConfigError: the prior stage has no settings.
        WeightsError: the weights of a perceptual network are missing, or a discriminator does not
            fit.
    """
    config, device = context.config, context.accelerator.device
    if name == "prior":
        if config.prior is None:
            raise ConfigError("The configuration has no section 'prior'; add one.")
        quality = _quality(context, config.prior, data, say)
        return PriorStage(context, config.prior, quality)
    if name == "restoration":
        return RestorationStage(context, config.restoration)
    if name == "synthesis":
        lpips = _lpips(context, config.synthesis.perceptual_weight, say)
        discriminator = context.discriminator
        if config.prior is not None:
            discriminator = read_result(result_path(config.output, "prior"))[0]["discriminator"]
        return SynthesisStage(context, config.synthesis, lpips, discriminator)
    lpips = _lpips(context, config.fusion.perceptual_weight, say)
    contextual = None
    if config.fusion.contextual_weight > 0:
        contextual = PatchContextualLoss(
            build_contextual_features(config.perceptual).to(device),
            config.fusion.contextual_patch,
            config.fusion.contextual_bandwidth,
            config.fusion.contextual_weighted,
        )
        say(f"Contextual loss: {describe(config.perceptual).contextual}")
    return FusionStage(context, config.fusion, lpips, contextual)


def make_pairs(name: StageName, context: TrainingContext, data: TrainingData) -> Dataset[Any]:
    """What a stage learns from: pairs, or mixed ones where several restoration modules are."""
    config = context.config
    flip, own = config.data.flip, create_task_at(config.model.task, config.data.resolution)
    crop = config.data.crop if name == "restoration" else None
    if data.crops is not None and crop is not None:
        return CropPairs(data.crops, own, config.seed, name, crop=crop, flip=flip)

    def degraded_by(task: Task) -> Pairs:
        return Pairs(data.photographs, task, config.seed, name, flip=flip, crop=crop)

    if name == "synthesis" and context.others:
        return MixedPairs([degraded_by(task) for task in (own, *(o.task for o in context.others))])
    return degraded_by(own)


def _quality(
    context: TrainingContext,
    settings: PriorStageConfig,
    data: TrainingData,
    say: Callable[[str], None],
) -> PriorQuality | None:
    """What measures the prior, named in the log; None where that is not asked for."""
    if settings.frechet_every is None:
        return None
    name = describe(context.config.perceptual).frechet
    say(f"Fréchet distance to the training photographs: {name}")
    return PriorQuality(
        build_frechet_features(context.config.perceptual),
        data.photographs,
        settings.frechet_images,
        context.config.seed,
        context.accelerator.device,
        name,
    )


def _lpips(context: TrainingContext, weight: float, say: Callable[[str], None]) -> LPIPS | None:
    """L_per of a stage, named in the log; None where its weight is zero."""
    if weight == 0:
        return None
    say(f"Perceptual loss: {describe(context.config.perceptual).lpips}")
    return build_lpips(context.config.perceptual).to(context.accelerator.device)
