"""A generative baseline: encoder and prior, without a regression network and without fusion.

After the idea of T. Yang, P. Ren, X. Xie, L. Zhang: GAN Prior Embedded Network for Blind Face
Restoration in the Wild (GPEN), CVPR 2021, https://arxiv.org/abs/2105.06070: the degraded image goes
through an encoder into a pretrained generator, and all of it is trained together. Encoder and
generator are UGPNet's own (paper 3.2), so that what a table compares is the idea. GPEN also feeds
the encoder's maps to the generator in the place of its noise, which this one does not.

It is a UGPNet whose x_reg is the degraded image itself (enlarged, where the task asks for it) and
whose x_hat is x_syn; its one stage is the synthesis stage.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from ugpnet_core.networks.regression import RegressionNetwork


class NoRegression(RegressionNetwork):
    """R(x) = x, with the image as its features; nothing in it is trained."""

    kind: Literal["direct", "residual"] = "direct"

    def __init__(self) -> None:
        super().__init__()
        self.feature_channels = 3

    def forward_features(self, x: Tensor) -> Tensor:
        """Map x (N, 3, H, W) to itself."""
        return x

    def head(self, f: Tensor) -> Tensor:
        """Map features (N, 3, H, W) to themselves."""
        return f


class NoFusion(nn.Module):
    """In the place of the fusion network: x_hat = x_syn."""

    def forward(self, regression: Tensor, synthesis: Tensor, image: Tensor) -> Tensor:
        """Map x_reg and x_syn (N, 3, H, W) to the second."""
        return synthesis
