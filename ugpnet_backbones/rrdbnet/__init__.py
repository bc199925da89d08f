"""RRDBNet as a backbone plugin: the hook and the options; the network is in ``network.py``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ugpnet_core.plugins import BackboneEntry, Options, Preset, hookimpl


class RRDBNetOptions(Options):
    """Named as in the published code, with its defaults."""

    num_in_ch: int = Field(default=3, ge=3, le=3, description="colour channels; always RGB here")
    num_out_ch: int = Field(default=3, ge=3, le=3, description="colour channels; always RGB here")
    scale: Literal[1, 2, 4, 8] = Field(default=4, description="how many times larger the result is")
    num_feat: int = Field(default=64, gt=0, description="channels of the trunk")
    num_block: int = Field(default=23, gt=0, description="blocks of the trunk")
    num_grow_ch: int = Field(default=32, gt=0, description="channels that each convolution adds")


def _preset(name: str, description: str, parameters: int, **options: Any) -> Preset:
    scale = options["scale"]
    return Preset(
        name=name,
        description=description,
        options=options,
        parameters=parameters,
        scale=scale,
        size_multiple=max(4 // scale, 1),
    )


PRESETS = (
    _preset("rrdbnet-x2", "as published in Real-ESRGAN x2plus", 16_703_171, scale=2),
    _preset("rrdbnet-x4", "as published in ESRGAN and in Real-ESRGAN x4plus", 16_697_987, scale=4),
    _preset("rrdbnet-x8", "for faces 8 times smaller, as in UGPNet", 16_734_915, scale=8),
    _preset(
        "rrdbnet-x4-anime-6b",
        "as published in Real-ESRGAN for drawings, small",
        4_467_779,
        scale=4,
        num_block=6,
    ),
)


@hookimpl
def ugpnet_backbones() -> list[BackboneEntry]:
    """Return the one backbone of this distribution."""
    return [
        BackboneEntry(
            name="rrdbnet",
            description="RRDBNet: the super-resolution network of ESRGAN, for 1, 2, 4 or 8 times",
            factory="ugpnet_backbones.rrdbnet.network:RRDBNet",
            kind="direct",
            feature_channels=64,
            scale=4,
            signatures={
                "body.0.rdb1.conv1.weight": "RRDBNet",
                "RRDB_trunk.0.RDB1.conv1.weight": "RRDBNet",
                "model.1.sub.0.RDB1.conv1.0.weight": "RRDBNet",
            },
            reader="ugpnet_backbones.rrdbnet.checkpoints:options_of",
            layers_reader="ugpnet_backbones.rrdbnet.checkpoints:from_layers",
            published="ugpnet_backbones.rrdbnet.checkpoints:published",
            options=RRDBNetOptions,
            loss="l1",
            parameters=16_697_987,
            presets=PRESETS,
            bfloat16=True,
            channels_last=True,
            exports_onnx=True,
            small={"num_feat": 8, "num_block": 1, "num_grow_ch": 4},
            paper="Wang et al., ESRGAN, ECCV Workshops 2018, 1809.00219",
            licence="Apache-2.0",
        )
    ]
