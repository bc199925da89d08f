"""The fusion module: x_hat = Conv(R_fusion(Conv(f_syn) + f_reg)) (paper eq. 1)."""

from __future__ import annotations

from torch import Tensor, nn

from ugpnet_core.networks.blocks import ResidualBlock


class FusionModule(nn.Module):
    """Joins the structure of f_reg and the texture of f_syn in feature space.

    The paper's network is as wide as f_reg. Where ``channels`` asks for another width, a 1x1
    convolution brings f_reg to it.
    """

    def __init__(
        self,
        regression_channels: int,
        synthesis_channels: int,
        channels: int | None = None,
        blocks: int = 8,
    ) -> None:
        super().__init__()
        width = channels or regression_channels
        self.conv = nn.Conv2d(synthesis_channels, width, 3, padding=1)
        self.project: nn.Module = (
            nn.Identity()
            if width == regression_channels
            else nn.Conv2d(regression_channels, width, 1)
        )
        self.body = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.last = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, regression: Tensor, synthesis: Tensor) -> Tensor:
        """Map f_reg and f_syn, both (N, C, H, W), to x_hat (N, 3, H, W)."""
        fused: Tensor = self.conv(synthesis) + self.project(regression)
        return self.last(self.body(fused))  # type: ignore[no-any-return]
