"""Train the variants of an ablation; what several of them have in common is trained once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from ugpnet_core.errors import ConfigError, UGPNetError
from ugpnet_core.networks.restoration import DirectAdapter
from ugpnet_core.studies.ablation.variants import Variant
from ugpnet_core.training.run import rehearse, train

logger = logging.getLogger(__name__)


def check_variants(variants: Sequence[Variant]) -> None:
    """Find what would stop one of the variants before the first of them starts.

    Raises:
        ConfigError: of a variant; also where it leaves out R_se and R_mg, which a direct backbone
            does not have.
        PluginError, WeightsError, DependencyError, TrainingError: as of a training.
    """
    for variant in variants:
        try:
            model = rehearse(variant.config)
        except UGPNetError as error:
            raise type(error)(f"Variant {variant.key}: {error}") from error
        if variant.config.model.adapter == "plain" and isinstance(model.restoration, DirectAdapter):
            raise ConfigError(
                f"Variant {variant.key}: backbone {variant.config.model.backbone.name!r} is "
                "direct, so that it has no R_se and R_mg to leave out; take residual ones."
            )


def train_variants(
    variants: Sequence[Variant],
    every_variant: Sequence[Variant],
    *,
    reuse: Sequence[Path] = (),
    say: Callable[[str], None] = logger.info,
) -> None:
    """Train variants one after the other, or go on where that was stopped.

    A stage that another variant has finished with the same settings and inputs is reused from
    there. A finished variant is skipped; one whose settings changed since is refused.

    Args:
        variants: those to train.
        every_variant: those of the whole ablation, from which stages may be reused.
        reuse: outputs of other trainings, likewise.

    Raises:
        UGPNetError: as of a training.
    """
    folders = [*(variant.config.output for variant in every_variant), *reuse]
    for number, variant in enumerate(variants, start=1):
        say(f"Variant {number} of {len(variants)}: {variant.key}, {variant.title}")
        train(variant.config, resume=True, reuse=folders, say=say)


def unfinished(variants: Sequence[Variant]) -> list[Variant]:
    """The variants that have no model yet."""
    return [variant for variant in variants if not variant.model_file.exists()]
