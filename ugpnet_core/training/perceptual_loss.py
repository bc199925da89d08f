"""L_per of a stage."""

from __future__ import annotations

from ugpnet_core.losses.perceptual import LPIPS, build_lpips
from ugpnet_core.losses.perceptual_weights import describe
from ugpnet_core.training.context import TrainingContext


def make_lpips(context: TrainingContext, weight: float) -> LPIPS | None:
    """L_per, named in the log; None where its weight is zero.

    Raises:
        WeightsError: the weights of its network are missing.
    """
    if weight == 0:
        return None
    context.say(f"Perceptual loss: {describe(context.config.perceptual).lpips}")
    return build_lpips(context.config.perceptual).to(context.accelerator.device)
