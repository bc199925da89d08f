"""StyleGAN2 as a generative prior of ugpnet: the hook that announces it (imports no torch)."""

from __future__ import annotations

from ugpnet_core.plugins import PriorEntry, hookimpl
from ugpnet_priors.stylegan2.options import StyleGAN2Options


@hookimpl
def ugpnet_priors() -> list[PriorEntry]:
    """Return the StyleGAN2 prior; any power-of-two resolution, 512 by default."""
    return [
        PriorEntry(
            name="stylegan2",
            description="StyleGAN2 generator and discriminator, key layout of FFHQ checkpoints",
            factory="ugpnet_priors.stylegan2.generator:StyleGAN2Generator",
            discriminator="ugpnet_priors.stylegan2.discriminator:discriminator_for",
            reader="ugpnet_priors.stylegan2.reader:read",
            grow="ugpnet_priors.stylegan2.growing:grow",
            signatures={
                "style_convs.0.modulated_conv.weight": "a StyleGAN2 generator",
                "conv1.conv.modulation.weight": "a StyleGAN2 generator",
            },
            discriminator_signatures={
                "conv_body.0.0.weight": "a StyleGAN2 discriminator",
                "final_conv.0.weight": "a StyleGAN2 discriminator",
            },
            options=StyleGAN2Options,
            resolution=512,
            small={"resolution": 32, "narrow": 0.0625, "style_dim": 32, "num_mlp": 2},
            paper="Karras et al., Analyzing and Improving the Image Quality of StyleGAN, "
            "CVPR 2020, arXiv:1912.04958",
            licence="Apache-2.0",
        )
    ]
