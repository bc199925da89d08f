"""Self-attention in windows of a token map (Uformer's W-MSA, Section 3.2, eq. 2 to 4), with the
cyclic shift of the Swin transformer (Liu et al., ICCV 2021, https://arxiv.org/abs/2103.14030).

A map that is no multiple of the window is filled up, and what fills it is never attended to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# What is added to the logits. The first is the published value. After the second, softmax gives
# exactly zero; an infinity would do so too, but yields NaN in some attention kernels.
ELSEWHERE = -100.0
FILLING = -10_000.0

Band = tuple[slice, Tensor | None]


@dataclass(frozen=True)
class WindowGrid:
    """How a map of ``height`` x ``width`` tokens is cut into square windows after a cyclic shift
    to the top left."""

    height: int
    width: int
    window: int
    shift: int

    def partition(self, x: Tensor) -> Tensor:
        """Map tokens (N, H, W, C) to windows (N, rows, columns, window ** 2, C)."""
        side = self.window
        x = F.pad(x, (0, 0, 0, -self.width % side, 0, -self.height % side))
        if self.shift:
            x = x.roll((-self.shift, -self.shift), (1, 2))
        n, height, width, channels = x.shape
        x = x.view(n, height // side, side, width // side, side, channels)
        return x.transpose(2, 3).flatten(3, 4)

    def merge(self, windows: Tensor) -> Tensor:
        """Undo :meth:`partition`."""
        side = self.window
        x = windows.unflatten(3, (side, side)).transpose(2, 3).flatten(3, 4).flatten(1, 2)
        if self.shift:
            x = x.roll((self.shift, self.shift), (1, 2))
        tokens: Tensor = x[:, : self.height, : self.width]
        return tokens

    def bands(self, x: Tensor) -> list[Band]:
        """Rows of windows with what to add to the logits of each, on the device of x.

        A mask is (columns, window ** 2, window ** 2), the same for all rows of its band; None
        adds nothing. Only the last rows and columns need masks, so that these few hold for maps
        of any size.
        """
        if not self._masked(self.height) and not self._masked(self.width):
            return [(slice(None), None)]
        rows, columns = self._groups(self.height, x), self._groups(self.width, x)
        plain = len(rows) - self._masked(self.height)
        bands: list[Band] = []
        if plain:
            mask = self._mask(rows[0], columns) if self._masked(self.width) else None
            bands.append((slice(0, plain), mask))
        for row in range(plain, len(rows)):
            bands.append((slice(row, row + 1), self._mask(rows[row], columns)))
        return bands

    def _masked(self, size: int) -> int:
        """How many windows at the end of a side hold tokens that must not see each other."""
        return min(-(-(self.shift + -size % self.window) // self.window), -(-size // self.window))

    def _groups(self, size: int, x: Tensor) -> Tensor:
        """To which group each token along a side belongs, (windows, window): 0, or 1 where the
        shift brought it from the other end, or -1 where it fills the map up."""
        filled = size + -size % self.window
        place = torch.arange(filled, device=x.device)
        wrapped = (place >= filled - self.shift).long()
        filling = (place + self.shift) % filled >= size
        return wrapped.masked_fill(filling, -1).view(-1, self.window)

    def _mask(self, row: Tensor, columns: Tensor) -> Tensor:
        # Dimensions: window, then row and column of the query, row and column of the key.
        others = (row[:, None] != row)[None, :, None, :, None]
        others = others | (columns[:, :, None] != columns[:, None, :])[:, None, :, None, :]
        filling = (row < 0)[None, None, None, :, None] | (columns < 0)[:, None, None, None, :]
        mask = torch.zeros(others.shape, device=row.device)
        mask = mask.masked_fill(others, ELSEWHERE).masked_fill(filling, FILLING)
        return mask.flatten(3, 4).flatten(1, 2)


class LinearProjection(nn.Module):
    """Queries, keys and values of each head."""

    def __init__(self, dim: int, heads: int, bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(dim, dim, bias=bias)
        self.to_kv = nn.Linear(dim, 2 * dim, bias=bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map (..., T, C) to three times (..., heads, T, C / heads)."""
        q = self.to_q(x).unflatten(-1, (self.heads, -1)).transpose(-2, -3)
        k, v = self.to_kv(x).unflatten(-1, (2, self.heads, -1)).unbind(-3)
        return q, k.transpose(-2, -3), v.transpose(-2, -3)


class WindowAttention(nn.Module):
    """softmax(q k / sqrt(d) + B) v in each window, B a learned bias of the relative position;
    ``qk_scale`` takes the place of 1 / sqrt(d)."""

    relative_position_index: Tensor

    def __init__(
        self, dim: int, window: int, heads: int, qkv_bias: bool, qk_scale: float | None = None
    ) -> None:
        super().__init__()
        self.qk_scale = qk_scale
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.register_buffer("relative_position_index", _relative_positions(window), False)
        self.qkv = LinearProjection(dim, heads, qkv_bias)
        self.proj = nn.Linear(dim, dim)

    def forward(self, windows: Tensor, bands: list[Band]) -> Tensor:
        """Keep the shape (N, rows, columns, window ** 2, C); ``bands`` are those of the grid."""
        q, k, v = self.qkv(windows)
        bias = self.relative_position_bias_table[self.relative_position_index]
        bias = bias.permute(2, 0, 1).to(q.dtype)
        seen = [
            _attend(q[:, rows], k[:, rows], v[:, rows], bias, mask, self.qk_scale)
            for rows, mask in bands
        ]
        out: Tensor = self.proj(seen[0] if len(seen) == 1 else torch.cat(seen, 1))
        return out

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # Published checkpoints store the index, which follows from the size of the window.
        state_dict.pop(f"{prefix}relative_position_index", None)
        super()._load_from_state_dict(state_dict, prefix, *args)


def _attend(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor, mask: Tensor | None, scale: float | None
) -> Tensor:
    """Attention (N, rows, columns, heads, T, d) -> (N, rows, columns, T, heads * d)."""
    shape = q.shape
    # The kernels take four dimensions. With a mask, the windows of a row become heads, so that
    # the mask need not be repeated for every row and image.
    merged = (0, 2) if mask is None else (0, 1)
    q, k, v = (each.flatten(*merged) for each in (q, k, v))
    if mask is None:
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None], scale=scale)
    else:
        q, k, v = (each.flatten(1, 2) for each in (q, k, v))
        bias = (mask.to(bias.dtype)[:, None] + bias).flatten(0, 1)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None], scale=scale)
    return out.reshape(shape).transpose(-2, -3).flatten(-2)


def _relative_positions(window: int) -> Tensor:
    """The row of the bias table for each pair of query and key, (window ** 2, window ** 2)."""
    place = torch.arange(window)
    offset = place[:, None] - place + window - 1
    pairs = offset[:, None, :, None] * (2 * window - 1) + offset[None, :, None, :]
    return pairs.reshape(window**2, window**2)
