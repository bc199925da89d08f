"""U-Nets over timm's encoders as a backbone plugin: the hook, the options and the presets.

The network is in ``network.py``; ``encoder.py`` makes encoders, and ``sizes.py`` finds out which
image sizes they take.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ugpnet_core.plugins import BackboneEntry, Options, Preset, hookimpl

Index = Annotated[int, Field(ge=0)]
Width = Annotated[int, Field(gt=0)]


class TimmUNetOptions(Options):
    """``encoder``, ``pretrained``, ``checkpoint_path``, ``out_indices`` and ``img_size`` are those
    of ``timm.create_model``."""

    encoder: str = Field(default="resnet18", description="a model of timm that gives feature maps")
    pretrained: bool = Field(
        default=False, description="start from timm's weights, downloaded unless in its cache"
    )
    checkpoint_path: str | None = Field(
        default=None, description="start from the encoder's weights in this file"
    )
    out_indices: list[Index] | None = Field(
        default=None, min_length=1, description="feature maps to use (default: timm's choice)"
    )
    img_size: int | None = Field(
        default=None,
        gt=0,
        description="side that windows and position embeddings are made for (default: timm's)",
    )
    decoder_channels: list[Width] | None = Field(
        default=None,
        description="widths of the decoder, coarsest first (default: ..., 128, 64, 32; up to 512)",
    )


def _preset(name: str, encoder: str, parameters: int) -> Preset:
    return Preset(
        name=name,
        description=f"encoder {encoder}",
        options={"encoder": encoder},
        parameters=parameters,
    )


PRESETS = (
    _preset("timm_unet-resnet34", "resnet34", 29_942_211),
    _preset("timm_unet-convnext-tiny", "convnext_tiny", 38_393_059),
    _preset("timm_unet-efficientnet-b0", "efficientnet_b0", 10_428_159),
    _preset("timm_unet-swin-tiny", "swin_tiny_patch4_window7_224", 38_092_285),
)


@hookimpl
def ugpnet_backbones() -> list[BackboneEntry]:
    """Return the one backbone of this distribution."""
    return [
        BackboneEntry(
            name="timm_unet",
            description="U-Net decoder over any encoder of timm, convolutional or transformer",
            factory="ugpnet_backbones.timm_unet.network:TimmUNet",
            kind="direct",
            feature_channels=32,
            options=TimmUNetOptions,
            signatures={"decoder.0.2.weight": "a U-Net over an encoder of timm"},
            size_multiple=32,
            loss="l1",
            parameters=19_834_051,
            presets=PRESETS,
            bfloat16=True,
            channels_last=True,
            paper="Ronneberger et al., U-Net, MICCAI 2015, 1505.04597; encoders: Wightman, PyTorch "
            "Image Models",
            licence="Apache-2.0",
        )
    ]
