"""U-Net as a backbone plugin: the hook and the options; the network is in ``network.py``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ugpnet_core.plugins import BackboneEntry, Options, Preset, hookimpl


class UNetOptions(Options):
    """The defaults are those of the paper."""

    width: int = Field(default=64, gt=0, description="channels at full resolution")
    depth: int = Field(default=4, gt=0, description="number of poolings, each of which halves")
    kind: Literal["direct", "residual"] = Field(
        default="direct", description="predict the image, or what to add to the input"
    )


PARAMETERS = 31_031_875

PRESETS = (
    Preset(
        name="unet-residual",
        description="width and depth of the paper, predicts what to add to the input",
        options={"kind": "residual"},
        parameters=PARAMETERS,
        kind="residual",
    ),
    Preset(
        name="unet-width32",
        description="half the channels of the paper",
        options={"width": 32},
        parameters=7_760_163,
        feature_channels=32,
    ),
)


@hookimpl
def ugpnet_backbones() -> list[BackboneEntry]:
    """Return the one backbone of this distribution."""
    return [
        BackboneEntry(
            name="unet",
            description="U-Net with padded convolutions, of any depth and width",
            factory="ugpnet_backbones.unet.network:UNet",
            kind="direct",
            feature_channels=64,
            options=UNetOptions,
            signatures={"encoders.0.2.weight": "a U-Net"},
            reader="ugpnet_backbones.unet.checkpoints:options_of",
            size_multiple=16,
            loss="l1",
            parameters=PARAMETERS,
            presets=PRESETS,
            bfloat16=True,
            channels_last=True,
            small={"width": 8},
            paper="Ronneberger et al., U-Net: Convolutional Networks for Biomedical Image "
            "Segmentation, MICCAI 2015, 1505.04597",
            licence="Apache-2.0",
        )
    ]
