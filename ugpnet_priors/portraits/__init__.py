"""Models trained on portraits: the hook; the weights lie beside this file."""

from __future__ import annotations

from ugpnet_core.plugins import ModelEntry, hookimpl


@hookimpl
def ugpnet_models() -> list[ModelEntry]:
    """Return the models whose weights are in this distribution."""
    return [
        ModelEntry(
            name="portraits",
            description="Real photographs: noise, blur, JPEG, grey; faces at 256 pixels",
            file="ugpnet_priors.portraits:portraits.safetensors",
            sha256="a9e7a83d0f974d209c60e8d94e2777ada4bc3504a60fd89c02a626cf77815145",
            task="photo",
            resolution=256,
            backbone="nafnet",
            prior="stylegan2",
            domain="faces",
            parameters=12_779_387,
            licence="Apache-2.0",
        ),
        ModelEntry(
            name="portraits-denoise",
            description="Removes heavy noise from portraits (sigma 0.3, k 30), at 128 pixels",
            file="ugpnet_priors.portraits:portraits-denoise.safetensors",
            sha256="616d04c83939488f52a41f310d49176f34a33de343d2cb58ef7646f4b059322d",
            task="denoise",
            resolution=128,
            backbone="nafnet",
            prior="stylegan2",
            domain="faces",
            parameters=4_283_278,
            licence="Apache-2.0",
        ),
    ]
