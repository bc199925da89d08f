"""Which architecture a state dict looks like, told by the names of its tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from ugpnet_core.plugins.discovery import registry

Kind = Literal["backbone", "prior", "other"]
CLASSIFIER = "an image classifier"
# Keys that only one architecture has, of those that no plugin brings. What shares a key with one of
# a plugin comes first.
_FIRST: Mapping[str, str] = {
    "fusmodule.conv.weight": "a published UGPNet (read it with load_model)",
    "fusion.conv.weight": "a whole model of this toolkit (read it with load_model)",
    "shallow_feat1.0.weight": "MPRNet",
}
_OTHERS: Mapping[str, str] = {
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
        CLASSIFIER,
    ),
}


def signatures() -> dict[str, str]:
    """What each key that only one architecture has tells, the more telling ones first."""
    own = {**_of_plugins("prior"), **_of_plugins("backbone")}
    return {**_FIRST, **own, **_OTHERS}


def _of_plugins(kind: Kind) -> dict[str, str]:
    group = registry().priors if kind == "prior" else registry().backbones
    return {
        key: f"{words} ({kind} {one.entry.name!r})"
        for one in group.values()
        for key, words in one.entry.signatures.items()
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
    keys, known = set(keys), signatures()
    return next((p for p in prefixes(keys) if any(p + key in keys for key in known)), None)


def network_prefixes(
    keys: Iterable[str], kinds: Sequence[Kind] = ("backbone", "prior", "other")
) -> list[str]:
    """Where networks of known architectures begin in a state dict: behind the prefix that all keys
    share, or else behind those of single modules. Restoring networks come before priors, and these
    before others; what is found of the first such kind is all that counts."""
    keys = set(keys)
    if (shared := known_prefix(keys)) is not None:
        return [shared]
    others = {key: words for key, words in _OTHERS.items() if words != CLASSIFIER}
    for kind in kinds:
        known = others if kind == "other" else _of_plugins(kind)
        # Each key once: what is behind it must be a whole name.
        found = {
            key.removesuffix(end): None for key in keys for end in known if key.endswith(f".{end}")
        }
        if found:
            return sorted(found)
    return []


def recognise(keys: Iterable[str]) -> str:
    """Say in words which architecture the keys of a state dict look like, whatever stands before
    them."""
    keys = set(keys)
    found = network_prefixes(keys)
    if not found:
        return "no architecture known here"
    return next(words for key, words in signatures().items() if found[0] + key in keys)


def count_numbered(keys: Iterable[str], pattern: str) -> int:
    """How many layers of a kind there are: one more than the largest number that the group of a
    pattern, such as ``r"body\\.(\\d+)\\."``, finds at the beginning of a key."""
    found = (re.match(pattern, key) for key in keys)
    return max((int(match[1]) for match in found if match), default=-1) + 1
