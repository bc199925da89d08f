"""Train the arms of an ablation; what several of them have in common is trained once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from ugpnet_core.errors import ConfigError, UGPNetError
from ugpnet_core.networks.restoration import DirectAdapter
from ugpnet_core.studies.ablation.arms import Arm
from ugpnet_core.training.run import rehearse, train

logger = logging.getLogger(__name__)


def check_arms(arms: Sequence[Arm]) -> None:
    """Find what would stop one of the arms before the first of them starts.

    Raises:
        ConfigError: of an arm; also where it leaves out R_se and R_mg, which a direct backbone
            does not have.
        PluginError, WeightsError, DependencyError, TrainingError: as of a training.
    """
    for arm in arms:
        try:
            model = rehearse(arm.config)
        except UGPNetError as error:
            raise type(error)(f"Arm {arm.key}: {error}") from error
        if arm.config.model.adapter == "plain" and isinstance(model.restoration, DirectAdapter):
            raise ConfigError(
                f"Arm {arm.key}: backbone {arm.config.model.backbone.name!r} is direct, so that it "
                "has no R_se and R_mg to leave out; take residual ones."
            )


def train_arms(
    arms: Sequence[Arm],
    every_arm: Sequence[Arm],
    *,
    reuse: Sequence[Path] = (),
    say: Callable[[str], None] = logger.info,
) -> None:
    """Train arms one after the other, or go on where that was stopped.

    A stage that another arm has finished with the same settings and inputs is reused from
    there. A finished arm is skipped; one whose settings changed since is refused.

    Args:
        arms: those to train.
        every_arm: those of the whole ablation, from which stages may be reused.
        reuse: outputs of other trainings, likewise.

    Raises:
        UGPNetError: as of a training.
    """
    folders = [*(arm.config.output for arm in every_arm), *reuse]
    for number, arm in enumerate(arms, start=1):
        say(f"Arm {number} of {len(arms)}: {arm.key}, {arm.title}")
        train(arm.config, resume=True, reuse=folders, say=say)


def unfinished(arms: Sequence[Arm]) -> list[Arm]:
    """The arms that have no model yet."""
    return [arm for arm in arms if not arm.model_file.exists()]
