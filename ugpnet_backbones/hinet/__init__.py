"""HINet as a backbone plugin: the hook and the options; the network is in ``network.py``."""

from __future__ import annotations

from pydantic import Field

from ugpnet_core.plugins import BackboneEntry, Options, Preset, hookimpl


class HINetOptions(Options):
    """Named as in the published code, with its defaults.

    The levels from ``hin_position_left`` to ``hin_position_right`` of both encoders normalise half
    of their channels; none does where left is more than right.
    """

    in_chn: int = Field(default=3, ge=3, le=3, description="colour channels; always RGB here")
    wf: int = Field(default=64, gt=0, description="channels at full resolution")
    depth: int = Field(default=5, gt=0, description="levels of each U-Net; each halves the size")
    relu_slope: float = Field(default=0.2, ge=0, le=1, description="slope of LeakyReLU below 0")
    hin_position_left: int = Field(
        default=0, ge=0, description="first level with half instance normalisation (0 is finest)"
    )
    hin_position_right: int = Field(
        default=4, ge=0, description="last level with half instance normalisation"
    )
    shared_conv: bool = Field(
        default=False,
        description="both stages begin with conv_01, as in the copy of the published UGPNet",
    )


PRESETS = (
    Preset(
        name="hinet-gopro",
        description="as published for deblurring",
        options={"hin_position_left": 3, "hin_position_right": 4},
        parameters=88_668_806,
    ),
    Preset(
        name="hinet-sidd",
        description="as published for denoising",
        options={"hin_position_left": 0, "hin_position_right": 4},
        parameters=88_669_702,
    ),
    Preset(
        name="hinet-sidd-0.5x",
        description="as published for denoising, half as wide",
        options={"wf": 32, "hin_position_left": 0, "hin_position_right": 4},
        parameters=22_176_518,
        feature_channels=32,
    ),
)


@hookimpl
def ugpnet_backbones() -> list[BackboneEntry]:
    """Return the one backbone of this distribution."""
    return [
        BackboneEntry(
            name="hinet",
            description="HINet: two U-Nets that normalise half of their channels per image",
            factory="ugpnet_backbones.hinet.network:HINet",
            kind="residual",
            feature_channels=64,
            size_multiple=16,
            signatures={"sam12.conv1.weight": "HINet"},
            reader="ugpnet_backbones.hinet.checkpoints:options_of",
            published="ugpnet_backbones.hinet.checkpoints:published",
            options=HINetOptions,
            loss="psnr",
            parameters=88_669_702,
            presets=PRESETS,
            bfloat16=True,
            channels_last=True,
            exports_onnx=True,
            small={"wf": 8},
            paper="Chen et al., HINet, CVPR Workshops 2021, 2105.06086",
            licence="Apache-2.0",
        )
    ]
