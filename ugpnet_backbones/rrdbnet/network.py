"""RRDBNet.

X. Wang, K. Yu, S. Wu, J. Gu, Y. Liu, C. Dong, Y. Qiao, C. C. Loy: ESRGAN: Enhanced Super-Resolution
Generative Adversarial Networks, ECCV Workshops 2018, https://arxiv.org/abs/1809.00219; original
code Apache-2.0. Scales 1 and 2: X. Wang, L. Xie, C. Dong, Y. Shan: Real-ESRGAN, ICCV Workshops
2021, https://arxiv.org/abs/2107.10833; original code BSD-3-Clause. This is an independent
implementation, in the key layout of BasicSR, which the checkpoints of Real-ESRGAN have; older
layouts are translated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ugpnet_backbones.rrdbnet.checkpoints import in_own_keys
from ugpnet_core.plugins import RegressionNetwork, conv3x3

SLOPE = 0.2
RESIDUAL_SCALE = 0.2  # beta in Fig. 4
INITIAL_SCALE = 0.1


class RRDBNet(RegressionNetwork):
    """A direct backbone without batch normalisation (Fig. 3 and 4); feature_channels is
    ``num_feat``.

    Scales 4 and 8 enlarge twice and three times, at the end. Scales 1 and 2 fold blocks of 4x4 and
    2x2 pixels into channels first, and enlarge twice (Real-ESRGAN, Fig. 4).
    """

    kind: Literal["direct", "residual"] = "direct"

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        scale: int = 4,
        num_feat: int = 64,
        num_block: int = 23,
        num_grow_ch: int = 32,
    ) -> None:
        super().__init__()
        self.feature_channels = num_feat
        self.scale = scale
        self.size_multiple = max(4 // scale, 1)
        self.conv_first = conv3x3(num_in_ch * self.size_multiple**2, num_feat)
        self.body = nn.Sequential(*(RRDB(num_feat, num_grow_ch) for _ in range(num_block)))
        self.conv_body = conv3x3(num_feat, num_feat)
        self.conv_up1 = conv3x3(num_feat, num_feat)
        self.conv_up2 = conv3x3(num_feat, num_feat)
        self.conv_up3 = conv3x3(num_feat, num_feat) if scale == 8 else None
        self.conv_hr = conv3x3(num_feat, num_feat)
        self.conv_last = conv3x3(num_feat, num_out_ch)

    def forward_features(self, x: Tensor) -> Tensor:
        """Map x (N, 3, H, W) to what enters the last convolution (N, num_feat, H * scale,
        W * scale); H and W are multiples of 4 for scale 1, and of 2 for scale 2."""
        f = self.conv_first(F.pixel_unshuffle(x, self.size_multiple))
        f = f + self.conv_body(self.body(f))
        for conv in (self.conv_up1, self.conv_up2, self.conv_up3):
            if conv is not None:
                f = _activated(conv(F.interpolate(f, scale_factor=2, mode="nearest")))
        return _activated(self.conv_hr(f))

    def head(self, f: Tensor) -> Tensor:
        """Map the feature map (N, num_feat, H, W) to the image (N, 3, H, W)."""
        image: Tensor = self.conv_last(f)
        return image

    def translate_published_keys(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename the keys of checkpoints in the two older layouts, that of ESRGAN
        (model.1.sub.0.RDB1.conv1.0.weight) and that of BSRGAN (RRDB_trunk.0.RDB1.conv1.weight)."""
        return in_own_keys(tensors)


class RRDB(nn.Module):
    """Three dense blocks with an addition around them (Fig. 4, right)."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = DenseBlock(channels, growth)
        self.rdb2 = DenseBlock(channels, growth)
        self.rdb3 = DenseBlock(channels, growth)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (N, channels, H, W)."""
        f: Tensor = self.rdb3(self.rdb2(self.rdb1(x)))
        return x + f * RESIDUAL_SCALE


class DenseBlock(nn.Module):
    """Five convolutions, each of which sees all maps before it (dense block, Fig. 4)."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(channels, growth)
        self.conv2 = conv3x3(channels + growth, growth)
        self.conv3 = conv3x3(channels + 2 * growth, growth)
        self.conv4 = conv3x3(channels + 3 * growth, growth)
        self.conv5 = conv3x3(channels + 4 * growth, channels)
        # Small initial weights, which make deep networks trainable (section 3.1).
        for parameter in self.parameters():
            if parameter.dim() == 1:
                nn.init.zeros_(parameter)
            else:
                nn.init.kaiming_normal_(parameter)
                parameter.data.mul_(INITIAL_SCALE)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (N, channels, H, W)."""
        maps = x
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            maps = torch.cat([maps, _activated(conv(maps))], 1)
        return x + self.conv5(maps) * RESIDUAL_SCALE  # type: ignore[no-any-return]


def _activated(f: Tensor) -> Tensor:
    return F.leaky_relu(f, SLOPE)
