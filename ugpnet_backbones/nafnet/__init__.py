"""NAFNet as a backbone plugin: the hook and the options; the network is in ``network.py``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from ugpnet_core.plugins import BackboneEntry, Options, Preset, hookimpl

Count = Annotated[int, Field(ge=0)]


class NAFNetOptions(Options):
    """Named as in the published code; the defaults are those of NAFNet-GoPro-width32."""

    img_channel: int = Field(default=3, ge=3, le=3, description="colour channels; always RGB here")
    width: int = Field(default=32, gt=0, description="channels at full resolution")
    middle_blk_num: int = Field(default=1, ge=0, description="blocks at the lowest resolution")
    enc_blk_nums: list[Count] = Field(default=[1, 1, 1, 28], description="blocks of each encoder")
    dec_blk_nums: list[Count] = Field(default=[1, 1, 1, 1], description="blocks of each decoder")
    local_pooling: bool = Field(
        default=False, description="pool locally (TLC), for images larger than in training"
    )
    train_size: int | list[int] = Field(
        default=256, description="size of the training crops: side, or [..., height, width]"
    )
    base_size: int | list[int] | None = Field(
        default=None, description="pooling window at full resolution (default: 1.5 x train_size)"
    )
    fast_imp: Literal[False] = Field(
        default=False, description="the published code can approximate local pooling; not here"
    )


_SIDD: dict[str, Any] = {
    "middle_blk_num": 12,
    "enc_blk_nums": [2, 2, 4, 8],
    "dec_blk_nums": [2, 2, 2, 2],
}


def _preset(name: str, description: str, parameters: int, **options: Any) -> Preset:
    return Preset(
        name=name,
        description=description,
        options=options,
        parameters=parameters,
        feature_channels=options["width"],
    )


PRESETS = (
    _preset("nafnet-gopro-width32", "as published for deblurring, small", 17_111_907, width=32),
    _preset("nafnet-gopro-width64", "as published for deblurring", 67_888_835, width=64),
    _preset(
        "nafnet-reds-width64",
        "as published for deblurring and JPEG artefacts",
        67_888_835,
        width=64,
    ),
    _preset(
        "nafnet-sidd-width32", "as published for denoising, small", 29_159_715, width=32, **_SIDD
    ),
    _preset("nafnet-sidd-width64", "as published for denoising", 115_982_915, width=64, **_SIDD),
)


@hookimpl
def ugpnet_backbones() -> list[BackboneEntry]:
    """Return the one backbone of this distribution."""
    return [
        BackboneEntry(
            name="nafnet",
            description="NAFNet: a U-Net of gated blocks without activation functions",
            factory="ugpnet_backbones.nafnet.network:NAFNet",
            kind="residual",
            feature_channels=32,
            options=NAFNetOptions,
            loss="psnr",
            parameters=17_111_907,
            presets=PRESETS,
            bfloat16=True,
            channels_last=True,
            signatures={"middle_blks.0.conv1.weight": "NAFNet"},
            reader="ugpnet_backbones.nafnet.checkpoints:options_of",
            published="ugpnet_backbones.nafnet.checkpoints:published",
            small={"width": 4, "enc_blk_nums": [1, 1, 1, 2]},
            paper="Chen et al., Simple Baselines for Image Restoration, ECCV 2022, 2204.04676",
            licence="Apache-2.0",
        )
    ]
