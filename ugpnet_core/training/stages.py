"""All stages of a training, in their order. A new one is a file with its class, and a line here."""

from __future__ import annotations

from collections.abc import Mapping

from ugpnet_core.errors import ConfigError
from ugpnet_core.training.fusion import FusionStage
from ugpnet_core.training.prior import PriorStage
from ugpnet_core.training.restoration import RestorationStage
from ugpnet_core.training.stage import Stage
from ugpnet_core.training.synthesis import SynthesisStage

STAGES: Mapping[str, type[Stage]] = {
    PriorStage.name: PriorStage,
    RestorationStage.name: RestorationStage,
    SynthesisStage.name: SynthesisStage,
    FusionStage.name: FusionStage,
}


def find_stage(name: str) -> type[Stage]:
    """The stage of a name.

    Raises:
        ConfigError: there is none.
    """
    if name not in STAGES:
        raise ConfigError(f"There is no stage {name!r}; choose one of {', '.join(STAGES)}.")
    return STAGES[name]
