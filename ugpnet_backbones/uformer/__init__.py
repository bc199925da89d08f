"""Uformer as a backbone plugin: the hook and the options; the network is in ``network.py``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from ugpnet_core.plugins import BackboneEntry, Options, Preset, hookimpl

Count = Annotated[int, Field(ge=0)]
Heads = Annotated[int, Field(gt=0)]


class UformerOptions(Options):
    """Named as in the published code; the defaults are those of Uformer-B."""

    img_size: int = Field(
        default=128,
        ge=16,
        description="side of the training crops: stages where these are no larger than a window "
        "do not shift it, which no file of weights tells; images of any size are taken",
    )
    in_chans: int = Field(default=3, ge=3, le=3, description="colour channels; always RGB here")
    dd_in: int = Field(default=3, ge=3, le=3, description="colour channels; always RGB here")
    embed_dim: int = Field(default=32, gt=0, description="channels of the first stage")
    depths: list[Count] = Field(
        default=[1, 2, 8, 8, 2, 8, 8, 2, 1],
        min_length=9,
        max_length=9,
        description="blocks of the four encoder stages, the bottleneck and the four decoder stages",
    )
    num_heads: list[Heads] = Field(
        default=[1, 2, 4, 8, 16, 16, 8, 4, 2],
        min_length=9,
        max_length=9,
        description="attention heads of each stage",
    )
    win_size: int = Field(default=8, ge=2, description="side of the attention windows, in tokens")
    mlp_ratio: float = Field(
        default=4.0,
        gt=0,
        allow_inf_nan=False,
        description="hidden channels of the feed-forward layers, as a multiple of the stage's",
    )
    qkv_bias: bool = Field(default=True, description="biases of queries, keys and values")
    qk_scale: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="factor of the logits (default: 1 / sqrt(channels of a head))",
    )
    drop_path_rate: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="stochastic depth in training, at the bottleneck (the published code: 0.1)",
    )
    token_projection: Literal["linear"] = Field(
        default="linear", description="how queries, keys and values are made"
    )
    token_mlp: Literal["leff", "ffn", "mlp"] = Field(
        default="leff", description="feed-forward layer: locally enhanced, or plain (ffn, mlp)"
    )
    shift_flag: bool = Field(default=True, description="shift the windows of every second block")
    modulator: bool = Field(default=True, description="learned modulators in the decoder")


# The published code makes these with modulators; the paper counts them without.
_UNIFORM: dict[str, Any] = {"depths": [2] * 9, "modulator": True}

PRESETS = (
    Preset(
        name="uformer-t",
        description="as the published code makes it, tiny",
        options={"embed_dim": 16, **_UNIFORM},
        parameters=5_291_853,
        feature_channels=32,
    ),
    Preset(
        name="uformer-s",
        description="as the published code makes it, small",
        options={"embed_dim": 32, **_UNIFORM},
        parameters=20_751_197,
    ),
    Preset(
        name="uformer-b",
        description="as in the paper and published for denoising, trained on crops of 128 pixels",
        options={"embed_dim": 32, "depths": [1, 2, 8, 8, 2, 8, 8, 2, 1], "modulator": True},
        parameters=50_880_946,
    ),
    Preset(
        name="uformer-b-256",
        description="as published for deblurring, trained on crops of 256 pixels",
        options={
            "img_size": 256,
            "embed_dim": 32,
            "depths": [1, 2, 8, 8, 2, 8, 8, 2, 1],
            "modulator": True,
        },
        parameters=50_880_946,
    ),
)


@hookimpl
def ugpnet_backbones() -> list[BackboneEntry]:
    """Return the one backbone of this distribution."""
    return [
        BackboneEntry(
            name="uformer",
            description="Uformer: a U-Net of transformer blocks with attention in windows",
            factory="ugpnet_backbones.uformer.network:Uformer",
            kind="residual",
            feature_channels=64,
            options=UformerOptions,
            signatures={"input_proj.proj.0.weight": "Uformer"},
            reader="ugpnet_backbones.uformer.checkpoints:options_of",
            size_multiple=16,
            loss="charbonnier",
            parameters=50_880_946,
            presets=PRESETS,
            bfloat16=True,
            channels_last=True,
            small={"embed_dim": 8, "depths": [2, 1, 1, 1, 1, 1, 1, 1, 2]},
            paper="Wang et al., Uformer: A General U-Shaped Transformer for Image Restoration, "
            "CVPR 2022, 2106.03106",
            licence="Apache-2.0",
        )
    ]
