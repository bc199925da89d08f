"""The variants of the paper's own studies, as changes to a training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from ugpnet_core.studies.ablation.settings import VariantConfig

StudyName = Literal["network-components", "initialisation"]

STUDIES: Mapping[StudyName, tuple[VariantConfig, ...]] = {
    # Table 3.
    "network-components": (
        VariantConfig(
            name="no-merging",
            title="(a) w/o R_se and R_mg",
            changes={"model.adapter": "plain"},
        ),
        VariantConfig(
            name="image-fusion",
            title="(b) fusion of x_reg and x_syn",
            changes={"model.fusion_inputs": "images"},
        ),
        VariantConfig(name="full", title="(c) UGPNet"),
    ),
    # Supplement S.5.
    "initialisation": (
        VariantConfig(
            name="neither",
            title="R and G random",
            changes={"restoration.weights": None, "synthesis.weights": None},
        ),
        VariantConfig(
            name="prior-only",
            title="R random, G pretrained",
            changes={"restoration.weights": None},
        ),
        VariantConfig(
            name="regression-only",
            title="R pretrained, G random",
            changes={"synthesis.weights": None},
        ),
        VariantConfig(name="both", title="R and G pretrained"),
    ),
}
