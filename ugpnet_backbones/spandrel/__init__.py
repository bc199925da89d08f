"""Any network of spandrel as a backbone plugin: the hook and the options."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from ugpnet_core.plugins import BackboneEntry, Options, hookimpl


class SpandrelOptions(Options):
    """One of ``checkpoint`` and ``architecture`` says which network; what else is left out is
    found by running it."""

    checkpoint: str | None = Field(
        default=None, description="file with the weights of a network that spandrel recognises"
    )
    key: str | None = Field(
        default=None, description="which network of a checkpoint that holds several"
    )
    architecture: str | None = Field(
        default=None, description="an untrained network instead: ESRGAN, PLKSR:RealPLKSR, ..."
    )
    arguments: dict[str, JsonValue] = Field(
        default={}, description="of the architecture's constructor, as spandrel names them"
    )
    kind: Literal["direct", "residual"] = Field(
        default="direct", description="residual: for networks that add their last layer to x"
    )
    last_layer: str | None = Field(
        default=None, description="dotted name of the layer whose input is the feature map"
    )
    pixel_shuffle: int = Field(
        default=1, ge=1, description="factor of a pixel shuffle that follows the named last layer"
    )
    carry_remainder: bool | None = Field(
        default=None, description="append what the last layer leaves out to the feature map"
    )
    size_multiple: int | None = Field(
        default=None, ge=1, description="what height and width must be multiples of"
    )
    fixed_size: int | None = Field(
        default=None, ge=1, description="the one side of images, for networks that take only one"
    )


@hookimpl
def ugpnet_backbones() -> list[BackboneEntry]:
    """Return the one backbone of this distribution."""
    return [
        BackboneEntry(
            name="spandrel",
            description="any network that spandrel recognises in a checkpoint: checkpoint=PATH",
            factory="ugpnet_backbones.spandrel.network:spandrel_backbone",
            kind="direct",
            feature_channels=None,
            options=SpandrelOptions,
            reader="ugpnet_backbones.spandrel.architectures:options_of",
            paper="https://github.com/chaiNNer-org/spandrel",
            licence="Apache-2.0; spandrel is MIT, each network and checkpoint has its own",
        )
    ]
