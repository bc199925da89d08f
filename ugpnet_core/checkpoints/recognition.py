"""Which architecture a state dict looks like, told by the names of its tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

# A key that only one architecture has; the more telling ones first.
SIGNATURES: Mapping[str, str] = {
    "fusmodule.conv.weight": "a published UGPNet (read it with load_model)",
    "fusion.conv.weight": "a whole model of this toolkit (read it with load_model)",
    "style_convs.0.modulated_conv.weight": "a StyleGAN2 generator (prior 'stylegan2')",
    "conv1.conv.modulation.weight": "a StyleGAN2 generator (prior 'stylegan2')",
    "conv_body.0.0.weight": "a StyleGAN2 discriminator",
    "final_conv.0.weight": "a StyleGAN2 discriminator",
    "middle_blks.0.conv1.weight": "NAFNet (backbone 'nafnet')",
    "shallow_feat1.0.weight": "MPRNet",
    "sam12.conv1.weight": "HINet (backbone 'hinet')",
    "body.0.rdb1.conv1.weight": "RRDBNet (backbone 'rrdbnet')",
    "RRDB_trunk.0.RDB1.conv1.weight": "RRDBNet (backbone 'rrdbnet')",
    "model.1.sub.0.RDB1.conv1.0.weight": "RRDBNet (backbone 'rrdbnet')",
    "input_proj.proj.0.weight": "Uformer (backbone 'uformer')",
    "encoders.0.2.weight": "a U-Net (backbone 'unet')",
    "decoder.0.2.weight": "a U-Net over an encoder of timm (backbone 'timm_unet')",
    "encoder_level1.0.attn.qkv_dwconv.weight": "Restormer",
    "body.0.body.0.dau_top.body.0.weight": "MIRNet-v2",
    "layers.0.residual_group.overlap_attn.relative_position_bias_table": "HAT",
    "layers.0.residual_group.blocks.0.attn.logit_scale": "Swin2SR",
    "layers.0.residual_group.blocks.0.attn.aligned_relative_position_index": "SRFormer",
    "layers.0.residual_group.td": "ATD",
    "layers.0.residual_group.blocks.0.norm1.weight": "SwinIR",
    "layers.0.blocks.0.ffn.sg.norm.weight": "DAT",
    "m_down1.0.trans_block.ln1.weight": "SCUNet",
    "m_down1.0.res.0.weight": "DRUNet",
    "conv_1.sk.weight": "SPAN",
    "body.0.body.0.body.3.conv_du.0.weight": "RCAN",
    "conv_after_body.weight": "EDSR",
    "stylegan_decoder.style_mlp.1.weight": "GFPGAN",
    "ft_layers.0.self_attn.in_proj_weight": "CodeFormer",
    "quantize.embedding.weight": "a vector-quantised autoencoder, such as RestoreFormer",
    "body.1.weight": "the compact network of Real-ESRGAN",
    **dict.fromkeys(
        (
            "fc.weight",
            "head.weight",
            "head.fc.weight",
            "heads.head.weight",
            "classifier.weight",
            "classifier.0.weight",
            "classifier.1.weight",
            "classifier.2.weight",
            "last_linear.weight",
        ),
        "an image classifier",
    ),
}


def prefixes(keys: Iterable[str]) -> Iterator[str]:
    """What all keys begin with, in whole words, from nothing to the longest: "", "model.",
    "model.net_g."."""
    found, rests = "", list(keys)
    while rests:
        yield found
        parts = [key.partition(".") for key in rests]
        first = parts[0][0]
        if not all(word == first and rest for word, _, rest in parts):
            break
        found += f"{first}."
        rests = [rest for _, _, rest in parts]


def known_prefix(keys: Iterable[str]) -> str | None:
    """The prefix that all keys share and without which they are an architecture's; None where they
    are of none known here."""
    keys = set(keys)
    return next((p for p in prefixes(keys) if any(p + key in keys for key in SIGNATURES)), None)


def recognise(keys: Iterable[str]) -> str:
    """Say in words which architecture the keys of a state dict look like, whatever prefix they
    share."""
    keys = set(keys)
    prefix = known_prefix(keys)
    if prefix is None:
        return "no architecture known here"
    return next(words for key, words in SIGNATURES.items() if prefix + key in keys)
