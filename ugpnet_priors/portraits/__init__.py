"""Models trained on portraits: the hook; the weights lie beside this file."""

from __future__ import annotations

from ugpnet_core.plugins import ModelEntry, hookimpl


@hookimpl
def ugpnet_models() -> list[ModelEntry]:
    """Return the models whose weights are in this distribution."""
    return [
        ModelEntry(
            name="portraits",
            description="Real photographs: noise, blur, JPEG, grey; faces at 128 pixels",
            file="ugpnet_priors.portraits:portraits.safetensors",
            sha256="68043839d3c398559c7cd3bbd6ad24f9e63e5395871b6a738580c86d92195319",
            task="photo",
            resolution=128,
            backbone="nafnet",
            prior="stylegan2",
            domain="faces",
            parameters=4_283_278,
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
