"""Which architecture a state dict looks like, told by the names of its tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from ugpnet_core.plugins.discovery import registry

Kind = Literal["backbone", "prior", "other", "unknown", "classifier", "discriminator"]
# Of several networks, those of the first kind that there is could be meant. What is unknown may
# restore; a classifier or a discriminator never does.
KINDS: tuple[Kind, ...] = ("backbone", "prior", "other", "unknown", "classifier", "discriminator")
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
    "layers.0.residual_group.hf_blocks.0.attn.temperature": "CRAFT",
    "layers.0.residual_group.blocks.0.norm1.weight": "SwinIR",
    "layers.0.blocks.0.ffn.sg.norm.weight": "DAT",
    "UFONE.0.ITLs.0.attn.temperature": "DITN",
    "encoder_level1.0.ffn.fft": "FFTformer",
    "m_down1.0.trans_block.ln1.weight": "SCUNet",
    "qf_pred.0.res.0.weight": "FBCNN",
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


# Words of a name that are looked at for what it lies behind.
_DEEPEST = 32
# What must be there, too, for a key that others have.
_TOGETHER: Mapping[str, str] = {
    "conv_after_body.weight": "body.0.conv1.weight",
    "body.1.weight": "body.0.weight",
}


def signatures() -> dict[str, tuple[Kind, str]]:
    """What each key that only one architecture has tells, the more telling ones first: the kind
    of the network, and its name in words."""
    known: dict[str, tuple[Kind, str]] = {key: ("other", words) for key, words in _FIRST.items()}
    for name, prior in registry().priors.items():
        entry = prior.entry
        for key, words in entry.signatures.items():
            known[key] = ("prior", f"{words} (prior {name!r})")
        for key, words in entry.discriminator_signatures.items():
            known[key] = ("discriminator", f"{words} (prior {name!r})")
    for name, backbone in registry().backbones.items():
        for key, words in backbone.entry.signatures.items():
            known[key] = ("backbone", f"{words} (backbone {name!r})")
    for key, words in _OTHERS.items():
        known.setdefault(key, ("classifier" if words == CLASSIFIER else "other", words))
    return known


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


def networks_in(keys: Iterable[str]) -> dict[str, Kind]:
    """The networks of known architectures in a state dict: what stands before their keys, and of
    which kind they are. What only looks like a network inside of another one is none."""
    keys = list(dict.fromkeys(keys))
    names, shared = set(keys), set(prefixes(keys))
    found: dict[str, Kind] = {}
    for end, (kind, _) in signatures().items():
        # Each key once: what is behind it must be a whole name.
        places = [key.removesuffix(end) for key in keys if key == end or key.endswith(f".{end}")]
        for place in places:
            # Losses hold classifiers; one is meant where there is nothing else.
            is_there = place in shared if kind == "classifier" else True
            if is_there and place + _TOGETHER.get(end, end) in names:
                found.setdefault(place, kind)
    networks = {place: kind for place, kind in found.items() if kind != "classifier"} or found
    return {place: networks[place] for place in outermost(networks)}


def outermost(found: Iterable[str]) -> list[str]:
    """Of several prefixes or names, those that do not lie behind another one."""
    found = list(found)
    places = {one.removesuffix(".") for one in found}

    def is_inside(place: str) -> bool:
        words = place.removesuffix(".").split(".", _DEEPEST)
        outer = (".".join(words[:depth]) for depth in range(min(len(words), _DEEPEST)))
        return bool(place) and not places.isdisjoint(outer)

    return [one for one in found if not is_inside(one)]


def meant(networks: Mapping[str, Kind]) -> list[str]:
    """Of networks by their names, those that could be meant where none is named."""
    first = min(networks.values(), key=KINDS.index, default=None)
    return [name for name, kind in networks.items() if kind == first]


def network_prefixes(keys: Iterable[str]) -> list[str]:
    """Where the networks begin in a state dict that could be meant; none where there are only
    discriminators beside something else, which is unknown."""
    keys = list(keys)
    networks, shared = networks_in(keys), set(prefixes(keys))
    known = meant(networks)
    if all(networks[place] == "discriminator" for place in known):
        known = [place for place in known if place in shared]
    return sorted(known)


def recognise(keys: Iterable[str]) -> str:
    """Say in words which architecture the keys of a state dict look like, whatever stands before
    them.

    Args:
        keys: The keys of the state dict.
    """
    keys = set(keys)
    found = network_prefixes(sorted(keys))
    if not found:
        return "no architecture known here"
    told = signatures().items()
    return next(
        words
        for key, (_, words) in told
        if found[0] + key in keys and found[0] + _TOGETHER.get(key, key) in keys
    )


def count_numbered(keys: Iterable[str], pattern: str) -> int:
    """How many layers of a kind there are: one more than the largest number that the group of a
    pattern, such as ``r"body\\.(\\d+)\\."``, finds at the beginning of a key.

    Args:
        keys: The keys of a state dict.
        pattern: A regular expression with one group of digits.

    Examples:
        >>> from ugpnet_core.plugins import count_numbered
        >>> count_numbered(["body.0.weight", "body.1.weight", "tail.weight"], r"body[.](\\d+)[.]")
        2
    """
    found = (re.match(pattern, key) for key in keys)
    return max((int(match[1]) for match in found if match), default=-1) + 1
