"""Uformer.

Z. Wang, X. Cun, J. Bao, W. Zhou, J. Liu, H. Li: Uformer: A General U-Shaped Transformer for Image
Restoration, CVPR 2022, https://arxiv.org/abs/2106.03106; original code MIT. This is an
independent implementation, in the key layout of the published checkpoints (their misspelling
``dowsample`` included).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from ugpnet_backbones.uformer.blocks import Downsample, InputProj, OutputProj, Stage, Upsample
from ugpnet_core.plugins import ConfigError, RegressionNetwork

LEVELS = 4
STAGES = 2 * LEVELS + 1


class Uformer(RegressionNetwork):
    """A residual backbone; feature_channels is ``2 * embed_dim`` (Fig. 2 a).

    Takes any size. Where the published network needs multiples of 16 windows, this one fills the
    token maps up to whole windows and masks the filling, so that small images cost little; for
    those multiples both compute the same.

    ``img_size`` is the side of the training crops. It sets no limit, but as in the published
    code, stages where a crop is no larger than one window neither shift their windows nor have
    them larger than the crop.
    """

    kind: Literal["direct", "residual"] = "residual"
    size_multiple = 2**LEVELS

    def __init__(
        self,
        img_size: int = 128,
        in_chans: int = 3,
        dd_in: int = 3,
        embed_dim: int = 32,
        depths: Sequence[int] = (1, 2, 8, 8, 2, 8, 8, 2, 1),
        num_heads: Sequence[int] = (1, 2, 4, 8, 16, 16, 8, 4, 2),
        win_size: int = 8,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        drop_path_rate: float = 0.0,
        token_projection: Literal["linear"] = "linear",
        token_mlp: Literal["leff", "ffn", "mlp"] = "leff",
        shift_flag: bool = True,
        modulator: bool = True,
    ) -> None:
        super().__init__()
        widths = [embed_dim * 2**level for level in range(LEVELS + 1)]
        channels = [*widths, *(2 * width for width in reversed(widths[:-1]))]
        crops = [img_size // 2 ** min(stage, STAGES - 1 - stage) for stage in range(STAGES)]
        _check(depths, num_heads, channels, crops, win_size, mlp_ratio, modulator)
        if token_projection != "linear":
            raise ConfigError(f"token_projection is 'linear' here, not {token_projection!r}.")
        self.feature_channels = 2 * embed_dim
        rates = _drop_path_rates(drop_path_rate, depths)

        def stage(index: int) -> Stage:
            return Stage(
                channels[index],
                num_heads[index],
                window=min(win_size, crops[index]),
                shift=win_size // 2 if shift_flag and crops[index] > win_size else 0,
                hidden=int(channels[index] * mlp_ratio),
                qkv_bias=qkv_bias,
                qk_scale=qk_scale,
                token_mlp=token_mlp,
                modulator=modulator and index > LEVELS,
                drop_path_rates=rates[index],
            )

        self.input_proj = InputProj(dd_in, embed_dim)
        self.output_proj = OutputProj(2 * embed_dim, in_chans)
        for level, (width, wider) in enumerate(pairwise(widths)):
            self.add_module(f"encoderlayer_{level}", stage(level))
            self.add_module(f"dowsample_{level}", Downsample(width, wider))
        self.conv = stage(LEVELS)
        for index, width in enumerate(reversed(widths[:-1])):
            below = channels[LEVELS + index]
            self.add_module(f"upsample_{index}", Upsample(below, width))
            self.add_module(f"decoderlayer_{index}", stage(LEVELS + 1 + index))
        self.apply(_initialise)

    def forward_features(self, x: Tensor) -> Tensor:
        """Map x (N, 3, H, W), H and W multiples of 16, to what enters the output projection
        (N, 2 * embed_dim, H, W)."""
        tokens: Tensor = self.input_proj(x)
        skips = []
        for level in range(LEVELS):
            tokens = self.get_submodule(f"encoderlayer_{level}")(tokens)
            skips.append(tokens)
            tokens = self.get_submodule(f"dowsample_{level}")(tokens)
        tokens = self.conv(tokens)
        for index, skip in enumerate(reversed(skips)):
            tokens = self.get_submodule(f"upsample_{index}")(tokens)
            tokens = self.get_submodule(f"decoderlayer_{index}")(torch.cat([tokens, skip], -1))
        return tokens.permute(0, 3, 1, 2)

    def head(self, f: Tensor) -> Tensor:
        """Map the feature map (N, 2 * embed_dim, H, W) to the residual (N, 3, H, W)."""
        residual: Tensor = self.output_proj(f)
        return residual

    @staticmethod
    def translate_published_keys(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Leave out the indices that published checkpoints store beside each bias table."""
        index = ".relative_position_index"
        return {key: value for key, value in tensors.items() if not key.endswith(index)}


def _check(
    depths: Sequence[int],
    num_heads: Sequence[int],
    channels: Sequence[int],
    crops: Sequence[int],
    win_size: int,
    mlp_ratio: float,
    modulator: bool,
) -> None:
    for name, values in (("depths", depths), ("num_heads", num_heads)):
        if len(values) != STAGES:
            raise ConfigError(f"{name} has {len(values)} entries; give one for each of {STAGES}.")
    for count, heads in zip(channels, num_heads, strict=True):
        if heads < 1 or count % heads:
            raise ConfigError(
                f"{heads} heads cannot share {count} channels; choose num_heads that divide "
                f"{list(channels)}."
            )
    if int(channels[0] * mlp_ratio) < 1:
        raise ConfigError(f"mlp_ratio {mlp_ratio} leaves no hidden channels; choose a larger one.")
    if crops[LEVELS] < 1:
        raise ConfigError(f"img_size {crops[0]} is too small; give at least {2**LEVELS}.")
    if modulator and crops[LEVELS + 1] < win_size:
        raise ConfigError(
            f"Modulators of {win_size}x{win_size} tokens need windows of that size: give img_size "
            f"of at least {win_size * 2 ** (LEVELS - 1)}, or modulator=False."
        )


def _drop_path_rates(rate: float, depths: Sequence[int]) -> list[list[float]]:
    """For each stage, those of its blocks: rising through the encoder, falling in the decoder."""
    rising, falling = (_rising(rate, sum(d)) for d in (depths[:LEVELS], depths[LEVELS + 1 :]))
    rates = [*rising, *[rate] * depths[LEVELS], *reversed(falling)]
    return [rates[start:end] for start, end in pairwise(accumulate(depths, initial=0))]


def _rising(rate: float, count: int) -> list[float]:
    return [rate * index / max(count - 1, 1) for index in range(count)]


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
