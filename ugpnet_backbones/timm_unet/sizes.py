"""Which image sizes an encoder takes: found out by trying, without computing anything."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ugpnet_core.plugins import ConfigError

# Convolutions without padding, as in Inception, lose some pixels at the border of a map.
TOLERANCE = 4


class SizeRule(NamedTuple):
    """Sides must be multiples of ``multiple``; if ``fixed`` is not None, that one side only."""

    multiple: int
    fixed: int | None


def find_size_rule(encoder: Any, name: str, usual_side: int) -> SizeRule:
    """Try multiples of the largest reduction, and then the size the encoder was designed for.

    Windows and position embeddings restrict sizes, each family of encoders in its own way, and
    timm does not say how; but a copy on torch's meta device shows it in a moment.

    Raises:
        ConfigError: the encoder takes none of these sizes.
    """
    probe = copy.deepcopy(encoder).to("meta").eval()
    reductions: list[int] = encoder.feature_info.reduction()
    base = math.lcm(*reductions)
    sides = [base * times for times in (1, 2, 4, 6, 7, 8, 12)]
    fixed = None
    for side in dict.fromkeys([*sides, usual_side]):
        failure = _failure(probe, reductions, side, side)
        if failure is None:
            # Two different sides, so that an encoder for squares only is not taken for general.
            if _failure(probe, reductions, 2 * side, 3 * side) is None:
                return SizeRule(side, None)
            fixed = fixed or side
    if fixed is None:
        raise ConfigError(
            f"Encoder {name!r} takes images of none of the sizes {sides} and {usual_side}; choose "
            f"another ({failure})."
        ) from failure
    return SizeRule(fixed, fixed)


def _failure(probe: Any, reductions: Sequence[int], height: int, width: int) -> Exception | None:
    """What is wrong with the maps of an image of this size."""
    try:
        maps = probe(torch.zeros(1, 3, height, width, device="meta"))
    except Exception as error:  # whatever an encoder raises at a size that it does not take
        return error
    for each, reduction in zip(as_channels_first(probe, maps), reductions, strict=True):
        for side, found in zip((height, width), each.shape[2:], strict=True):
            if abs(found - side // reduction) > TOLERANCE:
                return ValueError(f"{side} pixels became {found} where 1/{reduction} was expected")
    return None


def as_channels_first(encoder: Any, maps: Sequence[Tensor]) -> list[Tensor]:
    """The maps of an encoder as (N, C, H, W); those of Swin, for instance, are (N, H, W, C)."""
    if str(getattr(encoder, "output_fmt", "NCHW")).endswith("NHWC"):
        return [each.permute(0, 3, 1, 2) for each in maps]
    return list(maps)


def centred(x: Tensor, height: int, width: int) -> Tensor:
    """Cut (N, C, ...) to (N, C, height, width) or repeat its border, alike on both sides."""
    down, right = height - x.shape[2], width - x.shape[3]
    if not (down or right):
        return x
    top, left = down // 2, right // 2
    x = x[:, :, max(-top, 0) :, max(-left, 0) :][:, :, :height, :width]
    down, right = height - x.shape[2], width - x.shape[3]
    return F.pad(x, (right // 2, right - right // 2, down // 2, down - down // 2), "replicate")
