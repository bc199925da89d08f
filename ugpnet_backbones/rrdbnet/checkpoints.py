"""What the tensors of an RRDBNet say about the network."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ugpnet_core.plugins import count_numbered

LAYERS_OF_BLOCK = 15  # three dense blocks of five
LAYERS_AROUND = 4  # the first, the one behind the blocks, and the last two


def in_own_keys(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the keys of the older layouts, see
    :meth:`ugpnet_backbones.rrdbnet.network.RRDBNet.translate_published_keys`."""
    numbers = [key.split(".")[1] for key in tensors if re.fullmatch(r"model\.\d+\.bias", key)]
    # The last convolution is model.{3 * n + 4} after n upsampling layers.
    top = max((int(number) for number in numbers if len(number) < 3), default=0)
    rules = {
        r"model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0": r"body.\1.rdb\2.conv\3",
        r"RRDB_trunk\.(\d+)\.RDB(\d)\.conv(\d)": r"body.\1.rdb\2.conv\3",
        r"model\.1\.sub\.\d+|trunk_conv": "conv_body",
        r"model\.0": "conv_first",
        r"upconv(\d)": r"conv_up\1",
        **{rf"model\.{index}": f"conv_up{index // 3}" for index in range(3, top - 3, 3)},
        rf"model\.{top - 2}|HRconv": "conv_hr",
        rf"model\.{top}": "conv_last",
    }

    def renamed(key: str) -> str:
        layer, _, kind = key.rpartition(".")
        for old, new in rules.items():
            match = re.fullmatch(old, layer)
            if match:
                return f"{match.expand(new)}.{kind}"
        return key

    return {renamed(key): value for key, value in tensors.items()}


def options_of(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The options that the shapes and names of a state dict determine, whichever layout it has.

    Raises:
        KeyError: a layer is missing.
    """
    tensors = in_own_keys(tensors)
    features, inputs = tensors["conv_first.weight"].shape[:2]
    # For 2 and 1 times, the image enters as 12 or 48 channels of a half or a quarter of its size.
    scale = {12: 2, 48: 1}.get(inputs, 8 if "conv_up3.weight" in tensors else 4)
    return {
        "scale": scale,
        "num_feat": features,
        "num_block": count_numbered(tensors, r"body\.(\d+)\."),
        "num_grow_ch": tensors["body.0.rdb1.conv1.weight"].shape[0],
    }


def published(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Any], str]:
    """Options and task of the restoration module of a published UGPNet."""
    options = options_of(tensors)
    return options, f"sr{options['scale']}"


def from_layers(
    layers: Sequence[Mapping[str, Tensor]],
) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """Options and state dict of a network whose layers have no names, in the order in which they
    run; None where they are not those of an RRDBNet."""
    if len(layers) < LAYERS_AROUND + LAYERS_OF_BLOCK or any("bias" not in one for one in layers):
        return None
    shapes = [tuple(layer["weight"].shape) for layer in layers]
    features = shapes[0][0]
    growth = shapes[1][0]
    # The blocks end where a convolution follows that no dense block has.
    widths = [features + growth * index for index in range(5)]
    block = [(growth, width, 3, 3) for width in widths[:4]] + [(features, widths[4], 3, 3)]
    blocks = 0
    while shapes[1 + blocks * LAYERS_OF_BLOCK :][:LAYERS_OF_BLOCK] == block * 3:
        blocks += 1
    enlarging = len(layers) - LAYERS_AROUND - blocks * LAYERS_OF_BLOCK
    if not blocks or enlarging not in (2, 3):
        return None
    names = [
        "conv_first",
        *(
            f"body.{index}.rdb{dense}.conv{conv}"
            for index in range(blocks)
            for dense in range(1, 4)
            for conv in range(1, 6)
        ),
        "conv_body",
        *(f"conv_up{index}" for index in range(1, enlarging + 1)),
        "conv_hr",
        "conv_last",
    ]
    state = {
        f"{name}.{kind}": value
        for name, layer in zip(names, layers, strict=True)
        for kind, value in layer.items()
    }
    return options_of(state), state
