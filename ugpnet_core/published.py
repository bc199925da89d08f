"""Read checkpoints in the key layout of the published UGPNet (resmodule, synmodule, fusmodule).

Everything that the constructor needs is derived from the shapes of the tensors.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from torch import Tensor

from ugpnet_core.config import ComponentConfig, ModelConfig, TaskConfig
from ugpnet_core.errors import WeightsError

# The published model names of modules, and ours; the first that fits is applied.
PREFIXES: Mapping[str, str] = {
    "resmodule.regression.": "restoration.backbone.",
    "resmodule.encoder.input_encoder.": "restoration.structure_encoder.",
    "resmodule.encoder.merge_decoder.": "restoration.merging.blocks.",
    "resmodule.encoder.to_img.body.0.": "restoration.merging.to_image.",
    "synmodule.fencoder.": "synthesis.encoder.",
    "synmodule.wmodule.": "synthesis.map2style.",
    "synmodule.generator.": "synthesis.generator.",
    "fusmodule.": "fusion.",
}
# The published model pools locally, over windows of 1.5 times its 256-pixel training crops.
TRAIN_SIZE = 256


def is_published(tensors: Mapping[str, Tensor]) -> bool:
    """Tell whether a state dict is in the published layout."""
    return any(key.startswith("resmodule.") for key in tensors)


def from_published(
    tensors: Mapping[str, Tensor], task: str = "deblur"
) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Translate a published state dict into a configuration and a state dict of ours.

    The file does not say which task it was trained for; deblurring is assumed, which matters
    only where the task is drawn from the configuration (``ugpnet evaluate`` without ``--task``).

    Raises:
        WeightsError: the restoration module is not a NAFNet, or a key is unknown or missing.
    """
    if "resmodule.regression.intro.weight" not in tensors:
        raise WeightsError(
            "The published checkpoint has a restoration module other than NAFNet; only NAFNet's "
            "layout can be read so far."
        )
    try:
        return _translated(tensors, task)
    except (KeyError, ValueError, IndexError) as error:
        raise WeightsError(
            f"The published checkpoint is incomplete ({error}); get it again."
        ) from error


def _translated(tensors: Mapping[str, Tensor], task: str) -> tuple[ModelConfig, dict[str, Tensor]]:
    renamed = {_rename(key): value for key, value in tensors.items()}
    base_channels = renamed["synthesis.encoder.conv1x1.weight"].shape[0]
    style_dim = renamed["synthesis.generator.style_mlp.1.weight"].shape[0]
    noises = [key for key in renamed if key.startswith("synthesis.generator.noises.")]
    resolution = max(renamed[key].shape[-1] for key in noises)
    # 4x4 to 32x32 maps have 512 * narrow channels; the last ones 2**14 / r * multiplier * narrow.
    narrow = renamed["synthesis.generator.constant_input.weight"].shape[1] / 512
    last = renamed[
        f"synthesis.generator.style_convs.{2 * int(math.log2(resolution)) - 5}.activate.bias"
    ]
    multiplier = max(round(last.numel() * resolution / 2**14 / narrow), 1)
    widths = [
        renamed[f"synthesis.encoder.downblocks.{index}.conv.0.bias"].numel()
        for index in range(_count(renamed, r"synthesis\.encoder\.downblocks\.(\d+)\."))
    ]
    config = ModelConfig(
        backbone=ComponentConfig(
            name="nafnet",
            options={**_nafnet_options(renamed), "local_pooling": True, "train_size": TRAIN_SIZE},
        ),
        prior=ComponentConfig(
            name="stylegan2",
            options={
                "resolution": resolution,
                "style_dim": style_dim,
                "num_mlp": _count(renamed, r"synthesis\.generator\.style_mlp\.(\d+)\.") - 1,
                "channel_multiplier": multiplier,
                "narrow": narrow,
                "base_size": resolution // 2 ** (len(widths) - 1),
            },
        ),
        task=TaskConfig(name=task),
        merging_channels=renamed["restoration.merging.to_image.weight"].shape[1],
        encoder_channels=widths,
        map2style_channels=renamed["synthesis.map2style.convs.0.bias"].numel(),
        fusion_blocks=_count(renamed, r"fusion\.body\.(\d+)\."),
    )
    if base_channels != renamed["synthesis.generator.constant_input.weight"].shape[1]:
        raise WeightsError("The published checkpoint's encoder does not fit its generator.")
    return config, renamed


def _rename(key: str) -> str:
    for published, ours in PREFIXES.items():
        if key.startswith(published):
            return ours + key.removeprefix(published)
    raise WeightsError(f"Key {key!r} is not one of a published UGPNet; get another checkpoint.")


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    """One more than the largest index that a pattern finds among the keys."""
    found = (re.match(pattern, key) for key in tensors)
    return max((int(match[1]) for match in found if match), default=-1) + 1


def _nafnet_options(tensors: Mapping[str, Tensor]) -> dict[str, int | list[int]]:
    prefix = r"restoration\.backbone\."
    levels = _count(tensors, prefix + r"encoders\.(\d+)\.")

    def depths(part: str) -> list[int]:
        return [_count(tensors, rf"{prefix}{part}\.{i}\.(\d+)\.") for i in range(levels)]

    return {
        "width": tensors["restoration.backbone.intro.weight"].shape[0],
        "middle_blk_num": _count(tensors, prefix + r"middle_blks\.(\d+)\."),
        "enc_blk_nums": depths("encoders"),
        "dec_blk_nums": depths("decoders"),
    }
