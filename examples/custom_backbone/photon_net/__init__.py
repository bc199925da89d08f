"""PhotonNet as a plugin of ugpnet: the hook, the options and the preset.

The toolkit imports this module to list what is installed, so it imports no torch; the network,
in ``network.py``, is imported when it is first used.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from ugpnet_core.plugins import BackboneEntry, Options, Preset, hookimpl

Dilation = Annotated[int, Field(gt=0)]


class PhotonOptions(Options):
    """The arguments of the network."""

    width: int = Field(default=48, gt=0, description="channels of the feature map")
    dilations: list[Dilation] = Field(
        default=[1, 2, 4, 8, 4, 2, 1],
        min_length=1,
        description="one residual block each, at half resolution",
    )


@hookimpl
def ugpnet_backbones() -> list[BackboneEntry]:
    """Return PhotonNet."""
    return [
        BackboneEntry(
            name="photon",
            description="PhotonNet: dilated residual blocks at half resolution, for photon noise",
            factory="photon_net.network:PhotonNet",
            kind="residual",
            feature_channels=48,
            size_multiple=2,
            options=PhotonOptions,
            loss="charbonnier",
            parameters=334_371,
            presets=(
                Preset(
                    name="photon-tiny",
                    description="quick to try on a laptop",
                    options={"width": 16, "dilations": [1, 2, 4]},
                    parameters=19_683,
                    feature_channels=16,
                ),
            ),
            paper="none: an example",
            licence="Apache-2.0",
        )
    ]
