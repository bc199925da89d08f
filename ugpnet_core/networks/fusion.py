"""The fusion module: x_hat = Conv(R_fusion(Conv(f_syn) + f_reg)) (paper eq. 1)."""

from __future__ import annotations

from torch import Tensor, nn

from ugpnet_core.networks.blocks import ResidualBlock


class FusionModule(nn.Module):
    """Joins the structure of f_reg and the texture of f_syn in feature space.

    With ``correction`` x_hat = x_reg + Conv(R_fusion(Conv(f_syn) + f_reg)): the network says what
    to add to x_reg, so that where it has nothing to say x_reg stays.

    The paper's network is as wide as f_reg. Where ``channels`` asks for another width, a 1x1
    convolution brings f_reg to it.
    """

    def __init__(
        self,
        regression_channels: int,
        synthesis_channels: int,
        channels: int | None = None,
        blocks: int = 8,
        correction: bool = False,
    ) -> None:
        super().__init__()
        self.correction = correction
        width = channels or regression_channels
        self.conv = nn.Conv2d(synthesis_channels, width, 3, padding=1)
        self.project: nn.Module = (
            nn.Identity()
            if width == regression_channels
            else nn.Conv2d(regression_channels, width, 1)
        )
        self.body = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.last = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, regression: Tensor, synthesis: Tensor, image: Tensor) -> Tensor:
        """Map f_reg and f_syn, both (N, C, H, W), to x_hat (N, 3, H, W).

        Args:
            image: x_reg (N, 3, H, W), which a correction is added to.
        """
        fused: Tensor = self.conv(synthesis) + self.project(regression)
        made: Tensor = self.last(self.body(fused))
        return image + made if self.correction else made
