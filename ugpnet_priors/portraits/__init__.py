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
            sha256="a9e7a83d0f974d209c60e8d94e2777ada4bc3504a60fd89c02a626cf77815145",
            task="photo",
            resolution=256,
            parameters=12_779_387,
        ),
        _entry(
            name="portraits-denoise",
            description="Removes heavy noise from portraits (sigma 0.3, k 30), at 256 pixels",
            file="ugpnet_priors.portraits:portraits-denoise.safetensors",
            sha256="acb1f7387a2ab1c76e804abfa2f58b059b47c2bdb1b51de3748ae1d365e96abf",
            task="denoise",
            resolution=256,
            parameters=8_168_907,
        ),
        _entry(
            name="portraits-deblur",
            description="Sharpens portraits that a shaken camera has blurred, at 256 pixels",
            file="ugpnet_priors.portraits:portraits-deblur.safetensors",
            sha256="09452e3977857d2192442cfdc16c8361663c7de6b68d0cfcfa1a5cb946e7c6d9",
            task="deblur",
            resolution=256,
            parameters=8_168_907,
        ),
        _entry(
            name="portraits-sr8",
            description="Enlarges portraits eight times, from 32 to 256 pixels",
            file="ugpnet_priors.portraits:portraits-sr8.safetensors",
            sha256="8604301fa4c8d47de17321d89fb29a69749ec65f86ea2b54f7d9f18577dedfd6",
            task="sr8",
            resolution=256,
            parameters=8_168_907,
        ),
    ]
