"""NAFNet.

L. Chen, X. Chu, X. Zhang, J. Sun: Simple Baselines for Image Restoration, ECCV 2022,
https://arxiv.org/abs/2204.04676; original code MIT. Local pooling: X. Chu, L. Chen, C. Chen,
X. Lu: Improving Image Restoration by Revisiting Global Information Aggregation, ECCV 2022,
https://arxiv.org/abs/2112.04491. This is an independent implementation, in the key layout of the
published checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ugpnet_core.plugins import (
    ChannelLayerNorm,
    ConfigError,
    RegressionNetwork,
    check_images,
    cropped,
)


class LocalPool(nn.Module):
    """The mean over a window around each pixel; over the whole map where that is smaller (TLC).

    The windows stay inside the map: near its border the nearest whole window is used.
    """

    def __init__(self, window: tuple[int, int]) -> None:
        super().__init__()
        self.window = window

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to means (N, C, H, W), or (N, C, 1, 1) where one window holds all."""
        mean = x.mean((2, 3), keepdim=True)
        height, width = x.shape[2:]
        rows, columns = min(self.window[0], height), min(self.window[1], width)
        if (rows, columns) == (height, width):
            return mean
        # Running sums of what deviates from the mean stay small, and with them their rounding.
        means = mean + _window_mean(_window_mean(x - mean, 2, rows), 3, columns)
        up, left = (height - means.shape[2]) // 2, (width - means.shape[3]) // 2
        down, right = height - means.shape[2] - up, width - means.shape[3] - left
        return F.pad(means, (left, right, up, down), mode="replicate")


def _window_mean(x: Tensor, dim: int, window: int) -> Tensor:
    """Means of all runs of ``window`` values along a dimension, which shrinks by window - 1."""
    zero = torch.zeros_like(x.narrow(dim, 0, 1))
    sums = torch.cat([zero, x.cumsum(dim)], dim)
    count = x.shape[dim] - window + 1
    return (sums.narrow(dim, window, count) - sums.narrow(dim, 0, count)) / window


def _gate(x: Tensor) -> Tensor:
    """SimpleGate: the product of the two halves of the channels (eq. 4)."""
    first, second = x.chunk(2, dim=1)
    return first * second


def _scaled(conv: nn.Conv2d, scale: Tensor, x: Tensor) -> Tensor:
    """scale * conv(x), for a scale (1, C, 1, 1) of each channel.

    The weights are scaled instead of the map, which is larger by far; under autocast the map stays
    in the lower precision, too. A step of training takes a sixth less time on a processor.
    """
    assert conv.bias is not None
    return F.conv2d(x, conv.weight * scale.view(-1, 1, 1, 1), conv.bias * scale.flatten())


