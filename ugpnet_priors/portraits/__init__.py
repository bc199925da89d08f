"""Models trained on portraits: the hook; the weights lie beside this file."""

from __future__ import annotations

from functools import partial

from ugpnet_core.plugins import ModelEntry, hookimpl

# What all of them have in common.
_entry = partial(
    ModelEntry, backbone="nafnet", prior="stylegan2", domain="faces", licence="Apache-2.0"
)


@hookimpl
def ugpnet_models() -> list[ModelEntry]:
    """Return the models whose weights are in this distribution."""
    return [
        _entry(
            name="portraits",
            description="Real photographs: noise, blur, JPEG, grey; faces at 256 pixels",
            file="ugpnet_priors.portraits:portraits.safetensors",
            sha256="f0e595546f020a6e9fd9df73cf827e8668b00a97afc5fe24f5817d91bcf9912b",
            task="photo",
            resolution=256,
            parameters=12_779_387,
        ),
        _entry(
            name="portraits-denoise",
            description="Removes heavy noise from portraits (sigma 0.3, k 30), at 256 pixels",
            file="ugpnet_priors.portraits:portraits-denoise.safetensors",
            sha256="9ff0ea368a5d8d18633d0a1785a3e161a0ab6c080c39c9a78423644c0ec0b4e5",
            task="denoise",
            resolution=256,
            parameters=8_168_907,
        ),
        _entry(
            name="portraits-deblur",
            description="Sharpens portraits that a shaken camera has blurred, at 256 pixels",
            file="ugpnet_priors.portraits:portraits-deblur.safetensors",
            sha256="6eb7a42d15a97c33987fc631ba1c3dc97518e1692e83b540c31c7574c46caa09",
            task="deblur",
            resolution=256,
            parameters=8_168_907,
        ),
        _entry(
            name="portraits-sr8",
            description="Enlarges portraits eight times, from 32 to 256 pixels",
            file="ugpnet_priors.portraits:portraits-sr8.safetensors",
            sha256="5578604d8bdbdec05a84cffe2c4d420df83b06656470bcf8fc60d23f31af84db",
            task="sr8",
            resolution=256,
            parameters=8_168_907,
        ),
    ]
