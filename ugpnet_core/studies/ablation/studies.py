"""The arms of the paper's own studies, as changes to a training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from ugpnet_core.studies.ablation.settings import ArmConfig

StudyName = Literal["network-components", "initialisation"]

STUDIES: Mapping[StudyName, tuple[ArmConfig, ...]] = {
    # Table 3.
    "network-components": (
        ArmConfig(
            name="no-merging",
            title="(a) w/o R_se and R_mg",
            changes={"model.adapter": "plain"},
        ),
        ArmConfig(
            name="image-fusion",
            title="(b) fusion of x_reg and x_syn",
            changes={"model.fusion_inputs": "images"},
        ),
        ArmConfig(name="full", title="(c) UGPNet"),
    ),
    # Supplement S.5.
    "initialisation": (
        ArmConfig(
            name="neither",
            title="R and G random",
            changes={"restoration.weights": None, "synthesis.weights": None},
        ),
        ArmConfig(
            name="prior-only",
            title="R random, G pretrained",
            changes={"restoration.weights": None},
        ),
        ArmConfig(
            name="regression-only",
            title="R pretrained, G random",
            changes={"synthesis.weights": None},
        ),
        ArmConfig(name="both", title="R and G pretrained"),
    ),
}
