"""What Uformer is built from; each takes and gives tokens as a map (N, H, W, C) unless it says
otherwise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ugpnet_backbones.uformer.attention import Band, WindowAttention, WindowGrid


class Stage(nn.Module):
    """LeWin transformer blocks at one resolution; every second one shifts its windows."""

    def __init__(
        self,
        channels: int,
        heads: int,
        *,
        window: int,
        shift: int,
        hidden: int,
        qkv_bias: bool,
        qk_scale: float | None,
        token_mlp: str,
        modulator: bool,
        drop_path_rates: Sequence[float],
    ) -> None:
        super().__init__()
        self.window = window
        self.shifts = [shift * (index % 2) for index in range(len(drop_path_rates))]
        self.blocks = nn.ModuleList(
            LeWinBlock(
                channels, heads, window, hidden, qkv_bias, qk_scale, token_mlp, modulator, rate
            )
            for rate in drop_path_rates
        )

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (N, H, W, C)."""
        height, width = x.shape[1:3]
        grids = {s: WindowGrid(height, width, self.window, s) for s in set(self.shifts)}
        bands = {shift: grid.bands(x) for shift, grid in grids.items()}
        for block, shift in zip(self.blocks, self.shifts, strict=True):
            x = block(x, grids[shift], bands[shift])
        return x


class LeWinBlock(nn.Module):
    """Attention in windows, then a locally enhanced feed-forward layer (Fig. 2 b, eq. 1), in the
    decoder with a modulator: a learned value of each place in a window (Section 3.3)."""

    def __init__(
        self,
        channels: int,
        heads: int,
        window: int,
        hidden: int,
        qkv_bias: bool,
        qk_scale: float | None,
        token_mlp: str,
        modulator: bool,
        drop_path_rate: float,
    ) -> None:
        super().__init__()
        self.modulator = nn.Embedding(window**2, channels) if modulator else None
        self.norm1 = nn.LayerNorm(channels)
        self.attn = WindowAttention(channels, window, heads, qkv_bias, qk_scale)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = LeFF(channels, hidden) if token_mlp == "leff" else Mlp(channels, hidden)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: Tensor, grid: WindowGrid, bands: list[Band]) -> Tensor:
        """Keep the shape (N, H, W, C); ``bands`` are those of the grid."""
        windows = grid.partition(self.norm1(x))
        if self.modulator is not None:
            windows = windows + self.modulator.weight
        x = x + self.drop_path(grid.merge(self.attn(windows, bands)))
        out: Tensor = x + self.drop_path(self.mlp(self.norm2(x)))
        return out


class LeFF(nn.Module):
    """A feed-forward layer with a depthwise 3x3 convolution in its middle (Fig. 3)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.linear1 = nn.Sequential(nn.Linear(channels, hidden), nn.GELU())
        self.dwconv = nn.Sequential(
            nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden), nn.GELU()
        )
        self.linear2 = nn.Sequential(nn.Linear(hidden, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (N, H, W, C)."""
        y = self.dwconv(self.linear1(x).permute(0, 3, 1, 2))
        out: Tensor = self.linear2(y.permute(0, 2, 3, 1))
        return out


class Mlp(nn.Module):
    """The feed-forward layer of a plain transformer."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (N, H, W, C)."""
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class DropPath(nn.Module):
    """Stochastic depth (Huang et al., ECCV 2016): in training, leave out the branch for some of
    the images, and make up for it in the others."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (N, ...)."""
        if not self.training or not self.rate:
            return x
        kept = torch.rand(x.shape[0], *[1] * (x.dim() - 1), device=x.device) >= self.rate
        return x * (kept / (1 - self.rate)).to(x.dtype)


class InputProj(nn.Module):
    """The image (N, 3, H, W) to tokens (N, H, W, C)."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(nn.Conv2d(in_channels, channels, 3, padding=1), nn.LeakyReLU())

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 3, H, W) to (N, H, W, C)."""
        return self.proj(x).permute(0, 2, 3, 1)  # type: ignore[no-any-return]


class OutputProj(nn.Module):
    """The feature map (N, C, H, W) to the residual (N, 3, H, W)."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(nn.Conv2d(channels, out_channels, 3, padding=1))

    def forward(self, f: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, 3, H, W)."""
        return self.proj(f)  # type: ignore[no-any-return]


class Downsample(nn.Module):
    """Tokens to half the resolution."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(channels, out_channels, 4, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, H, W, C) to (N, H / 2, W / 2, C')."""
        return self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)  # type: ignore[no-any-return]


class Upsample(nn.Module):
    """Tokens to twice the resolution."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.deconv = nn.Sequential(nn.ConvTranspose2d(channels, out_channels, 2, 2))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, H, W, C) to (N, 2 * H, 2 * W, C')."""
        return self.deconv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)  # type: ignore[no-any-return]