class NAFBlock(nn.Module):
    """Gated convolution with channel attention, then a gated feed-forward layer (Fig. 2 c)."""

    def __init__(self, channels: int, pool: nn.Module) -> None:
        super().__init__()
        self.norm1 = ChannelLayerNorm(channels)
        self.conv1 = nn.Conv2d(channels, 2 * channels, 1)
        self.conv2 = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels)
        self.sca = nn.Sequential(pool, nn.Conv2d(channels, channels, 1))
        self.conv3 = nn.Conv2d(channels, channels, 1)
        self.norm2 = ChannelLayerNorm(channels)
        self.conv4 = nn.Conv2d(channels, 2 * channels, 1)
        self.conv5 = nn.Conv2d(channels, channels, 1)
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (N, channels, H, W)."""
        return self._fed_forward(self._attended(x))

    # Two functions, so that no map of the one is kept through the other.

    def _attended(self, x: Tensor) -> Tensor:
        y = _gate(self.conv2(self.conv1(self.norm1(x))))
        y = y * self.sca(y)  # eq. 5
        return x + _scaled(self.conv3, self.beta, y)

    def _fed_forward(self, x: Tensor) -> Tensor:
        y = _gate(self.conv4(self.norm2(x)))
        return x + _scaled(self.conv5, self.gamma, y)


class NAFNet(RegressionNetwork):
    """A residual backbone; feature_channels is ``width``.

    Takes any size: the image is padded with zeros to a multiple of 2 ** len(enc_blk_nums), as the
    published network does, and the result cropped.
    """

    kind: Literal["direct", "residual"] = "residual"

    def __init__(
        self,
        img_channel: int = 3,
        width: int = 32,
        middle_blk_num: int = 1,
        enc_blk_nums: Sequence[int] = (1, 1, 1, 28),
        dec_blk_nums: Sequence[int] = (1, 1, 1, 1),
        local_pooling: bool = False,
        train_size: int | Sequence[int] = 256,
        base_size: int | Sequence[int] | None = None,
        fast_imp: Literal[False] = False,
    ) -> None:
        super().__init__()
        if fast_imp:
            raise ConfigError("fast_imp approximates local pooling; leave it out for exact means.")
        if len(enc_blk_nums) != len(dec_blk_nums):
            raise ConfigError(
                f"enc_blk_nums has {len(enc_blk_nums)} levels and dec_blk_nums "
                f"{len(dec_blk_nums)}; give both as many."
            )
        self.feature_channels = width
        self.levels = len(enc_blk_nums)
        train = _height_width(train_size)
        base = (train[0] * 3 // 2, train[1] * 3 // 2)
        if base_size is not None:
            base = _height_width(base_size)
        multiple = 2**self.levels

        def blocks(channels: int, count: int, level: int) -> nn.Sequential:
            def pool() -> nn.Module:
                if not local_pooling:
                    return nn.AdaptiveAvgPool2d(1)
                # What the window covers of a map is what base_size covers of a training crop.
                # A training crop too is padded to the multiple that the levels need.
                sides = [
                    -(-t // multiple) * multiple // 2**level * b // t
                    for t, b in zip(train, base, strict=True)
                ]
                return LocalPool((max(sides[0], 1), max(sides[1], 1)))

            return nn.Sequential(*(NAFBlock(channels, pool()) for _ in range(count)))

        widths = [width * 2**level for level in range(self.levels + 1)]
        self.intro = nn.Conv2d(img_channel, width, 3, padding=1)
        self.encoders = nn.ModuleList(
            blocks(widths[level], count, level) for level, count in enumerate(enc_blk_nums)
        )
        self.downs = nn.ModuleList(nn.Conv2d(w, 2 * w, 2, 2) for w in widths[:-1])
        self.middle_blks = blocks(widths[-1], middle_blk_num, self.levels)
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(w, 2 * w, 1, bias=False), nn.PixelShuffle(2))
            for w in reversed(widths[1:])
        )
        self.decoders = nn.ModuleList(
            blocks(widths[self.levels - 1 - index], count, self.levels - 1 - index)
            for index, count in enumerate(dec_blk_nums)
        )
        self.ending = nn.Conv2d(width, img_channel, 3, padding=1)

    def forward_features(self, x: Tensor) -> Tensor:
        """Map x (N, 3, H, W) to what enters the last convolution (N, width, H, W)."""
        check_images(x)
        return cropped(self._padded_features(x), x)

    def head(self, f: Tensor) -> Tensor:
        """Map the feature map (N, width, H, W) to the residual (N, 3, H, W)."""
        residual: Tensor = self.ending(f)
        return residual

    def forward(self, x: Tensor) -> Tensor:
        """Restore x (N, 3, H, W) in [0, 1]; the result may leave that range a little."""
        check_images(x)
        # The head sees the padded map, as in the published network; cropping comes last.
        return x + cropped(self.head(self._padded_features(x)), x)

    def _padded_features(self, x: Tensor) -> Tensor:
        multiple = 2**self.levels
        f = self.intro(F.pad(x, (0, -x.shape[3] % multiple, 0, -x.shape[2] % multiple)))
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            f = encoder(f)
            skips.append(f)
            f = down(f)
        f = self.middle_blks(f)
        for up, decoder, skip in zip(self.ups, self.decoders, reversed(skips), strict=True):
            f = decoder(up(f) + skip)
        return f  # type: ignore[no-any-return]


def _height_width(size: int | Sequence[int]) -> tuple[int, int]:
    """Read a size given as a side, as (height, width), or as a whole tensor shape."""
    sides = [size, size] if isinstance(size, int) else list(size)[-2:]
    if len(sides) != 2 or min(sides) < 1:
        raise ConfigError(
            f"A size is a side in pixels, or [..., height, width] of at least 1, not {size}."
        )
    return sides[0], sides[1]
